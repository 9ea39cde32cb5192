"""The sampler on studies: what it learns from, what it leaves to others, and who gets what."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from sklearn import svm
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.model_selection import cross_val_score

import metastore
from metastore import MetaStore
from metastore.errors import InvalidInputError, StoreBusyError, UnknownNameError
from metastore.journal import NotRecordedWarning
from metastore.types import MetricValue, RunRecord, canonical_json
from recommenders.enqueueing import ATTRIBUTE
from recommenders.optuna_sampler import HeadstartSampler
from recommenders.study_trials import CLAIM
from recommenders.worth import worth
from tests.processes import python

SVC = "sklearn.svm.SVC"
GRID = [
    {"C": c, "kernel": "rbf", "gamma": g} for c, g in product((0.1, 1.0, 30.0), (0.01, 0.3, 3.0))
] + [{"C": c, "kernel": "linear"} for c in (0.1, 1.0)]
Objective = Callable[[optuna.Trial], float]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(level)


def wine() -> tuple[Any, Any]:
    X, y = load_wine(return_X_y=True)
    return X / X.max(axis=0), y


def score(X: Any, y: Any, config: dict[str, Any]) -> float:
    return float(cross_val_score(svm.SVC(**config), X, y, cv=2).mean())


@pytest.fixture(scope="module")
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


def objective(trial: optuna.Trial) -> float:
    """Trains a real SVC; gamma is there for one kernel alone."""
    kernel = trial.suggest_categorical("kernel", ["rbf", "linear"])
    config: dict[str, Any] = {"kernel": kernel, "C": trial.suggest_float("C", 0.01, 100, log=True)}
    if kernel == "rbf":
        config["gamma"] = trial.suggest_float("gamma", 1e-3, 10, log=True)
    return score(*wine(), config)


def sampler(store: MetaStore, dataset: Any = "wine", **options: Any) -> HeadstartSampler:
    return HeadstartSampler(
        store, dataset, **{"metric": "accuracy", "algorithm": SVC, "seed": 0, **options}
    )


def study(store: MetaStore, **options: Any) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=sampler(store, **options))


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [dict(trial.params) for trial in study.trials]


def test_the_first_trial_follows_a_past_config_as_names_come(store: MetaStore) -> None:
    one = study(store)
    one.optimize(objective, 1)
    assert one.trials[0].params in GRID
    (first,) = sampler(store)._advice.advisor.recommend(())
    assert one.trials[0].params == first.config
    assert one.trials[0].user_attrs[ATTRIBUTE]["datasets"]


def test_past_configs_and_new_ones_are_all_distinct(store: MetaStore) -> None:
    one = study(store)
    one.optimize(objective, 20)
    tried = params(one)
    assert len({canonical_json(p) for p in tried}) == 20
    assert tried[0] in GRID
    assert any(p not in GRID for p in tried)
    assert {t.state for t in one.trials} == {TrialState.COMPLETE}


def test_same_seed_same_trials(store: MetaStore) -> None:
    one, two = study(store), study(store)
    for each in (one, two):
        each.optimize(objective, 8)
    assert params(one) == params(two)


def test_what_the_store_never_heard_of_is_left_to_tpe(store: MetaStore) -> None:
    def wider(trial: optuna.Trial) -> float:
        shift = trial.suggest_float("shift", -1, 1)
        kernel = trial.suggest_categorical("kernel", ["sigmoid", "linear", "rbf"])
        return shift + (kernel == "linear") + trial.suggest_float("C", 0.05, 5, log=True)

    one = study(store)
    one.optimize(wider, 8)
    assert len({p["shift"] for p in params(one)}) == 8
    assert all(0.05 <= p["C"] <= 5 for p in params(one))
    assert one.trials[0].params["kernel"] in ("linear", "rbf")


def test_a_category_that_the_study_lacks_turns_the_first_trial_to_another_config(
    store: MetaStore,
) -> None:
    def linear(trial: optuna.Trial) -> float:
        C = trial.suggest_float("C", 0.01, 100, log=True)
        kernel = trial.suggest_categorical("kernel", ["linear", "poly"])
        return C * (kernel == "linear")

    one = study(store)
    one.optimize(linear, 4)
    assert one.trials[0].params["C"] in {c["C"] for c in GRID}
    assert one.trials[1].params["kernel"] == "linear"


def test_several_algorithms_are_told_apart_by_a_parameter(store: MetaStore) -> None:
    def either(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("model", ["SVC", "other"]) == "SVC":
            return objective(trial)
        return trial.suggest_int("depth", 1, 9) / 100

    with pytest.raises(InvalidInputError, match="algorithm_param"):
        sampler(store, algorithm=None)
    one = study(store, algorithm=None, algorithm_param="model")
    one.optimize(either, 12)
    assert one.trials[0].params["model"] == "SVC"
    for trial in one.trials:
        claimed = trial.system_attrs[CLAIM]
        assert claimed["algorithm"] == {"SVC": SVC, "other": "other"}[trial.params["model"]]
        assert "model" not in claimed["config"]
    assert sum(t.params["model"] == "SVC" for t in one.trials) > 6


@pytest.mark.parametrize("storage", ["memory", "sqlite"])
def test_trials_that_run_at_once_get_configs_of_their_own(
    store: MetaStore, storage: str, tmp_path: Path
) -> None:
    """Six trials are open at a time; none gets what another one has or had."""
    url = f"sqlite:///{tmp_path / 'study.db'}" if storage == "sqlite" else None
    one = optuna.create_study(direction="maximize", sampler=sampler(store), storage=url)
    gate = threading.Barrier(6, timeout=60)

    def together(trial: optuna.Trial) -> float:
        value = objective(trial)
        gate.wait()
        return value

    one.optimize(together, 12, n_jobs=6)
    claims = [str(t.system_attrs[CLAIM]["config"]) for t in one.trials]
    assert len(set(claims)) == len(claims) == 12
    tried = [canonical_json(p) for p in params(one)]
    assert len(set(tried)) == 12


WORKER = """
import sys, optuna, metastore
from recommenders.optuna_sampler import HeadstartSampler
optuna.logging.set_verbosity(optuna.logging.CRITICAL)
folder, url, seed = sys.argv[1:]
store = metastore.open(folder, wait_seconds=60)
sampler = HeadstartSampler(store, "wine", metric="accuracy", algorithm="sklearn.svm.SVC", seed=0)
study = optuna.load_study(study_name="shared", storage=url, sampler=sampler)
def objective(trial):
    kernel = trial.suggest_categorical("kernel", ["rbf", "linear"])
    return trial.suggest_float("C", 0.01, 100, log=True) + (kernel == "rbf")
study.optimize(objective, 6)
"""


def test_processes_on_one_storage_get_configs_of_their_own(
    store: MetaStore, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one = optuna.create_study(study_name="shared", storage=url, direction="maximize")
    arguments = [str(store.paths.folder), url]
    ended = []
    threads = [
        threading.Thread(target=lambda i=i: ended.append(python(WORKER, *arguments, i)))
        for i in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.returncode for done in ended] == [0, 0], [done.stderr for done in ended]
    claims = [str(t.system_attrs[CLAIM]["config"]) for t in one.trials]
    assert len(set(claims)) == len(claims) == 12


def test_of_two_that_claim_at_once_one_gives_way(store: MetaStore) -> None:
    """The other trial claims the same config between our choice and our look at the claims."""
    one = study(store)
    rival, mine = one.ask(), one.ask()
    storage = one._storage
    write = storage.set_trial_system_attr

    def jump_the_queue(trial_id: int, name: str, value: Any) -> None:
        write(trial_id, name, value)
        if trial_id == mine._trial_id:
            storage.set_trial_system_attr = write  # type: ignore[method-assign]
            write(rival._trial_id, name, value)

    storage.set_trial_system_attr = jump_the_queue  # type: ignore[method-assign]
    mine.suggest_categorical("kernel", ["rbf", "linear"])
    claims = [t.system_attrs[CLAIM]["config"] for t in one.trials]
    assert claims[0] != claims[1]


def test_a_parameter_that_is_pinned_stays_what_it_is(store: MetaStore) -> None:
    def pinned(trial: optuna.Trial) -> float:
        gamma = trial.suggest_float("gamma", 0.1, 0.1)
        kernel = trial.suggest_categorical("kernel", ["rbf"])
        config = {"kernel": kernel, "gamma": gamma, "C": trial.suggest_float("C", 0.01, 100)}
        return score(*wine(), config)

    one = study(store)
    one.optimize(pinned, n_trials=16)
    assert {(t.params["gamma"], t.params["kernel"]) for t in one.trials} == {(0.1, "rbf")}


def test_failed_trials_are_not_repeated(store: MetaStore) -> None:
    def broken(trial: optuna.Trial) -> float:
        if objective(trial) > 0 and trial.number < 5:
            raise ValueError("no")
        return 0.5

    one = study(store)
    one.optimize(broken, 8, catch=(ValueError,))
    assert [t.state for t in one.trials] == [TrialState.FAIL] * 5 + [TrialState.COMPLETE] * 3
    assert len({canonical_json(p) for p in params(one)}) == 8


@pytest.mark.parametrize("how", ["fails", "is infeasible"])
def test_what_fails_here_is_left_alone(store: MetaStore, how: str) -> None:
    """The kernel that is best on past datasets does not work on this one."""

    def without(trial: optuna.Trial) -> float:
        value = objective(trial)
        if how == "fails" and trial.params["kernel"] == "rbf":
            raise ValueError("no such kernel")
        trial.set_constraint("kernel", float(trial.params["kernel"] == "rbf"))
        return value

    one = study(store)
    one.optimize(without, 24, catch=(ValueError,))
    kernels = [trial.params["kernel"] for trial in one.trials]
    assert kernels[0] == "rbf"
    assert kernels[:12].count("rbf") <= 4
    assert kernels[12:].count("rbf") <= 1
    runs = [t for t in one.trials[3:] if t.params["kernel"] == "linear"]
    assert max(t.user_attrs[ATTRIBUTE]["risk"] for t in runs if ATTRIBUTE in t.user_attrs) < 0.5


def test_constraints_and_pruners_work_together(store: MetaStore) -> None:
    def constrained(trial: optuna.Trial) -> float:
        value = objective(trial)
        trial.set_constraint("small", trial.params["C"] - 5)
        for step in range(4):
            trial.report(value * (step + 1) / 4, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    one = optuna.create_study(
        direction="maximize",
        sampler=sampler(store),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
    )
    one.optimize(constrained, 14)
    states = [t.state for t in one.trials]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    assert one.best_trial.params["C"] <= 5


@pytest.mark.filterwarnings("ignore:.*constraints_func.*:FutureWarning")
def test_a_constraints_function_is_asked_after_each_trial(store: MetaStore) -> None:
    one = study(store, constraints_func=lambda trial: (trial.params["C"] - 5,))
    one.optimize(objective, 3)
    assert [t.constraints for t in one.trials] == [{"0": p["C"] - 5} for p in params(one)]


def test_hyperband_shows_the_sampler_some_trials_alone(store: MetaStore) -> None:
    def stepwise(trial: optuna.Trial) -> float:
        value = objective(trial)
        for step in range(9):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    one = optuna.create_study(direction="maximize", sampler=sampler(store), pruner=pruner)
    one.optimize(stepwise, 12)
    assert len({canonical_json(p) for p in params(one)}) == 12


def test_enqueued_trials_are_left_as_they_are(store: MetaStore) -> None:
    one = study(store)
    one.enqueue_trial({"kernel": "linear", "C": 7.0})
    one.enqueue_trial(dict(GRID[0]))
    one.enqueue_trial({"kernel": "linear"})
    one.optimize(objective, 6)
    assert params(one)[:2] == [{"kernel": "linear", "C": 7.0}, GRID[0]]
    assert params(one)[2]["kernel"] == "linear"
    assert GRID[0] not in params(one)[2:]
    assert [CLAIM in trial.system_attrs for trial in one.trials] == [False] * 3 + [True] * 3


def test_the_wrong_direction_is_refused(store: MetaStore) -> None:
    one = optuna.create_study(direction="minimize", sampler=sampler(store))
    with pytest.raises(InvalidInputError, match=r"direction='maximize'"):
        one.optimize(objective, 1)


def test_several_objectives_are_refused(store: MetaStore) -> None:
    one = optuna.create_study(directions=["maximize", "maximize"], sampler=sampler(store))
    with pytest.raises(InvalidInputError, match="2 objectives"):
        one.optimize(lambda trial: (objective(trial), 0.0), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "accuraci"}, "did you mean 'accuracy'"),
        ({"algorithm": "sklearn.svm.SVR"}, "sklearn.svm.SVC"),
        ({"recommender": "autom"}, "did you mean 'auto'"),
    ],
)
def test_names_that_the_store_does_not_have(
    store: MetaStore, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnknownNameError, match=message):
        sampler(store, **options)
    with pytest.raises(UnknownNameError, match=r"given by its data, \(X, y\)"):
        sampler(store, "whine")


def test_data_is_recognised_by_its_cells(store: MetaStore) -> None:
    X, y = wine()
    found = sampler(store, store.dataset(X, y, name="wine"))
    assert found._advice.advisor.name == "wine"
    assert sampler(store, (X, y))._advice.advisor.name.startswith("data-")


def test_an_empty_store_leaves_everything_to_tpe(tmp_path: Path) -> None:
    empty = metastore.open(tmp_path / "store")
    ours = optuna.create_study(direction="maximize", sampler=sampler(empty))
    theirs = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    for each in (ours, theirs):
        each.optimize(objective, 12)
    assert params(ours) == params(theirs)


def test_a_sampler_can_be_sent_to_another_process(store: MetaStore) -> None:
    one = study(store)
    one.optimize(objective, 3)
    again = pickle.loads(pickle.dumps(one.sampler))
    two = optuna.create_study(direction="maximize", sampler=again)
    two.optimize(objective, 3)
    assert params(two) == params(one)


def test_the_circle_closes(store: MetaStore, tmp_path: Path) -> None:
    """What a study recorded is what the next study starts from, on this and on other datasets."""
    import shutil  # noqa: PLC0415

    store.absorb()
    mine = metastore.open(shutil.copytree(store.paths.folder, tmp_path / "mine"))
    record = mine.optuna_callback(wine(), algorithm=SVC, metric="accuracy")
    one = optuna.create_study(direction="maximize", sampler=sampler(mine, wine()))
    one.optimize(objective, 5, callbacks=[record])
    assert len(mine.rows("SELECT run_id FROM runs WHERE parent_id IS NOT NULL")) == 5
    resumed = sampler(mine, wine())
    own = [dict(o.config) for o in resumed._advice.advisor.own]
    assert sorted(map(canonical_json, own)) == sorted(map(canonical_json, params(one)))
    two = optuna.create_study(direction="maximize", sampler=resumed)
    two.optimize(objective, 5)
    assert not set(map(canonical_json, params(two))) & set(map(canonical_json, params(one)))
    assert one.trials[0].params in [dict(c) for c in _past(sampler(mine, "iris"))]


def _past(one: HeadstartSampler) -> list[dict[str, Any]]:
    view = one._advice.view
    assert view is not None
    return [view.config(i) for i in range(view.n_configs)]


def test_what_was_advised_is_recorded_and_its_worth_told(store: MetaStore, tmp_path: Path) -> None:
    import shutil  # noqa: PLC0415

    store.absorb()
    mine = metastore.open(shutil.copytree(store.paths.folder, tmp_path / "mine"))
    ref = mine.dataset(*wine(), name="wine")
    record = mine.optuna_callback(ref, algorithm=SVC, metric="accuracy")
    one = optuna.create_study(direction="maximize", sampler=sampler(mine, ref))
    count = "SELECT count(*) AS n FROM recommendations"
    before = mine.rows(count)[0]["n"]
    one.optimize(objective, 6, callbacks=[record])
    (found,) = worth(mine, "wine").worths
    assert (found.followed, found.tried, found.regret) == (6, 6, 0)
    assert mine.rows(count)[0]["n"] == before + 6
    silent = optuna.create_study(direction="maximize", sampler=sampler(mine, ref, record=False))
    silent.optimize(objective, 1)
    assert mine.rows(count)[0]["n"] == before + 6


def test_a_store_that_is_busy_ends_no_study(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> int:
        raise StoreBusyError("another process holds it")

    one = study(store)
    monkeypatch.setattr(store, "record_recommendations", busy)
    with pytest.warns(NotRecordedWarning, match="another process holds it"):
        one.optimize(objective, 1)
    assert one.trials[0].state is TrialState.COMPLETE


def test_late_trials_go_on_improving(store: MetaStore) -> None:
    """Beyond the past configs a smooth function is still climbed, near the best so far."""

    def peak(trial: optuna.Trial) -> float:
        kernel = trial.suggest_categorical("kernel", ["rbf", "linear"])
        C = trial.suggest_float("C", 0.01, 100, log=True)
        gamma = trial.suggest_float("gamma", 1e-3, 10, log=True) if kernel == "rbf" else 1.0
        return -(np.log10(C / 3.0) ** 2) - np.log10(gamma / 0.05) ** 2 - (kernel == "linear")

    one = study(store)
    one.optimize(peak, 40)
    best = [max(t.value or -9 for t in one.trials[:k]) for k in (len(GRID), 40)]
    assert best[1] > best[0]


def test_sampling_imports_no_torch(store: MetaStore) -> None:
    code = (
        "import sys, recommenders\n"
        "assert 'optuna' not in sys.modules\n"
        "from recommenders import HeadstartSampler\n"
        "assert not {'torch', 'sklearn'} & set(sys.modules)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert sys.modules["recommenders"].HeadstartSampler is HeadstartSampler


@pytest.fixture
def widths(tmp_path: Path) -> MetaStore:
    """Wider nets score a little better and take ten times as long, on three datasets."""
    store = metastore.open(tmp_path / "widths")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        ref = store.dataset(rng.normal(size=(40, 3)), rng.integers(0, 2, 40), name=name)
        store.add(
            RunRecord(
                ref,
                "net",
                {"width": 2**i},
                values=(MetricValue("accuracy", 0.8 + 0.01 * i),),
                seconds=10.0**i,
            )
            for i in range(4)
        )
    return store


@pytest.mark.parametrize("per_second", [False, True])
def test_where_time_counts_quick_configs_come_first(widths: MetaStore, per_second: bool) -> None:
    X, y = np.random.default_rng(1).normal(size=(40, 3)), np.arange(40) % 2
    advised = HeadstartSampler(
        widths, (X, y), metric="accuracy", algorithm="net", per_second=per_second, seed=0
    )
    one = optuna.create_study(direction="maximize", sampler=advised)
    one.optimize(lambda t: 0.5 + t.suggest_int("width", 1, 8) / 100, 14)
    first, rest = one.trials[0].params["width"], {t.params["width"] for t in one.trials[1:]}
    assert first <= 2 if per_second else first == 8
    assert len(rest) > 3  # and others after it, past ones and new ones
