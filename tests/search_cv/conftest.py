"""A store of real grid searches on two datasets."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

import metastore
from metastore import MetaStore


def fill(store: MetaStore) -> MetaStore:
    """Record real grid searches on two datasets."""
    for load in (load_iris, load_breast_cancer):
        X, y = load(return_X_y=True)
        X, y = (X / X.max(axis=0))[::3], y[::3]
        ref = store.dataset(X, y, name=load.__name__.removeprefix("load_"))
        grids = [
            (SVC(), {"C": [0.1, 1.0, 30.0], "gamma": ["scale", 0.3, 3.0]}),
            (LogisticRegression(max_iter=200), {"C": [0.1, 1.0]}),
            (Ridge(), {"alpha": [0.1, 1.0]}),
        ]
        for estimator, grid in grids:
            store.record_search(GridSearchCV(estimator, grid, cv=2).fit(X, y), ref)
    return store


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> MetaStore:
    store = fill(metastore.open(tmp_path_factory.mktemp("search") / "store"))
    store.absorb()
    return store


@pytest.fixture
def store(made: MetaStore, tmp_path: Path) -> MetaStore:
    import shutil  # noqa: PLC0415

    return metastore.open(shutil.copytree(made.paths.folder, tmp_path / "store"))
