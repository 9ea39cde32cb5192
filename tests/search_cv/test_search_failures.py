"""Configs and options that fail, and searches that are interrupted: what ran is recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ShuffleSplit
from sklearn.svm import SVC

from metastore import MetaStore
from metastore.errors import InvalidInputError, UnknownNameError
from recommenders import HeadstartSearchCV
from recommenders.worth import worth
from tests.search_cv.helpers import wine


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore:One or more of the test scores:UserWarning")
@pytest.mark.filterwarnings("ignore:\n.*fits failed:sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:.*not in cv_results_:sklearn.exceptions.FitFailedWarning")
def test_failed_configs_are_failed_runs(store: MetaStore, seed: int) -> None:
    """Wherever in the search they come, alone in their batch as they are."""
    X, y = wine()
    choices = {"C": [-1.0, 0.1, 30.0], "gamma": ["scale"]}
    search = HeadstartSearchCV(
        SVC(), store, param_distributions=choices, n_iter=3, cv=2, random_state=seed
    )
    search.fit(X, y)
    tried = search.cv_results_
    kept = dict(zip([p["C"] for p in tried["params"]], tried["mean_test_score"], strict=True))
    assert np.isnan(kept.pop(-1.0, np.nan))
    assert sorted(kept) == [0.1, 30.0]
    assert np.isfinite(list(kept.values())).all()
    ended = store.rows(
        "SELECT config FROM run_states JOIN configs USING (config_id) WHERE status = 'failed'"
    )
    assert [row["config"] for row in ended] == ['{"C":-1.0,"gamma":"scale"}']


def test_a_search_in_which_nothing_can_be_fitted_fails(store: MetaStore) -> None:
    search = HeadstartSearchCV(SVC(), store, param_distributions={"C": [-1.0, -2.0]}, cv=2)
    with pytest.raises(ValueError, match="must be a float in the range"):
        search.fit(*wine())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cv": ShuffleSplit(2)}, InvalidInputError, "random_state=0"),
        ({"n_iter": 0}, ValueError, "n_iter"),
        ({"param_distributions": {"C": 3}}, InvalidInputError, "expected a list"),
        ({"param_distributions": {"C": []}}, InvalidInputError, "expected a list"),
        ({"recommender": "autom"}, UnknownNameError, "did you mean 'auto'"),
    ],
)
def test_wrong_options(
    store: MetaStore, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        HeadstartSearchCV(SVC(), store, **options).fit(*wine())


@pytest.mark.parametrize("scoring", [None, ["neg_log_loss", "accuracy"]])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_was_tried_before_an_interrupt_is_recorded(
    store: MetaStore, scoring: list[str] | None, error: type[BaseException]
) -> None:
    X, y = wine()
    fitted: list[float] = []

    class Interrupted(LogisticRegression):  # type: ignore[misc]
        def fit(self, X: Any, y: Any) -> Interrupted:
            fitted.append(self.C)
            if len(fitted) == 7:
                raise error
            super().fit(X, y)
            return self

    search = HeadstartSearchCV(
        Interrupted(max_iter=500),
        store,
        "wine",
        param_distributions={"C": [0.1, 1.0, 10.0, 100.0]},
        cv=2,
        scoring=scoring,
        refit=scoring[1] if scoring else True,
        algorithm="sklearn.linear_model.LogisticRegression",
        error_score="raise",
    )
    with pytest.raises(error):
        search.fit(X, y)
    (found,) = worth(store, "wine").worths
    assert (found.metric, found.followed, found.advised, found.tried) == ("accuracy", 3, 3, 3)
    assert 0.5 < found.best <= 1
    assert len(search.fit(X, y).cv_results_["params"]) == 4
    fitted.clear()
    with pytest.raises(error):
        search.fit(X, y)
    (again,) = worth(store, "wine").worths
    assert again.tried == 4
    runs = "SELECT count(*) AS n FROM runs JOIN datasets USING (dataset_id) WHERE name = 'wine'"
    assert store.rows(runs) == [{"n": 3 + 4 + 3}]
