"""scikit-learn searches and Optuna studies through the store: all of it, once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import optuna
import pytest
from sklearn.datasets import load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV

from metastore import MetaStore

GRID = {"C": [0.1, 1.0, 10.0]}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def counts(store: MetaStore) -> list[int]:
    asked = "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM metric_values)"
    return [int(n) for n in store.query(asked).iloc[0]]


@pytest.mark.parametrize("kind", ["grid", "random", "halving"])
def test_a_search_is_recorded_whole_and_once(store: MetaStore, kind: str) -> None:
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=2000)
    search = {
        "grid": GridSearchCV(model, GRID, cv=3, scoring="accuracy"),
        "random": RandomizedSearchCV(model, GRID, n_iter=3, cv=3, random_state=0),
        "halving": HalvingGridSearchCV(model, GRID, cv=3, random_state=0),
    }[kind].fit(X, y)
    n = len(search.cv_results_["params"])
    assert store.record_search(search, "iris") == n
    before = counts(store)
    assert before[0] == n
    folds = store.query(
        "SELECT count(*) FROM metric_values WHERE metric = 'accuracy' AND fold >= 0"
    )
    assert folds.iloc[0, 0] == 3 * n
    store.record_search(search, "iris")
    assert counts(store) == before
    view = store.view("accuracy")
    if kind != "halving":
        best = max(view.cell_score)
        assert best == pytest.approx(search.best_score_)
        assert np.isfinite(view.cell_seconds).all()


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    for step in range(3):
        trial.report(x + step, step)
    if trial.number == 1:
        raise optuna.TrialPruned
    if trial.number == 2:
        raise ValueError("no")
    return x if kind == "a" else x / 2


def test_a_callback_and_an_import_of_one_study_are_one_recording(store: MetaStore) -> None:
    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler(seed=0))
    record = store.optuna_callback("iris", algorithm="toy", metric="loss")
    study.optimize(objective, n_trials=6, callbacks=[record], catch=(ValueError,))
    before = counts(store)
    assert before[0] == 6
    statuses = store.query("SELECT status, count(*) AS n FROM run_states GROUP BY 1 ORDER BY 1")
    assert dict(statuses.to_numpy().tolist()) == {"completed": 4, "failed": 1, "pruned": 1}
    assert store.import_study(study, "iris", algorithm="toy", metric="loss") == 6
    store.import_study(study, "iris", algorithm="toy", metric="loss")
    assert counts(store) == before
    view = store.view("loss")
    assert not view.higher_is_better
    assert -max(view.cell_score) == pytest.approx(study.best_value)
    assert (view.n_cells, len(view.failed_config)) == (4, 1)
    curve = store.query("SELECT count(*) FROM metric_values WHERE step IS NOT NULL")
    assert curve.iloc[0, 0] == 18
    spaces = store.query("SELECT count(*) FROM search_spaces")
    assert spaces.iloc[0, 0] == 1
    store.import_study(study, "iris", algorithm="toy", metric="error")
    assert store.view("error").cell_score.tolist() == view.cell_score.tolist()


def branching(trial: optuna.Trial) -> float:
    kernel = trial.suggest_categorical("kernel", ["linear", "rbf", "poly"])
    layers = trial.suggest_int("layers", 1, 3)
    width = trial.suggest_int("width", 1, 8 * layers)
    if kernel == "rbf":
        return width + trial.suggest_float("gamma", 1e-3, 1.0, log=True)
    if kernel == "poly":
        return width + trial.suggest_int("degree", 2, 4)
    return float(width)


def test_the_space_of_a_branching_study_has_all_its_branches(store: MetaStore) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(branching, n_trials=20)
    store.import_study(study, "iris", algorithm="svm", metric="loss")
    space = store.search_space("svm")
    assert set(space.distributions) == {"kernel", "layers", "width", "gamma", "degree"}
    assert str(space.conditions["gamma"]) == "kernel is 'rbf'"
    assert str(space.conditions["degree"]) == "kernel is 'poly'"
    assert space.distributions["width"] == optuna.distributions.IntDistribution(1, 24)
    assert not space.optional
    assert [space.why_not(trial.params) for trial in study.trials] == [""] * 20
