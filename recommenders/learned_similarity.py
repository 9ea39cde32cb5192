"""Configs that did well on like datasets, where likeness is learned.

Weinberger and Tesauro, "Metric Learning for Kernel Regression", AISTATS 2007. As
`recommenders.nearest`, but a meta-feature counts by how much it tells about what configs do:
`recommenders.metric_fitting` has the equations. What is predicted from the neighbours is each
dataset's row of exponential scores of ranks, -log of a config's rank quantile (Savage, 1956):
datasets are alike where the same configs come first, and who comes last matters little.

Where the learned metric does not clearly predict better on held-out datasets than the fixed one,
with few datasets, or without meta-features, this is `nearest`.

Intervals are learned on past datasets that the metric has seen, each of them left out of its own
neighbours only: with few datasets they may be a little narrow.

What it is worth beside `nearest`: see `recommenders.ranker`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from metastore.view import FloatArray
from recommenders.cells import spread_over
from recommenders.distances import distances
from recommenders.metric_fitting import Pairs, chosen, metric_can_be_learned
from recommenders.nearest import Nearest
from recommenders.rank_quantiles import rank_quantiles
from recommenders.scores import Past

MOST = 192
"""Datasets that a metric is learned from: memory and time grow with their square."""

CONFIGS = 256
"""Configs that a dataset's row of scores is made of."""


class LearnedSimilarity(Nearest):
    """Weighs past datasets by their meta-features, and those by what they tell.

    After `fit`, `importance` `(P,)` is what each meta-feature counts, 1 in the fixed metric, and
    `gain` the error on held-out datasets over that of the fixed metric, 1 where that is used.
    """

    name: ClassVar[str] = "learned_similarity"

    def prepare(self) -> None:
        """Learn what each meta-feature counts."""
        super().prepare()
        self.importance, self.gain = self._learned()

    def _learned(self) -> tuple[FloatArray, float]:
        past, z = self.past, self._z
        importance = np.ones(z.shape[1])
        rows = spread_over(np.flatnonzero(np.isfinite(z).any(axis=1)), MOST)
        used = np.flatnonzero(np.isfinite(z[rows]).any(axis=0))
        groups = past.groups[rows]
        if not metric_can_be_learned(groups) or not len(used):
            return importance, 1.0
        t, gain = chosen(Pairs.of(z[np.ix_(rows, used)], told(past)[rows], groups), groups)
        importance[used] = np.exp(t)
        return importance, gain

    def apart(self, one: FloatArray, many: FloatArray) -> FloatArray:
        """Return the `(M,)` learned distances of z `(P,)` from each row of z `(M, P)`."""
        return distances(one, many, self.importance)


def told(past: Past) -> FloatArray:
    """Return `(D, C)` exponential scores: how far ahead each dataset puts the same C configs."""
    pool = past.default_pool
    own = pool.own[:, spread_over(np.arange(len(pool.keys)), CONFIGS)]
    return np.stack([-np.log(rank_quantiles(row)) for row in own])
