"""What is made of trials that failed, broke their constraints or were pruned."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from metastore import MetaStore
from metastore.types import canonical_json
from recommenders.enqueueing import ATTRIBUTE
from tests.optuna_sampler.helpers import objective, params, sampler, study


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
