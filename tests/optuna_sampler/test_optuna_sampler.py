"""The sampler on studies: what it learns from, what it leaves to others, what it refuses."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import metastore
from metastore import MetaStore
from metastore.errors import InvalidInputError, UnknownNameError
from metastore.types import MetricValue, RunRecord, canonical_json
from recommenders.enqueueing import ATTRIBUTE
from recommenders.optuna_sampler import HeadstartSampler
from recommenders.study_trials import CLAIM
from tests.optuna_sampler.helpers import GRID, SVC, objective, params, sampler, score, study, wine
from tests.processes import python


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


def test_a_parameter_that_is_pinned_stays_what_it_is(store: MetaStore) -> None:
    def pinned(trial: optuna.Trial) -> float:
        gamma = trial.suggest_float("gamma", 0.1, 0.1)
        kernel = trial.suggest_categorical("kernel", ["rbf"])
        config = {"kernel": kernel, "gamma": gamma, "C": trial.suggest_float("C", 0.01, 100)}
        return score(*wine(), config)

    one = study(store)
    one.optimize(pinned, n_trials=16)
    assert {(t.params["gamma"], t.params["kernel"]) for t in one.trials} == {(0.1, "rbf")}


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
