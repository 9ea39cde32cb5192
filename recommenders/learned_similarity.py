"""Configs that did well on like datasets, where likeness is learned.

Weinberger and Tesauro, "Metric Learning for Kernel Regression", AISTATS 2007. As
`recommenders.nearest`, but meta-features count by how much they tell about what configs do:
`recommenders.metric_fitting` has the equations.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from metastore.view import FloatArray
from recommenders.distances import distances
from recommenders.metric_fitting import Pairs, chosen
from recommenders.nearest import Nearest
from recommenders.scores import Past, spread_over

MOST = 192
CONFIGS = 256


class LearnedSimilarity(Nearest):
    """Weighs past datasets by their meta-features, those by what they tell."""

    name: ClassVar[str] = "learned_similarity"

    def prepare(self) -> None:
        """Learn what each meta-feature counts."""
        super().prepare()
        self.importance = self._importance()

    def _importance(self) -> FloatArray:
        past, z = self.past, self._z
        self.gain = 1.0
        importance = np.ones(z.shape[1])
        rows = spread_over(np.flatnonzero(np.isfinite(z).any(axis=1)), MOST)
        used = np.flatnonzero(np.isfinite(z[rows]).any(axis=0))
        if len(rows) < 2 or not len(used):
            return importance
        scores = told(past)[rows]
        pairs = Pairs.of(z[np.ix_(rows, used)], scores, past.groups[rows])
        t, self.gain = chosen(pairs, past.groups[rows])
        importance[used] = np.exp(t)
        return importance

    def apart(self, one: FloatArray, many: FloatArray) -> FloatArray:
        """Return the `(M,)` distances of squashed z `(P,)` from each row of z `(M, P)`."""
        return distances(one, many, self.importance)


def told(past: Past) -> FloatArray:
    """Return `(D, C)` what datasets say of the same configs: their regrets."""
    pool = past.default_pool
    return pool.own[:, spread_over(np.arange(len(pool.keys)), CONFIGS)]
