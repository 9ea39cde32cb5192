"""Choosing configs that cover past datasets: each takes over where the ones before fell short.

Greedy coverage adds the config that lowers the weighted mean, over past datasets, of the best
regret so far the most. The gain is submodular, so greedy choice is within 1 - 1/e of the best
set of that size (Nemhauser, Wolsey and Fisher, 1978), and a gain computed earlier bounds a later
one from above, which spares most of the work (Minoux, 1978).

Notation: D datasets, P configs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray

CHUNK = 64
SLACK = 1e-12
DIGITS = 12
"""Of mean regrets: those that differ by rounding only are equal, as gains are within `SLACK`."""


@dataclass(frozen=True, eq=False)
class _Gains:
    """What configs would gain: of regrets `(D, P)`, weights `(D,)` and chances to run `(P,)`."""

    regret: FloatArray
    weights: FloatArray
    chance: FloatArray

    def of(self, columns: IntArray, now: FloatArray) -> FloatArray:
        """Return what each of `columns` would lower the mean of the best regrets `(D,)` by."""
        gain = self.weights @ np.maximum(now[:, None] - self.regret[:, columns], 0)
        gains: FloatArray = self.chance[columns] * gain
        return gains


def cover(
    regret: FloatArray,
    weights: FloatArray,
    n: int,
    pickable: FloatArray | NDArray[np.bool_],
    reached: FloatArray | None = None,
) -> IntArray:
    """Return at most `n` configs in the order in which they should be tried.

    Args:
        regret: `(D, P)` regrets in [0, 1].
        weights: `(D,)` weights, not negative.
        n: how many.
        pickable: `(P,)` how likely each config is to run at all, by which its gain is multiplied;
            0 for those that may not be chosen.
        reached: `(D,)` best regret so far on each dataset; None for the worst one, 1.

    Equal gains go to the lower mean regret, then to the earlier config.

    >>> table = np.array([[0.0, 1.0, 0.2], [1.0, 0.0, 0.2]])
    >>> cover(table, np.array([0.5, 0.5]), 2, np.ones(3)).tolist()
    [2, 0]
    """
    active = weights > 0
    regret, weights = regret[active], weights[active]
    now = np.ones(len(regret)) if reached is None else reached[active].copy()
    mean = (weights @ regret).round(DIGITS)
    left = np.flatnonzero(pickable)
    left = left[np.lexsort((left, mean[left]))]
    gains = _Gains(regret, weights, np.asarray(pickable, dtype=np.float64))
    bound = gains.of(left, now)
    chosen: list[int] = []
    for _ in range(min(n, len(left))):
        at = _largest(gains, now, left, bound)
        chosen.append(int(left[at]))
        np.minimum(now, regret[:, left[at]], out=now)
        left, bound = np.delete(left, at), np.delete(bound, at)
    return np.array(chosen, dtype=np.int64)


def _largest(gains: _Gains, now: FloatArray, left: IntArray, bound: FloatArray) -> int:
    """Return the position in `left` of the largest gain, tightening `bound` on the way."""
    order = np.argsort(-bound, kind="stable")
    highest = -np.inf
    for start in range(0, len(order), CHUNK):
        some = order[start : start + CHUNK]
        if bound[some[0]] + SLACK < highest:
            break
        bound[some] = gains.of(left[some], now)
        highest = max(highest, float(bound[some].max()))
    # Gains that differ by rounding only are equal: the order of `left` decides.
    return int(np.flatnonzero(bound >= highest - SLACK)[0])
