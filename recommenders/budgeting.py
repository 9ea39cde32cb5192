"""What to run within a time: a batch that is expected to be worth most for its seconds.

Each config is the one worth most a second (`recommenders.per_second`) of those that fit into the
time left. Where a number of configs was asked for, each of them has an equal part of that time for
nothing: three configs in an hour need not be quick ones. Where every one that is recommended
without regard to time fits into its part, these are the answer. Before the next choice what was
chosen is believed to come out as expected, so that a batch does not hold the same guess many
times. Durations are those expected on the dataset at hand (`recommenders.durations`). Where none is
known the time cannot be kept, and the answer says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from metastore.errors import InvalidInputError
from metastore.types import Observation, canonical_json
from recommenders.pool_recommender import PoolRecommender, check_count
from recommenders.recommender import Recommendation
from recommenders.tasks import resolve

MOST = 50
"""Configs in a batch at most."""

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(min|[smhd])?\s*")


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch and the time it is expected to take.

    Args:
        recommendations: what to run, in this order; `seconds` on the dataset at hand.
        seconds: expected duration of all of them; NaN where nothing is known.
        scale: how many times as long as expected the dataset's own runs took; 1 where none ran.
        guessed: how many of the durations are guessed from other configs.
        ample: whether there is so much time that it made no difference.
    """

    recommendations: tuple[Recommendation, ...]
    seconds: float
    scale: float
    guessed: int
    ample: bool = False


def parse_duration(text: str) -> float:
    """Return the seconds that a text such as `90`, `45s`, `10m` or `1h30m` stands for.

    Raises:
        InvalidInputError: if it is no positive duration.

    >>> parse_duration("10m"), parse_duration("1h30m"), parse_duration("90")
    (600.0, 5400.0, 90.0)
    """
    parts = _PART.findall(text.strip().lower())
    whole = "".join(number + unit for number, unit in parts)
    units = [unit for _, unit in parts]
    plain = len(parts) > 1 and "" in units
    if not parts or plain or whole != re.sub(r"\s", "", text.lower()):
        raise InvalidInputError(
            f"budget: expected a duration such as 90s, 10m, 1h30m or 600 (seconds), got {text!r}"
        )
    seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    return checked_budget(seconds)


def checked_budget(seconds: float) -> float:
    """Return a budget if it is a positive, finite number of seconds.

    Raises:
        InvalidInputError: if it is not.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidInputError(f"budget: expected a positive number of seconds, got {seconds!r}")
    return float(seconds)


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent.

    Args:
        seconds: that all runs together may take, one after the other.
        most: configs at most, each with an equal part of the time; None for as many as fit.

    Raises:
        InvalidInputError: if the time is not a positive number of seconds, or the number of configs
            not a positive whole one.
    """

    seconds: float
    most: int | None = None

    def __post_init__(self) -> None:
        checked_budget(self.seconds)
        if self.most is not None:
            check_count("n", self.most)


def plan(
    recommender: PoolRecommender,
    task: Any,
    observed: Sequence[Observation],
    budget: Budget,
) -> Plan:
    """Return the batch that is expected to be worth most within a time.

    Where no duration is known at all it is the recommender's own batch, of unknown duration.

    Args:
        recommender: a fitted recommender.
        task: what is asked about, as in `Recommender.recommend`.
        observed: what was already run on it, with `seconds` where they are known.
        budget: what may be spent.
    """
    task, scale = resolve(task, recommender.past.view), own_scale(recommender, task, observed)
    most = MOST if budget.most is None else budget.most
    if not recommender.timed:
        found = recommender.recommend(task, observed, most)
        return Plan(tuple(found), math.nan, scale, len(found))
    if budget.most is not None:
        found = recommender.recommend(task, observed, budget.most)
        if all(one.seconds <= budget.seconds / budget.most for one in found):
            return replace(_planned(recommender, found, scale), ample=True)
    believed, left = list(observed), budget.seconds
    chosen: list[Recommendation] = []
    while len(chosen) < most:
        slots = None if budget.most is None else budget.most - len(chosen)
        one = recommender.recommend_within(task, left, believed, most=slots)
        if one is None:
            break
        chosen.append(one)
        left -= one.seconds
        believed.append(one.believed())
    return _planned(recommender, chosen, scale)


def _planned(recommender: PoolRecommender, chosen: Sequence[Recommendation], scale: float) -> Plan:
    guessed = sum(not _ran(recommender, one) for one in chosen)
    return Plan(tuple(chosen), sum(one.seconds for one in chosen), scale, guessed)


def own_scale(recommender: PoolRecommender, task: Any, observed: Sequence[Observation]) -> float:
    """Return how many times as long as was expected before them the task's own runs took."""
    timed = [o for o in observed if o.seconds is not None and o.seconds > 0]
    if not timed:
        return 1.0
    pool = [(o.algorithm, o.config) for o in timed]
    past = recommender.recommend(task, (), len(pool), pool)
    expected = {(r.algorithm, repr(sorted(r.config.items()))): r.seconds for r in past}
    ratios = [
        math.log(o.seconds / seconds)
        for o in timed
        if o.seconds is not None
        and (seconds := expected.get((o.algorithm, repr(sorted(o.config.items()))), math.nan)) > 0
    ]
    return math.exp(median(ratios)) if ratios else 1.0


def _ran(recommender: PoolRecommender, one: Recommendation) -> bool:
    """Return whether a past dataset knows how long a config took."""
    table = recommender.past.table(((one.algorithm, canonical_json(one.config)),))
    return bool((table.seconds > 0).any())
