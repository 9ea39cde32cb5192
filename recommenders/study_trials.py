"""What a study's trials say to a recommender, and how trials that run at once stay apart.

| a trial that ...                    | is observed as                                          |
|-------------------------------------|---------------------------------------------------------|
| completed with a finite value       | that value                                              |
| completed outside its constraints   | a failed run: informative, but no number                |
| failed, or returned infinity        | a failed run                                            |
| was pruned                          | the value it was heading for, or pruned without a value |
| runs                                | the value that was expected of it (Kriging believer)    |
| waits in the queue                  | a run without a value: nobody else need try it          |

A pruned trial heads for its last value plus what completed trials gained after that step, in the
median, but for no more than the best of them; where none of them reported at that step it has no
value. Believing the expected value of what still runs (Ginsbourger, Le Riche and Carraro, 2010)
turns the next trial elsewhere without teaching the recommender anything new.

A trial *claims* its config in the storage before it runs. Whoever claims looks afterwards whether
another trial claimed the same one, and then gives way. Of two that claim at once at least one
sees the other, so no two trials run one config, whatever processes they run in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metastore.types import Observation, RunStatus, canonical_json
from recommenders.encoding import Key
from recommenders.recommender import Candidate
from recommenders.study_space import Offer, StudySpace

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

CLAIM = "headstart:claim"
"""Name of the system attribute that holds the config a trial follows, in the store's words."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a study's trials tell: observations, their keys, and the texts of params tried."""

    observed: list[Observation]
    keys: frozenset[Key]
    tried: frozenset[str]


def tell(trials: Sequence[FrozenTrial], space: StudySpace, higher_is_better: bool) -> Told:
    """Return what the trials of a study say.

    Args:
        trials: all but the one that is being sampled.
        space: the study's parameters beside the store's.
        higher_is_better: the metric's direction, which is the study's.
    """
    completed = [t for t in trials if t.state.name == "COMPLETE" and math.isfinite(_final(t))]
    observed, keys, tried = [], set(), set()
    for trial in trials:
        offer = _offer(trial, space)
        if offer is None:
            continue
        keys.add(offer.key)
        if trial.state.is_finished():
            tried.add(offer.text)
        value, status = _outcome(trial, completed, higher_is_better)
        seconds = trial.duration.total_seconds() if trial.duration else None
        observed.append(Observation(offer.algorithm, offer.config, value, status, seconds))
    return Told(observed, frozenset(keys), frozenset(tried))


def best_params(
    trials: Sequence[FrozenTrial], n: int, higher_is_better: bool
) -> list[dict[str, Any]]:
    """Return the params of the `n` best completed trials that kept to their constraints."""
    fine = [t for t in trials if t.state.name == "COMPLETE" and math.isfinite(_final(t))]
    fine = [t for t in fine if feasible(t)]
    fine.sort(key=_final, reverse=higher_is_better)
    return [dict(trial.params) for trial in fine[:n]]


def _offer(trial: FrozenTrial, space: StudySpace) -> Offer | None:
    """Return the config of a trial in both words, None where it has none yet."""
    claim = claim_of(trial)
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    if claim is not None:
        return space.offer(params, space.joined(claim["algorithm"], claim["config"]))
    if not params or trial.state.name == "RUNNING":
        return None
    return space.offer(params)


def _outcome(
    trial: FrozenTrial, completed: Sequence[FrozenTrial], higher_is_better: bool
) -> tuple[float | None, RunStatus]:
    state = trial.state.name
    if state in ("RUNNING", "WAITING"):
        claim = claim_of(trial)
        return (claim["value"] if claim else None), RunStatus.RUNNING
    if state == "PRUNED" and feasible(trial):
        return _heading_for(trial, completed, higher_is_better), RunStatus.PRUNED
    if state == "COMPLETE" and feasible(trial) and math.isfinite(_final(trial)):
        return _final(trial), RunStatus.COMPLETED
    return None, RunStatus.FAILED


def _heading_for(
    trial: FrozenTrial, completed: Sequence[FrozenTrial], higher_is_better: bool
) -> float | None:
    step = trial.last_step
    if step is None or not math.isfinite(trial.intermediate_values[step]):
        return None
    gains = [
        _final(other) - other.intermediate_values[step]
        for other in completed
        if math.isfinite(other.intermediate_values.get(step, math.nan))
    ]
    if not gains:
        return None
    finals = [_final(other) for other in completed]
    value = trial.intermediate_values[step] + float(np.median(gains))
    return min(value, max(finals)) if higher_is_better else max(value, min(finals))


def _final(trial: FrozenTrial) -> float:
    return math.nan if trial.value is None else float(trial.value)


def feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial kept to its constraints; one without any did."""
    found = getattr(trial, "constraints", None)  # Optuna 5
    values = found.values() if found else trial.system_attrs.get("constraints") or ()
    return all(value <= 0 for value in values)


def claim_of(trial: FrozenTrial) -> dict[str, Any] | None:
    """Return what a trial claimed: `algorithm`, `config`, and the `value` expected or None."""
    claim: dict[str, Any] | None = trial.system_attrs.get(CLAIM)
    return claim


def claimed(trial: FrozenTrial) -> Key | None:
    """Return the key of the config that a trial claimed."""
    claim = claim_of(trial)
    return None if claim is None else (claim["algorithm"], canonical_json(claim["config"]))


def claim(
    storage: BaseStorage, study_id: int, trial: FrozenTrial, wanted: Candidate, value: float
) -> list[int]:
    """Claim a config for a trial, and return the numbers of the trials that claimed it too.

    Args:
        storage: the study's storage.
        study_id: the study's id there.
        trial: who claims.
        wanted: the algorithm and the config, in the store's words.
        value: what is expected of it, NaN for nothing.
    """
    algorithm, config = wanted
    expected = value if math.isfinite(value) else None
    kept = {"algorithm": algorithm, "config": dict(config), "value": expected}
    storage.set_trial_system_attr(trial._trial_id, CLAIM, kept)
    key = (algorithm, canonical_json(config))
    return [
        other.number
        for other in storage.get_all_trials(study_id, deepcopy=False)
        if other.number != trial.number and claimed(other) == key
    ]
