"""Running the command line in this process, as `main` runs it, and the stores it is run on."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import cli
import metastore

RunIt = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def headstart(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> RunIt:
    """Run `headstart ARGS` in an empty folder and return its exit status and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADSTART_STORE", raising=False)
    monkeypatch.delenv("HEADSTART_TRACEBACK", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)

    def run(*args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["headstart", *map(str, args)])
        capfd.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with pytest.raises(SystemExit) as ended:
                cli.main()
        found = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), found.out, found.err)

    return run


@pytest.fixture(scope="session")
def small_store_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of real cross-validation scores on three of scikit-learn's datasets."""
    from sklearn.datasets import load_breast_cancer, load_iris, load_wine  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.model_selection import cross_val_score  # noqa: PLC0415
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("made") / "store"
    store = metastore.open(folder)
    estimators = [KNeighborsClassifier(k) for k in (1, 5, 25)]
    estimators += [LogisticRegression(C=c, max_iter=20, tol=0.1) for c in (0.01, 1.0)]
    for load in (load_iris, load_wine, load_breast_cancer):
        X, y = load(return_X_y=True)
        X = X / X.max(axis=0)
        ref = store.dataset(X, y, name=load.__name__.removeprefix("load_"))
        for estimator in estimators:
            changed = {"n_neighbors", "C"} & set(estimator.get_params())
            config = {name: estimator.get_params()[name] for name in changed}
            with store.run(ref, f"sklearn.x.{type(estimator).__name__}", config, seed=3) as run:
                run.log(step=0, loss=1.0)
                run.log(step=1, loss=0.5)
                run.result(accuracy=cross_val_score(estimator, X, y, cv=3).mean())
    with pytest.raises(ZeroDivisionError), store.run("iris", "broken", {"depth": 1}):
        raise ZeroDivisionError("no split")
    store.close()
    metastore.open(folder).absorb()
    return folder


@pytest.fixture
def small_store(small_store_made: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be changed at will."""
    return Path(shutil.copytree(small_store_made, tmp_path / "headstart-store"))
