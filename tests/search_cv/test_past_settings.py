"""What the estimator sets itself is part of what is asked, and of what was done in the past."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import metastore
from metastore import DatasetRef, MetaStore
from metastore.types import MetricValue, RunRecord
from recommenders import HeadstartSearchCV
from recommenders.worth import worth
from tests.search_cv.helpers import wine


@pytest.fixture
def kernels(tmp_path: Path) -> MetaStore:
    """Where a linear kernel wants a small C, and the other one a large C and gives more."""
    store = metastore.open(tmp_path / "kernels")
    store.add(
        [
            RunRecord(
                DatasetRef(f"past-{number}"),
                "sklearn.svm.SVC",
                {"C": C, **config},
                (MetricValue("accuracy", 0.9 - 0.1 * abs(np.log10(C) - best) + more),),
            )
            for number in range(6)
            for config, best, more in (({"kernel": "linear"}, -1, 0.0), ({}, 2, 0.08))
            for C in (0.01, 0.1, 1.0, 10.0, 100.0)
        ]
    )
    return store


@pytest.mark.parametrize(("kernel", "first"), [("linear", 0.1), ("rbf", 100.0)])
def test_what_the_estimator_sets_itself_is_part_of_what_is_asked(
    kernels: MetaStore, kernel: str, first: float
) -> None:
    X, y = wine()
    search = HeadstartSearchCV(
        SVC(kernel=kernel),
        kernels,
        "wine",
        param_distributions={"C": [0.01, 0.1, 1.0, 10.0, 100.0]},
        n_iter=3,
        cv=2,
    ).fit(X, y)
    assert search.cv_results_["params"][0] == {"C": first}
    assert {r.config.get("kernel", "rbf") for r in search.recommendations_} == {kernel}


def test_past_configs_that_leave_a_setting_to_the_estimator_are_told_with_it(
    kernels: MetaStore,
) -> None:
    X, y = wine()
    search = HeadstartSearchCV(SVC(kernel="linear"), kernels, "wine", n_iter=9, cv=2).fit(X, y)
    assert len({r.config["C"] for r in search.recommendations_}) == 5
    assert {r.config.get("kernel") for r in search.recommendations_} == {"linear"}


def test_advice_to_replace_a_step_is_followed_by_the_run_of_it(store: MetaStore) -> None:
    """The settings of the step that is gone are part of neither."""
    X, y = wine()
    own, other = SVC(C=5.0), LogisticRegression(max_iter=500)
    HeadstartSearchCV(
        make_pipeline(StandardScaler(), own),
        store,
        "wine",
        param_distributions={"svc": [own, other]},
        n_iter=2,
        cv=2,
    ).fit(X, y)
    (found,) = worth(store, "wine").worths
    assert (found.followed, found.advised) == (2, 2)
