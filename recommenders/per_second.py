"""Which config to run next when time is what counts.

The one of highest expected improvement per expected second (Snoek, Larochelle and Adams, 2012,
section 3.2). A config of expected score m and 80% interval (l, h) is taken as normal with standard
deviation s = (h - l) / 2.563; over the best score b so far, larger-is-better,

    EI = s (z Phi(z) + phi(z)),   z = (m - b) / s,

times the square of its chance to run where others failed. Before anything was observed b is the
lowest end of an interval in the pool: any model is better than none. Where so many configs are run
at most, each has an equal part of the time for nothing: a shorter one counts for that long, and the
most urgent without regard to time is the answer where it is no longer.

Of configs worth the same the one of highest expected score goes first, of these the quickest.

Not every config is weighed, only what a recommender finds most urgent of those that take at most
t seconds, for t the longest that fits, a third of it, a ninth, and so on. So quick configs are
looked at that would come late among all.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray
from recommenders.cells import spread_over
from recommenders.feasibility import CAUTION
from recommenders.posteriors import expected_improvement
from recommenders.sessions import Seen, Session, Step

WIDTH = 2.563
"""Width of a normal's central 80%, in standard deviations."""

SHORTER = 3.0
"""Ratio of one limit to the next."""

EACH = 16
"""Configs that are weighed of those within a limit."""

DRAWN = 256
"""Configs at most that tell how low a score may be."""


def worth_most(
    session: Session, seen: Seen, seconds: FloatArray, left: float, most: float = math.inf
) -> tuple[Step, int] | None:
    """Return an answer of a session, and the place in it of the config worth most a second.

    Args:
        session: of the task over its pool.
        seen: what was observed, and which configs may not be chosen.
        seconds: `(P,)` expected durations.
        left: seconds that there are; longer configs are not chosen.
        most: how many configs will be run at most.

    Returns:
        None where no config fits into the time.
    """
    fits = ~seen.taken & (seconds <= left)
    if not fits.any():
        return None
    free = 0.0 if math.isinf(left) or math.isinf(most) else left / most
    if free:
        step = session.step(replace(seen, taken=~fits), EACH)
        place = _quickest_like_the_first(step, seconds)
        if seconds[step.choice.columns[place]] <= free:
            return step, place
    best = float(seen.scores.max()) if len(seen.scores) else _lowest(session, seen, seconds, fits)
    found: tuple[Step, int] | None = None
    highest: tuple[float, ...] = ()
    limit, shortest = float(seconds[fits].max()), float(seconds[fits].min())
    while limit >= shortest:
        step = session.step(replace(seen, taken=~(fits & (seconds <= limit))), EACH)
        took = seconds[step.choice.columns]
        worth = improvements(step, best) / np.maximum(took, free)
        rows = zip(worth.tolist(), np.nan_to_num(step.score).tolist(), took.tolist(), strict=True)
        for place, (gain, score, duration) in enumerate(rows):
            key = _rounded(gain), _rounded(score), -duration
            if key > highest:
                found, highest = (step, place), key
        limit /= SHORTER
    return found


def _quickest_like_the_first(step: Step, seconds: FloatArray) -> int:
    """Return the place of the quickest config of an answer that promises what the first does."""
    promised = [
        tuple(map(_rounded, (step.score[i], step.low[i], step.high[i], step.risk[i])))
        for i in range(len(step.score))
    ]
    alike = [i for i, one in enumerate(promised) if repr(one) == repr(promised[0])]
    return min(alike, key=lambda i: float(seconds[step.choice.columns[i]]))


def _rounded(value: float) -> float:
    """Return a number that equals others which differ from it by rounding errors alone."""
    return float(f"{value:.9g}")


def improvements(step: Step, best: float) -> FloatArray:
    """Return by how much each config of an answer `(n,)` is expected to exceed a score.

    A config of which nothing is known promises nothing.
    """
    known = np.isfinite(step.score)
    mean = np.where(known, step.score, best)
    width = np.where(known & np.isfinite(step.high - step.low), step.high - step.low, 0.0)
    gain = expected_improvement(mean, width / WIDTH, best) * (1 - step.risk) ** CAUTION
    hoped: FloatArray = np.where(known, gain, 0.0)
    return hoped


def _lowest(session: Session, seen: Seen, seconds: FloatArray, fits: NDArray[np.bool_]) -> float:
    """Return the lowest score that intervals of configs which fit reach down to."""
    places = np.flatnonzero(fits)
    some = spread_over(places[np.argsort(seconds[places], kind="stable")], DRAWN)
    taken = np.ones(len(fits), dtype=bool)
    taken[some] = False
    low = session.step(replace(seen, taken=taken), len(some)).low
    known = low[np.isfinite(low)]
    return float(known.min()) if len(known) else 0.0
