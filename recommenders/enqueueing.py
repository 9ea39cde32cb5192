"""Put recommendations onto an Optuna study, to be tried first."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from metastore.errors import InvalidInputError
from metastore.search_space import SearchSpace
from metastore.space_reconcile import projectable
from metastore.types import canonical_json
from recommenders.recommender import Recommendation

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


class EnqueuedWarning(UserWarning):
    """A recommended config does not fit the study's space as it is."""


ATTRIBUTE = "headstart"
"""Name of the user attribute that holds why a trial was enqueued."""


def enqueue(study: Study, recommendations: Iterable[Recommendation] | Recommendation) -> int:
    """Enqueue recommended configs on a study and return how many were new to it.

    A config that the study has already tried, is trying, or has waiting is skipped. Each trial
    carries its recommendation in the user attribute `ATTRIBUTE`: algorithm, expected value,
    interval and seconds (None where unknown), method, note, and the heaviest past datasets.
    Where trials of the study say that its space is another one, a number goes to the nearest bound
    and a category that it lacks is left to the study's sampler, with a warning.

    Args:
        study: an Optuna study; the next `ask` or `optimize` takes the trials in order.
        recommendations: what a recommender returned, the most urgent first, or one of them.

    Raises:
        InvalidInputError: if something else than a study or recommendations is given.
    """
    if not hasattr(study, "enqueue_trial"):
        raise InvalidInputError(f"enqueue: expected an Optuna study, got {type(study).__name__}")
    if isinstance(recommendations, Recommendation):
        recommendations = [recommendations]
    if not isinstance(recommendations, Iterable):
        raise _no_recommendation(recommendations)
    trials = study.get_trials(deepcopy=False)
    known = {_key(_params(trial)) for trial in trials}
    space = SearchSpace({name: one for t in trials for name, one in t.distributions.items()})
    count = 0
    for recommendation in recommendations:
        if not isinstance(recommendation, Recommendation):
            raise _no_recommendation(recommendation)
        params, misfits = fitted(recommendation.config, space)
        if misfits:
            warnings.warn(f"enqueue: {'; '.join(misfits)}", EnqueuedWarning, stacklevel=2)
        key = _key(params)
        if key in known:
            continue
        known.add(key)
        study.enqueue_trial(params, user_attrs={ATTRIBUTE: as_attribute(recommendation)})
        count += 1
    return count


def fitted(config: Mapping[str, Any], space: SearchSpace) -> tuple[dict[str, Any], list[str]]:
    """Return what a study can try of a config, and what had to be changed, in words.

    Args:
        config: hyperparameters by name.
        space: of the study, as far as it is known.
    """
    params, misfits = dict[str, Any](), list[str]()
    for name, value in config.items():
        reason = space.codecs[name].why_not(value) if name in space else ""
        if not reason:
            params[name] = value
        elif projectable(space.codecs[name], value):
            params[name] = space.codecs[name].nearest(value)
            misfits.append(f"{name!r}: {reason}, {params[name]!r} is tried")
        else:
            misfits.append(f"{name!r}: {reason}, the study draws it itself")
    return params, misfits


def _no_recommendation(given: object) -> InvalidInputError:
    return InvalidInputError(
        "enqueue: expected what recommend(...) returned, a list of Recommendation, got a "
        f"{type(given).__name__}"
    )


def _params(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return what a trial tried, or what it will try."""
    fixed: Mapping[str, Any] | None = trial.system_attrs.get("fixed_params")
    return {**(fixed or {}), **trial.params}


def _key(params: Mapping[str, Any]) -> str:
    """Return a text that is the same for the same params; 1 and 1.0 are the same to Optuna."""
    even = {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in params.items()
    }
    return canonical_json(even)


def as_attribute(recommendation: Recommendation) -> dict[str, Any]:
    """Return what a trial keeps of the recommendation it follows; unknown numbers are None."""
    evidence = recommendation.evidence
    low, high = recommendation.interval
    return {
        "algorithm": recommendation.algorithm,
        "value": _finite(recommendation.value),
        "interval": [_finite(low), _finite(high)],
        "seconds": _finite(recommendation.seconds),
        "risk": evidence.risk,
        "method": evidence.method,
        "abstained": evidence.abstained,
        "note": evidence.note,
        "datasets": [
            {
                "dataset": neighbour.dataset,
                "distance": _finite(neighbour.distance),
                "weight": neighbour.weight,
            }
            for neighbour in evidence.neighbours[:5]
        ],
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
