"""A store that knows SVCs on two other datasets, and studies that say little."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest
from sklearn.datasets import load_breast_cancer, load_iris

import metastore
from metastore import MetaStore
from tests.optuna_sampler.helpers import GRID, SVC, score, wine


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(level)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> MetaStore:
    """Real scores of a grid of SVCs on two datasets; wine is described and has no runs."""
    store = metastore.open(tmp_path_factory.mktemp("sampler") / "store")
    for load in (load_iris, load_breast_cancer):
        X, y = load(return_X_y=True)
        X, y = (X / X.max(axis=0))[::3], y[::3]
        ref = store.dataset(X, y, name=load.__name__.removeprefix("load_"))
        for config in GRID:
            with store.run(ref, SVC, config) as run:
                run.result(accuracy=score(X, y, config))
        with store.run(ref, "other", {"depth": 3}) as run:
            run.result(accuracy=0.1)
    store.dataset(*wine(), name="wine")
    return store
