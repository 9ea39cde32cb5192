"""The search estimator under scikit-learn's own checks."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from metastore import DatasetRef, MetaStore
from recommenders import HeadstartSearchCV


def expected_failures(estimator: HeadstartSearchCV) -> dict[str, str]:
    if isinstance(estimator.estimator, Ridge):
        return {"check_supervised_y_2d": "no DataConversionWarning; GridSearchCV fails it as well"}
    return {}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@parametrize_with_checks(
    [
        HeadstartSearchCV(LogisticRegression(), "store", cv=2, n_iter=2, error_score="raise"),
        HeadstartSearchCV(
            Ridge(), "store", DatasetRef("named"), cv=2, n_iter=2, error_score="raise"
        ),
        HeadstartSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression()),
            "store",
            DatasetRef("named"),
            cv=2,
            n_iter=2,
            param_distributions={"logisticregression__C": [0.1, 1.0]},
            error_score="raise",
        ),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_own_checks(
    estimator: Any, check: Any, store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.paths.folder.parent)
    check(estimator)
