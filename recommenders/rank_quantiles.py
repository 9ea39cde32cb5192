"""Where configs stand among those that ran on the same dataset."""

from __future__ import annotations

import numpy as np

from metastore.view import FloatArray


def rank_quantiles(regrets: FloatArray) -> FloatArray:
    """Return the quantile `(n,)`, in (0, 1), of each regret `(n,)`: near 0 for the lowest.

    The middle of the config's place; equal regrets share the middle of theirs.

    >>> rank_quantiles(np.array([0.0, 0.9, 0.3, 0.3])).tolist()
    [0.125, 0.875, 0.5, 0.5]
    """
    ordered = np.sort(regrets)
    low, high = np.searchsorted(ordered, regrets), np.searchsorted(ordered, regrets, "right")
    quantiles: FloatArray = 0.5 * (low + high) / max(1, len(regrets))
    return quantiles
