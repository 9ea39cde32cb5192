"""Optuna studies become runs: states, curves, spaces, ids; from memory and from SQLite."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

import metastore
from metastore.errors import InvalidInputError
from metastore.importers.optuna_study import callback, records
from metastore.journal import NotRecordedWarning
from metastore.records import checked
from metastore.search_space import SearchSpace
from metastore.types import DatasetRef, MetricValue, RunRecord, RunStatus

IRIS = DatasetRef("iris")
X, X_TEST, Y, Y_TEST = train_test_split(*load_iris(return_X_y=True), random_state=0)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(before)


def objective(trial: optuna.Trial) -> float:
    """Train by epochs; some trials are pruned, some fail."""
    alpha = trial.suggest_float("alpha", 1e-6, 1e-1, log=True)
    model = SGDClassifier(alpha=alpha, random_state=0)
    trial.set_user_attr("cores", 1)
    trial.set_user_attr("ignored", {"a": []})
    if trial.number == 2:
        raise ValueError("out of memory")
    for epoch in range(3):
        model.partial_fit(X, Y, classes=[0, 1, 2])
        trial.report(model.score(X_TEST, Y_TEST), epoch)
        if trial.number == 1 and epoch == 1:
            raise optuna.TrialPruned
    return float(model.score(X_TEST, Y_TEST))


def run_study(storage: str | None = None, name: str = "sgd") -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(
        study_name=name, storage=storage, direction="maximize", sampler=sampler
    )
    study.optimize(objective, n_trials=4, catch=ValueError)
    study.enqueue_trial({"alpha": 0.1})
    study.ask()
    study.enqueue_trial({"alpha": 0.01})
    return study


@pytest.fixture(scope="module")
def study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    return run_study()


def test_finished_trials_keep_their_state_and_others_wait(study: optuna.Study) -> None:
    assert [t.state for t in study.trials[4:]] == [TrialState.RUNNING, TrialState.WAITING]
    runs = records(study, IRIS, algorithm="sklearn.linear_model.SGDClassifier", metric="accuracy")
    assert [run.status for run in runs] == [
        RunStatus.COMPLETED,
        RunStatus.PRUNED,
        RunStatus.FAILED,
        RunStatus.COMPLETED,
    ]
    assert "Optuna keeps no message" in runs[2].error
    assert runs[2].values == ()


def test_values_curves_times_and_tags(study: optuna.Study) -> None:
    run, pruned = records(study, IRIS, algorithm="sgd", metric="accuracy", tags={"who": "me"})[:2]
    trial = study.trials[0]
    assert run.config == trial.params
    assert run.values[0] == MetricValue("accuracy", trial.value or 0.0, higher_is_better=True)
    assert [(v.step, v.value) for v in run.values[1:]] == sorted(trial.intermediate_values.items())
    assert trial.datetime_start
    assert trial.duration
    assert run.started_at == trial.datetime_start.timestamp()
    assert run.seconds == trial.duration.total_seconds()
    assert run.tags == {"cores": "1", "study": "sgd", "who": "me"}
    assert [v.step for v in pruned.values] == [0, 1]


def test_distributions_become_the_search_space(study: optuna.Study) -> None:
    run = records(study, IRIS, algorithm="sgd")[0]
    space = SearchSpace.from_json(run.space)
    assert space == SearchSpace({"alpha": FloatDistribution(1e-6, 1e-1, log=True)})
    assert space.name == "sgd"
    assert space.contains(run.config)


def ids(runs: list[RunRecord]) -> list[str]:
    return [str(run.run_id) for run in runs]


def test_importing_twice_or_from_another_storage_gives_the_same_ids(
    study: optuna.Study, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    optuna.copy_study(
        from_study_name="sgd", from_storage=study._storage, to_storage=url, to_study_name="sgd"
    )
    copied = optuna.load_study(study_name="sgd", storage=url)
    first = records(study, IRIS, algorithm="sgd")
    assert len(set(ids(first))) == 4
    assert records(study, IRIS, algorithm="sgd") == first
    assert ids(records(copied, IRIS, algorithm="sgd")) == ids(first)
    assert not set(ids(records(run_study(), IRIS, algorithm="sgd"))) & set(ids(first))
    assert not set(ids(records(study, DatasetRef("wine"), algorithm="sgd"))) & set(ids(first))


def test_a_study_in_sqlite(tmp_path: Path) -> None:
    study = run_study(f"sqlite:///{tmp_path / 'study.db'}")
    runs = records(study, IRIS, algorithm="sgd", metric="accuracy")
    assert [run.status.value for run in runs] == ["completed", "pruned", "failed", "completed"]
    assert [v.step for v in runs[1].values] == [0, 1]


def test_several_objectives_are_several_metrics() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.optimize(lambda t: (t.suggest_int("n", 1, 9) * 1.0, 2.0), n_trials=1)
    (run,) = records(study, IRIS, algorithm="a", metric=["loss", "accuracy"])
    assert [(v.metric, v.higher_is_better) for v in run.values] == [
        ("loss", False),
        ("accuracy", True),
    ]
    (run,) = records(study, IRIS, algorithm="a")
    assert [v.metric for v in run.values] == ["objective_0", "objective_1"]
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["x", "y"])
    (run,) = records(study, IRIS, algorithm="a")
    assert [v.metric for v in run.values] == ["x", "y"]
    with pytest.raises(InvalidInputError, match="2 objectives, but metric names 1"):
        records(study, IRIS, algorithm="a", metric="loss")


def test_infinity_is_a_failure_and_nan_is_no_point_of_a_curve() -> None:
    def diverge(trial: optuna.Trial) -> float:
        trial.report(float("nan"), 0)
        trial.report(1.0, 1)
        return float("inf")

    study = optuna.create_study()
    study.optimize(diverge, n_trials=1)
    (run,) = records(study, IRIS, algorithm="a")
    assert run.status is RunStatus.FAILED
    assert run.error == "the objective returned [inf]"
    assert [(v.step, v.value) for v in run.values] == [(1, 1.0)]
    assert run.space == ""


def test_objects_among_the_choices_become_names() -> None:
    study = optuna.create_study()
    with pytest.warns(UserWarning, match="Choices for a categorical distribution"):
        study.optimize(
            lambda t: float(t.suggest_categorical("f", (len, max))([1.0, 2.0])), n_trials=1
        )
    (run,) = records(study, IRIS, algorithm="a")
    assert run.config["f"] in ("builtins.len", "builtins.max")
    assert SearchSpace.from_json(run.space).distributions == {
        "f": CategoricalDistribution(("builtins.len", "builtins.max"))
    }


def test_the_callback_appends_what_an_import_would_find() -> None:
    appended: list[RunRecord] = []
    inside = threading.Lock()

    def append(run: RunRecord) -> None:
        assert inside.acquire(blocking=False), "two threads in append at once"
        time.sleep(0.02)
        appended.append(run)
        inside.release()

    study = optuna.create_study(study_name="threads", direction="maximize")
    study.optimize(
        objective,
        n_trials=12,
        n_jobs=4,
        catch=ValueError,
        callbacks=[callback(append, IRIS, algorithm="sgd", metric="accuracy")],
    )
    imported = records(study, IRIS, algorithm="sgd", metric="accuracy")
    assert sorted(ids(appended)) == sorted(ids(imported))
    by_id = {run.run_id: run for run in imported}
    assert all(run == by_id[run.run_id] for run in appended)


def test_what_is_no_study_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="expected an Optuna study, got list"):
        records([], DatasetRef("d"), algorithm="a")  # type: ignore[arg-type]


def test_a_clock_that_was_set_back_leaves_the_duration_unknown() -> None:
    study = optuna.create_study()
    trial = optuna.create_trial(params={}, distributions={}, value=0.5)
    assert trial.datetime_start is not None
    trial.datetime_start += timedelta(hours=1)
    study.add_trial(trial)
    (run,) = records(study, IRIS, algorithm="x")
    assert (run.status, run.seconds) == (RunStatus.COMPLETED, None)
    assert checked(run)


def test_a_trial_that_cannot_be_stored_costs_neither_the_study_nor_other_trials(
    tmp_path: Path,
) -> None:
    store = metastore.open(tmp_path / "store")
    study = optuna.create_study()

    def train(trial: optuna.Trial) -> float:
        sizes = ["a" * 2_000_000] if trial.number == 1 else ["a"]
        trial.suggest_categorical("c" if trial.number != 1 else "long", sizes)
        return 1.0

    record = store.optuna_callback("d", algorithm="a", metric="loss")
    with pytest.warns(NotRecordedWarning, match="trial 1 was not recorded: config"):
        study.optimize(train, n_trials=4, callbacks=[record])
    other = metastore.open(tmp_path / "other")
    with pytest.raises(InvalidInputError, match=r"1 of 4 runs cannot be stored.*run 2"):
        other.import_study(study, "d", algorithm="a", metric="loss")
    for one in (store, other):
        assert one.query("SELECT count(*) FROM runs").iloc[0, 0] == 3
    with pytest.raises(InvalidInputError, match="algorithm"):
        store.optuna_callback("d", algorithm=" ")
