"""What trials say: completed, failed, pruned, outside their constraints, running and waiting."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from metastore.types import RunStatus, canonical_json
from recommenders.study_space import StudySpace
from recommenders.study_trials import CLAIM, best_params, tell

USED = {
    "C": FloatDistribution(0.01, 100.0, log=True),
    "kernel": CategoricalDistribution(("rbf", "linear")),
}
PAST = [
    ("svc", canonical_json({"C": c, "kernel": k, "tol": 0.001}))
    for c in (0.1, 1.0, 10.0)
    for k in ("rbf", "linear")
]


@pytest.fixture
def space() -> StudySpace:
    return StudySpace(PAST, USED)


def trial(value: float | None = None, state: str = "COMPLETE", **options: Any) -> FrozenTrial:
    params = options.pop("params", {"C": 1.0, "kernel": "rbf"})
    return create_trial(
        state=TrialState[state],
        value=value,
        params=params,
        distributions={name: USED[name] for name in params},
        **options,
    )


def outcome(space: StudySpace, *trials: FrozenTrial, higher: bool = True) -> list[Any]:
    return [(o.value, o.status) for o in tell(trials, space, higher).observed]


def test_completed_trials_are_observed_in_the_stores_words(space: StudySpace) -> None:
    (one,) = tell([trial(0.9)], space, True).observed
    assert (one.algorithm, one.value, one.status) == ("svc", 0.9, RunStatus.COMPLETED)
    assert dict(one.config) == {"C": 1.0, "kernel": "rbf", "tol": 0.001}


def test_failures_are_informative_but_no_numbers(space: StudySpace) -> None:
    assert outcome(space, trial(state="FAIL")) == [(None, RunStatus.FAILED)]
    assert outcome(space, trial(math.inf)) == [(None, RunStatus.FAILED)]
    nothing = trial(state="FAIL", params={})
    assert outcome(space, nothing) == []


def test_outside_its_constraints_a_trial_has_failed(space: StudySpace) -> None:
    def constrained(by: float) -> FrozenTrial:
        return trial(0.9, constraints={"size": by})

    assert outcome(space, constrained(1.0)) == [(None, RunStatus.FAILED)]
    assert outcome(space, constrained(0.0)) == [(0.9, RunStatus.COMPLETED)]
    old = trial(0.9, system_attrs={"constraints": [0.5]})
    assert outcome(space, old) == [(None, RunStatus.FAILED)]
    params = {"C": 5.0, "kernel": "rbf"}
    assert best_params([constrained(1.0), trial(0.1, params=params)], 3, True) == [params]


def test_a_pruned_trial_heads_for_its_value_plus_what_others_gained(space: StudySpace) -> None:
    completed = [
        trial(0.80, intermediate_values={0: 0.5, 1: 0.7}),
        trial(0.90, intermediate_values={0: 0.5, 1: 0.8}),
        trial(0.85, intermediate_values={0: 0.4, 1: 0.7}),
    ]
    pruned = trial(state="PRUNED", intermediate_values={0: 0.3, 1: 0.6})
    value, status = outcome(space, *completed, pruned)[-1]
    assert value == pytest.approx(0.6 + 0.1)
    assert status is RunStatus.PRUNED


def test_a_pruned_trial_promises_no_more_than_the_best(space: StudySpace) -> None:
    completed = trial(0.8, intermediate_values={0: 0.2})
    pruned = trial(state="PRUNED", intermediate_values={0: 0.7})
    assert outcome(space, completed, pruned)[-1][0] == 0.8
    low = trial(0.2, intermediate_values={0: 0.8})
    assert outcome(space, low, trial(state="PRUNED", intermediate_values={0: 0.3}), higher=False)[
        -1
    ] == (0.2, RunStatus.PRUNED)


def test_a_partial_value_that_compares_with_nothing_is_none(space: StudySpace) -> None:
    completed = trial(0.8, intermediate_values={9: 0.2})
    for pruned in (
        trial(state="PRUNED", intermediate_values={3: 0.7}),
        trial(state="PRUNED", intermediate_values={9: math.nan}),
        trial(state="PRUNED"),
    ):
        assert outcome(space, completed, pruned)[-1] == (None, RunStatus.PRUNED)


def test_running_trials_are_believed_and_waiting_ones_left_alone(space: StudySpace) -> None:
    study = optuna.create_study()
    study.enqueue_trial({"C": 3.0, "kernel": "linear"})
    waiting = study.get_trials(deepcopy=False)[0]
    config = {"C": 1.0, "kernel": "rbf", "tol": 0.01}
    claim = {"algorithm": "svc", "config": config, "value": 0.7}
    running = trial(state="RUNNING", params={"C": 1.0}, system_attrs={CLAIM: claim})
    unclaimed = trial(state="RUNNING", params={"C": 1.0})
    told = tell([waiting, running, unclaimed], space, True)
    assert [(o.value, o.status) for o in told.observed] == [
        (None, RunStatus.RUNNING),
        (0.7, RunStatus.RUNNING),
    ]
    assert dict(told.observed[1].config) == config
    assert ("svc", canonical_json(config)) in told.keys
    assert not told.tried


def test_what_a_trial_really_did_goes_over_its_claim(space: StudySpace) -> None:
    claim = {"algorithm": "svc", "config": {"C": 1.0, "kernel": "rbf", "tol": 0.01}, "value": None}
    params = {"C": 2.5, "kernel": "rbf"}
    (one,) = tell([trial(0.5, params=params, system_attrs={CLAIM: claim})], space, True).observed
    assert dict(one.config) == {"C": 2.5, "kernel": "rbf", "tol": 0.01}
