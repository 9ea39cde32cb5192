"""What held-out rows say of the log-odds of accuracy of candidates, and how sure that is.

Notation
    J   candidates;  n  held-out rows
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from recommenders.starts.belief_settings import Settings
from recommenders.starts.beliefs import log_odds
from recommenders.starts.cross_validation import FloatArray, HeldOut


def observed(
    held: Sequence[HeldOut | None], kept: float, settings: Settings
) -> tuple[FloatArray, FloatArray]:
    """Return what held-out rows say of the log-odds of accuracy `(J,)`, and its covariance.

    A row counts by the mean of whether it was right and of how sure the answer was, at the
    temperature at which being sure of p is being right in p of all rows: where few rows are all
    right, the second tells candidates apart. Rows are shared, so candidates that fail on the
    same rows are compared by the others.

    Args:
        held: held-out answers of each candidate; None where there are none.
        kept: share of the rows that were learned from; accuracy with all of them is higher.
        settings: `per_shot`, `noise` and `together`.

    Returns:
        NaN, and infinite variance, where a candidate has no answers.
    """
    n = len(held)
    value, covariance = np.full(n, np.nan), np.diag(np.full(n, np.inf))
    there = {j: one for j, one in enumerate(held) if one is not None and one.n_rows}
    signals = {j: signal(one) for j, one in there.items()}
    deviations = {j: _deviation(each) for j, each in signals.items()}
    for a, each in signals.items():
        value[a] = log_odds(float(each.mean()), len(each)) - settings.per_shot * math.log(kept)
        for b, other in signals.items():
            shared, of_a, of_b = np.intersect1d(
                there[a].each, there[b].each, assume_unique=True, return_indices=True
            )
            likeness = 1.0 if a == b else _correlation(each[of_a], other[of_b])
            overlap = len(shared) / math.sqrt(len(each) * len(other))
            drawn = likeness * overlap * deviations[a] * deviations[b]
            covariance[a, b] = drawn + settings.together
        covariance[a, a] += settings.noise
    return value, covariance


def signal(held: HeldOut) -> FloatArray:
    """Return for each held-out row how well it was answered, in [0, 1]."""
    found: FloatArray = 0.5 * (held.correct + held.sure)
    return found


def _deviation(each: FloatArray) -> float:
    """Return the standard deviation of log-odds: the binomial's, by the delta method."""
    share = (each.sum() + 0.5) / (len(each) + 1)
    return 1 / math.sqrt((len(each) + 1) * share * (1 - share))


def _correlation(a: FloatArray, b: FloatArray) -> float:
    """Return the correlation of two candidates on the same rows, shrunk as few rows ask for."""
    if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1]) * len(a) / (len(a) + 10)
