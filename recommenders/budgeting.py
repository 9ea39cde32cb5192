"""What to run within a time: a batch that is expected to be worth most for its seconds.

The first config is the recommender's first guess, if it fits. Each further one has the highest
expected improvement per second (Snoek, Larochelle and Adams, 2012, section 3.2) of those that fit
into the time left: greedy by ratio, as for a knapsack. Before the next choice what was chosen is
believed to come out as expected (Kriging believer: Ginsbourger, Le Riche and Carraro, 2010), so
that a batch does not hold the same guess many times. A config of expected value m and 80%
interval (l, h) is taken as normal with standard deviation s = (h - l) / 2.563; over the best
value so far b, larger-is-better,

    EI = s (z Phi(z) + phi(z)),   z = (m - b) / s

Durations are those of past runs, times the median ratio of how long the dataset's own runs took
to what past runs of the same configs took. A config of unknown duration counts as long as the
median of the known ones; where none is known the time cannot be kept, and the answer says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from metastore.errors import InvalidInputError
from metastore.types import Observation, RunStatus
from recommenders.pool_recommender import PoolRecommender
from recommenders.posteriors import expected_improvement
from recommenders.recommender import Recommendation

LOOKED_AT = 64
"""Configs that are weighed at each choice: what the recommender itself finds most urgent."""

EVERYTHING = 1_000
"""Configs that are looked through where none of those fits into the time left."""

MOST = 50
"""Configs in a batch at most."""

WIDTH = 2.563
"""Width of a normal's central 80%, in standard deviations."""

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(min|[smhd])?\s*")


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch and the time it is expected to take.

    Args:
        recommendations: what to run, in this order; `seconds` on the dataset at hand.
        seconds: expected duration of all of them; NaN where nothing is known.
        scale: how many times as long as past runs the dataset's own took; 1 where none ran.
        guessed: how many of the durations are guessed from other configs.
    """

    recommendations: tuple[Recommendation, ...]
    seconds: float
    scale: float
    guessed: int


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
        most: configs at most.

    Raises:
        InvalidInputError: if the time is not a positive number of seconds.
    """

    seconds: float
    most: int = MOST

    def __post_init__(self) -> None:
        checked_budget(self.seconds)


def plan(
    recommender: PoolRecommender,
    task: Any,
    observed: Sequence[Observation],
    budget: Budget,
    *,
    higher_is_better: bool,
) -> Plan:
    """Return the batch that is expected to be worth most within a time.

    Where no duration is known at all it is the recommender's own batch, of unknown duration.

    Args:
        recommender: a fitted recommender.
        task: what is asked about, as in `Recommender.recommend`.
        observed: what was already run on it, with `seconds` where they are known.
        budget: what may be spent.
        higher_is_better: the metric's direction.
    """
    scale = own_scale(recommender, task, observed)
    usual = _usual(recommender.recommend(task, observed, LOOKED_AT))
    if usual is None:
        found = recommender.recommend(task, observed, budget.most)
        return Plan(tuple(found), math.nan, scale, len(found))
    believed, left, guessed = list(observed), budget.seconds, 0
    chosen: list[Recommendation] = []
    while len(chosen) < budget.most:
        fitting: list[Recommendation] = []
        for looked_at in (LOOKED_AT, EVERYTHING):
            found = recommender.recommend(task, believed, looked_at)
            timed = [replace(one, seconds=_duration(one, usual, scale)) for one in found]
            fitting = [one for one in timed if one.seconds <= left]
            if fitting or len(found) < looked_at:
                break
        if not fitting:
            break
        one = _best(fitting, believed, higher_is_better)
        guessed += math.isnan(found[timed.index(one)].seconds)
        chosen.append(one)
        left -= one.seconds
        value = one.value if math.isfinite(one.value) else None
        believed.append(Observation(one.algorithm, one.config, value, RunStatus.RUNNING))
    return Plan(tuple(chosen), sum(one.seconds for one in chosen), scale, guessed)


def own_scale(recommender: PoolRecommender, task: Any, observed: Sequence[Observation]) -> float:
    """Return how many times as long as past runs of the same configs the task's own took."""
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


def _usual(found: Sequence[Recommendation]) -> float | None:
    """Return the median of the known durations, None where none is known."""
    known = [one.seconds for one in found if math.isfinite(one.seconds)]
    return median(known) if known else None


def _duration(one: Recommendation, usual: float, scale: float) -> float:
    return scale * (one.seconds if math.isfinite(one.seconds) else usual)


def _best(
    fitting: Sequence[Recommendation], believed: Sequence[Observation], higher_is_better: bool
) -> Recommendation:
    """Return what is worth most per second; the most urgent while there is nothing to beat."""
    sign = 1.0 if higher_is_better else -1.0
    scores = [sign * o.value for o in believed if o.usable and o.value is not None]
    if not scores:
        return fitting[0]
    best = max(scores)
    return max(fitting, key=lambda one: improvement(one, best, sign) / one.seconds)


def improvement(one: Recommendation, best: float, sign: float) -> float:
    """Return by how much a config is expected to exceed the best score so far.

    Args:
        one: the config, its value and interval in the metric's own direction.
        best: the best score, larger-is-better.
        sign: 1 where larger is better, else -1.

    >>> from recommenders.recommender import Evidence
    >>> one = Recommendation("a", {}, 0.8, (0.8 - 0.12815, 0.8 + 0.12815), 1.0, Evidence("x"))
    >>> round(improvement(one, 0.8, 1.0), 4)  # 0.1 / sqrt(2 pi)
    0.0399
    """
    mean = sign * one.value
    if not math.isfinite(mean):
        return 0.0
    low, high = one.interval
    scale = abs(high - low) / WIDTH if math.isfinite(high - low) else 0.0
    return float(expected_improvement(np.array([mean]), np.array([scale]), best)[0])
