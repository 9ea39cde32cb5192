"""Searches within a time: the quickest of equals first, and no config more than asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

import metastore
from metastore import MetaStore
from recommenders import HeadstartSearchCV
from tests.search_cv.helpers import CONFIGS, wine


def test_a_search_within_a_time(store: MetaStore) -> None:
    """However short it is one config is tried; however long, no more than asked for."""
    search = HeadstartSearchCV(SVC(), store, dataset="wine", cv=2, n_iter=4, max_seconds=1e-6)
    search.fit(*wine())
    assert len(search.cv_results_["params"]) == 1
    assert search.recommendations_[0].seconds > 0
    long = clone(search).set_params(max_seconds=1e6).fit(*wine())
    assert len(long.cv_results_["params"]) == 4
    assert len({str(p) for p in long.cv_results_["params"]}) == 4
    most = clone(long).set_params(n_iter=None).fit(*wine())
    assert len(most.cv_results_["params"]) == len(CONFIGS)  # there are no more
    drawn = clone(long).set_params(algorithm="nobody ever ran", max_seconds=1e-6)
    drawn.set_params(param_distributions={"C": loguniform(0.1, 10)}).fit(*wine())
    assert len(drawn.cv_results_["params"]) == 1
    with pytest.raises(ValueError, match="max_seconds"):
        clone(search).set_params(max_seconds=0).fit(*wine())


def test_the_quickest_of_equals_comes_first(tmp_path: Path) -> None:
    """Trees of a forest that made no difference on past datasets, but took their time."""
    store = metastore.open(tmp_path / "store")
    X, y = load_iris(return_X_y=True)
    for columns in ([2], [2, 3]):  # petals tell the first class from the others
        ref = store.dataset(X[:, columns], y == 0, name=f"petals{columns}")
        grid = {"n_estimators": [4, 250], "max_depth": [1, 4]}
        search = GridSearchCV(RandomForestClassifier(random_state=0), grid, cv=5)
        assert set(search.fit(X[:, columns], y == 0).cv_results_["mean_test_score"]) == {1.0}
        store.record_search(search, ref)
    usual = HeadstartSearchCV(RandomForestClassifier(random_state=0), store, cv=2, n_iter=1)
    timed = clone(usual).set_params(max_seconds=60.0)
    assert timed.fit(*wine()).best_params_["n_estimators"] == 4
