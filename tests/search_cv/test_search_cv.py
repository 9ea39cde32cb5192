"""The search estimator: what it asks, tries and records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import loguniform, randint
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import metastore
from metastore import MetaStore
from metastore.errors import InvalidInputError
from recommenders import HeadstartSearchCV
from recommenders.advisor import Advisor
from tests.search_cv.helpers import CONFIGS, wine


def test_it_asks_tries_and_records(store: MetaStore) -> None:
    X, y = wine()
    search = HeadstartSearchCV(SVC(), store, "wine", n_iter=4, cv=3).fit(X, y)
    tried = search.cv_results_["params"]
    assert len(tried) == 4 == len(search.recommendations_)
    assert all(params in CONFIGS for params in tried)
    assert search.dataset_ == "wine"
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert search.predict(X[:3]).shape == (3,)
    runs = store.rows(
        "SELECT count(*) AS n FROM runs JOIN datasets USING (dataset_id) WHERE name = 'wine'"
    )
    assert runs == [{"n": 4}]
    outcomes = store.rows("SELECT count(*) AS n FROM recommendation_outcomes WHERE value > 0")
    assert outcomes == [{"n": 4}]


def test_later_configs_take_the_earlier_ones_into_account(store: MetaStore) -> None:
    X, y = wine()
    search = HeadstartSearchCV(SVC(), store, "wine", n_iter=3, cv=3, recommender="nearest")
    first, *_ = search.fit(X, y).recommendations_
    method = search.recommendations_[-1].evidence
    assert first.evidence.n_datasets == method.n_datasets == 2
    assert len({str(r.config) for r in search.recommendations_}) == 3


def test_fitting_twice_gives_the_same(store: MetaStore) -> None:
    X, y = wine()
    search = HeadstartSearchCV(SVC(), store, "wine", n_iter=4, cv=3)
    first = search.fit(X, y).cv_results_["params"]
    assert search.fit(X, y).cv_results_["params"] == first
    assert clone(search).fit(X, y).cv_results_["params"] == first


def test_distributions_beside_what_the_store_knows(store: MetaStore) -> None:
    X, y = wine()
    search = HeadstartSearchCV(
        SVC(),
        store,
        param_distributions={
            "C": loguniform(0.05, 5),
            "gamma": [0.3, "auto"],
            "degree": randint(2, 4),
        },
        n_iter=8,
        cv=3,
        random_state=0,
    ).fit(X, y)
    tried = search.cv_results_["params"]
    assert len({str(p) for p in tried}) == 8
    assert all(0.05 <= p["C"] <= 5 and p["gamma"] in (0.3, "auto") for p in tried)
    assert {p["degree"] for p in tried} <= {2, 3}


def test_a_store_that_knows_the_same_data_alone(tmp_path: Path) -> None:
    X, y = wine()
    search = HeadstartSearchCV(
        SVC(), tmp_path / "store", param_distributions={"C": [0.1, 1.0, 10.0]}, n_iter=3, cv=2
    )
    tried = [sorted(p["C"] for p in search.fit(X, y).cv_results_["params"]) for _ in range(2)]
    assert tried == [[0.1, 1.0, 10.0]] * 2


def test_objects_among_the_choices(store: MetaStore) -> None:
    X, y = wine()
    scaler = StandardScaler()
    pipe = make_pipeline(scaler, SVC())
    search = HeadstartSearchCV(
        pipe,
        store,
        param_distributions={"standardscaler": [scaler, "passthrough"], "svc__C": [0.1, 10.0]},
        n_iter=4,
        cv=2,
        random_state=0,
    ).fit(X, y)
    kinds = {type(p["standardscaler"]).__name__ for p in search.cv_results_["params"]}
    assert kinds <= {"StandardScaler", "str"}


def test_a_store_that_knows_nothing_is_filled(tmp_path: Path) -> None:
    X, y = wine()
    empty = metastore.open(tmp_path / "store")
    tree = DecisionTreeClassifier(random_state=0)
    with pytest.raises(InvalidInputError, match=r"param_distributions=\{...\}"):
        HeadstartSearchCV(tree, empty).fit(X, y)
    search = HeadstartSearchCV(
        tree, empty, param_distributions={"max_depth": randint(1, 9)}, n_iter=3, random_state=1
    )
    assert len(search.fit(X, y).cv_results_["params"]) == 3
    iris = load_iris(return_X_y=True)
    later = HeadstartSearchCV(tree, empty, "iris", n_iter=2).fit(*iris)
    assert all(p in search.cv_results_["params"] for p in later.cv_results_["params"])


@pytest.mark.parametrize("n_iter", [2, 3, 6])
def test_with_nothing_known_each_config_is_tried_once(tmp_path: Path, n_iter: int) -> None:
    search = HeadstartSearchCV(
        SVC(),
        metastore.open(tmp_path),
        n_iter=n_iter,
        param_distributions={"C": [0.1, 1.0, 10.0]},
        random_state=1,
    )
    search.fit(*wine())
    tried = [one["C"] for one in search.cv_results_["params"]]
    assert len(set(tried)) == len(tried) == min(n_iter, 3)


def test_a_lower_is_better_metric_guides_by_its_own_direction(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score of -0.3 is told as a log loss of 0.3, as the store has it."""
    model, grid = LogisticRegression(max_iter=500), {"C": [0.1, 1.0, 10.0]}
    X, y = load_iris(return_X_y=True)
    scoring = ["neg_log_loss", "accuracy"]
    past = GridSearchCV(model, grid, cv=2, scoring=scoring, refit=False).fit(X, y)
    store.record_search(past, "iris")
    told: list[list[float | None]] = []
    ask = Advisor.recommend

    def listen(one: Advisor, observed: Any, *rest: Any) -> Any:
        told.append([o.value for o in observed])
        return ask(one, observed, *rest)

    monkeypatch.setattr(Advisor, "recommend", listen)
    options: dict[str, Any] = {"scoring": scoring, "refit": "neg_log_loss", "n_iter": 3, "cv": 2}
    search = HeadstartSearchCV(model, store, "wine", **options).fit(*wine())
    scores = search.cv_results_["mean_test_neg_log_loss"]
    assert search.best_index_ == int(np.argmax(scores))
    assert told[:3] == [[], [-scores[0]], [-scores[0], -scores[1]]]


def test_nothing_is_recorded_where_that_is_asked(store: MetaStore) -> None:
    HeadstartSearchCV(SVC(), store, "wine", n_iter=2, cv=2, record=False).fit(*wine())
    assert store.rows("SELECT count(*) AS n FROM recommendations") == [{"n": 0}]
