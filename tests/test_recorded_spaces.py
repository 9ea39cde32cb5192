"""The space of an algorithm as the store tells it: which recorded one, or inferred from which."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution

from metastore import DatasetRef, MetaStore, MetricValue, RunRecord, RunStatus
from metastore.search_space import SearchSpace
from recommenders import Observation, make
from recommenders.asking import Question, ask

GRID = (0.01, 0.1, 1.0, 10.0, 100.0)


def ran(c: float, status: RunStatus = RunStatus.COMPLETED, dataset: str = "d") -> RunRecord:
    values = (MetricValue("accuracy", 0.5),) if status is RunStatus.COMPLETED else ()
    return RunRecord(DatasetRef(dataset), "svc", {"C": c}, values, status)


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.CRASHED])
def test_what_only_failed_says_nothing_of_the_space(store: MetaStore, status: RunStatus) -> None:
    store.add([*map(ran, GRID), ran(-5.0, status), ran(1e9, status)])
    assert store.search_space("svc").distributions["C"] == FloatDistribution(0.01, 100.0, log=True)


def test_what_failed_on_one_dataset_and_ran_on_another_counts(store: MetaStore) -> None:
    store.add([*map(ran, GRID), ran(1000.5, RunStatus.FAILED), ran(1000.5, dataset="other")])
    assert store.search_space("svc").distributions["C"] == FloatDistribution(0.01, 1000.5, log=True)


def test_where_everything_failed_all_of_it_counts(store: MetaStore) -> None:
    store.add([ran(c, RunStatus.FAILED) for c in GRID])
    assert store.search_space("svc").distributions["C"] == FloatDistribution(0.01, 100.0, log=True)


def spaced(high: float, algorithm: str = "svc") -> RunRecord:
    space = SearchSpace({"C": FloatDistribution(0.01, high)}).to_json()
    values = (MetricValue("accuracy", 0.5),)
    return RunRecord(DatasetRef("d"), algorithm, {"C": 0.5}, values, space=space)


@pytest.mark.parametrize("highs", [(1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_space_recorded_last_counts(
    store: MetaStore, highs: tuple[float, ...], at_once: bool
) -> None:
    for high in highs:
        store.add(spaced(high))
        if not at_once:
            store.absorb()
        last = highs[-1] if at_once else high
    assert store.search_space("svc").distributions["C"] == FloatDistribution(0.01, last)


def test_a_space_that_is_used_again_counts_again(store: MetaStore) -> None:
    for high in (1.0, 2.0, 1.0):
        store.add(spaced(high))
        store.absorb()
    assert store.search_space("svc").distributions["C"] == FloatDistribution(0.01, 1.0)


@pytest.mark.parametrize("at_once", [True, False])
def test_two_algorithms_may_have_one_space(store: MetaStore, at_once: bool) -> None:
    for algorithm in ("svc", "nusvc"):
        store.add(spaced(9.0, algorithm))
        if not at_once:
            store.absorb()
    for algorithm in ("svc", "nusvc"):
        space = store.search_space(algorithm)
        assert space.distributions["C"] == FloatDistribution(0.01, 9.0)


def test_two_studies_of_one_algorithm(store: MetaStore) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for high in (8.0, 2.0, 4.0, 1.0):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(lambda trial, top=high: trial.suggest_float("C", 0.0, top), n_trials=2)
        store.import_study(study, "d", algorithm="svc", metric="loss")
    assert store.search_space("svc").distributions["C"] == FloatDistribution(0.0, 1.0)


def test_a_view_has_the_recorded_spaces_of_its_algorithms(store: MetaStore) -> None:
    store.add([spaced(1.0), spaced(3.0), spaced(2.0, "nusvc"), ran(0.1, dataset="other")])
    store.add([RunRecord(DatasetRef("d"), "tree", {"depth": 3}, (MetricValue("accuracy", 0.5),))])
    store.set_direction("accuracy", higher_is_better=True)
    view = store.view("accuracy")
    assert {name: space.distributions["C"].high for name, space in view.spaces.items()} == {
        "svc": 3.0,
        "nusvc": 2.0,
    }
    assert "tree" not in view.spaces
    assert view.without(["d"]).spaces is view.spaces
    assert repr(view.spaces) == "RecordedSpaces(nusvc, svc)"


def test_a_view_of_many_trials_puts_the_branches_of_the_last_search_together(
    store: MetaStore,
) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("kernel", ["linear", "rbf"]) == "rbf":
            return trial.suggest_float("gamma", 1e-3, 1.0, log=True)
        return 0.5

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for _ in range(2):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(objective, n_trials=12)
        store.import_study(study, "d", algorithm="svc", metric="loss")
    space = store.view("loss").spaces["svc"]
    assert space == store.search_space("svc")
    assert set(space.distributions) == {"gamma", "kernel"}
    assert str(space.conditions["gamma"]) == "kernel is 'rbf'"


@pytest.mark.parametrize("name", ["nearest", "empirical_bayes"])
def test_new_configs_lie_in_the_recorded_space(store: MetaStore, name: str) -> None:
    store.add([spaced(50.0), *(ran(c, dataset=d) for c in GRID for d in ("a", "b", "d"))])
    store.set_direction("accuracy", higher_is_better=True)
    one = make(name).fit(store.view("accuracy", exclude=["d"]))
    observed = [Observation("svc", {"C": c}, 0.5) for c in (*GRID, 0.5)]
    found = one.recommend("d", observed, 20)
    assert len(found) == 20
    assert all(advice.evidence.new for advice in found)
    assert all(0.01 <= advice.config["C"] <= 50.0 for advice in found)
    # From 1 to 50 lies most of a linear scale, and less than half of the log one of the grid.
    assert sum(advice.config["C"] > 1.0 for advice in found) > 15
    answer = ask(store, "d", question=Question("accuracy", n=20, recommender=name))
    assert all(0.01 <= advice.config["C"] <= 50.0 for advice in answer.recommendations)
