"""A number is not asked about as if it were a class, nor a class as a number."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, load_wine

import metastore
from metastore import MetaStore
from recommenders import Question, ask
from recommenders.asked_kind import UnfitMetricWarning

FAST = Question(recommender="best_on_average", n=1)


@pytest.fixture
def store(tmp_path: Path) -> MetaStore:
    """Two datasets of classes and one of numbers."""
    store = metastore.open(tmp_path / "store")
    X, y = load_diabetes(return_X_y=True)
    for name, data in {
        "iris": load_iris(return_X_y=True),
        "wine": load_wine(return_X_y=True),
        "diabetes": (X[:200], y[:200]),
    }.items():
        ref = store.dataset(data, name=name)
        for depth in (1, 2):
            with store.run(ref, "tree", {"depth": depth}) as run:
                run.result(**({"r2": 0.4} if name == "diabetes" else {"accuracy": 0.9}))
    return store


def test_the_metric_that_nobody_named_fits_the_target(store: MetaStore) -> None:
    X, y = load_diabetes(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(store, (X[200:, :5], y[200:]), question=FAST).metric == "r2"
        assert ask(store, (X[200:, :5], y[200:] > 150), question=FAST).metric == "accuracy"


def test_a_table_file_that_another_process_describes_is_asked_about_alike(
    store: MetaStore, tmp_path: Path
) -> None:
    from metastore.describing import Describing  # noqa: PLC0415

    X, y = load_diabetes(return_X_y=True)
    rows = np.column_stack([X[200:, :5], y[200:]])
    file = str(tmp_path / "new.csv")
    np.savetxt(file, rows, delimiter=",", header="a,b,c,d,e,y", comments="")
    question = Question(recommender="nearest", n=1)
    answer = ask(store, file, "y", question, Describing(file, "y"))
    assert (answer.dataset, answer.metric, answer.by_default) == ("new", "r2", True)


def test_a_metric_of_another_kind_is_told_of(store: MetaStore) -> None:
    X, y = load_diabetes(return_X_y=True)
    question = Question("accuracy", recommender="best_on_average", n=1)
    with pytest.warns(UnfitMetricWarning, match=r"is a number, and accuracy is a metric of class"):
        assert ask(store, (X[200:, :5], y[200:]), question=question).metric == "accuracy"
    question = Question("r2", recommender="best_on_average", n=1)
    with pytest.warns(UnfitMetricWarning, match=r"holds classes, and r2 is a metric of regression"):
        ask(store, (X[200:, :5], y[200:] > 150), question=question)


def test_runs_of_its_own_tell_more_than_the_target(store: MetaStore) -> None:
    X, y = load_diabetes(return_X_y=True)
    ref = store.dataset((X[200:, :5], y[200:]), name="own")
    with store.run(ref, "tree", {"depth": 1}) as run:
        run.result(accuracy=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(store, "own", question=FAST).metric == "accuracy"


def test_a_target_of_one_value_is_told_of(store: MetaStore) -> None:
    X, _ = load_diabetes(return_X_y=True)
    with pytest.warns(UnfitMetricWarning, match="same value in every row"):
        ask(store, (X[200:, :5], ["yes"] * len(X[200:])), question=FAST)


def test_the_metric_that_nobody_named_is_one_of_the_algorithm(store: MetaStore) -> None:
    for name in ("a", "b"):
        with store.run(name, "svm", {"C": 1}) as run:
            run.result(f1=0.5)
    question = Question(algorithm="svm", recommender="best_on_average", n=1)
    assert ask(store, "iris", question=question).metric == "f1"
    assert ask(store, "iris", question=FAST).metric == "accuracy"
