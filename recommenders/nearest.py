"""Configs that did well on the datasets most like this one.

Past datasets are weighted by their distance in meta-features (kernel regression: Nadaraya, 1964;
for initial configurations: Feurer, Springenberg and Hutter, 2015, who take the nearest ones'
best configs). The first config is the best guess, the lowest weighted mean regret; the following
ones cover, under the same weights, what the ones before left uncovered. Once scores of the task
itself are observed, datasets that disagree with them lose weight (`recommenders.agreement`).

A dataset out of support, or without meta-features, has no near one: all past datasets count
alike, as in the portfolio, and the evidence says so.
"""

from __future__ import annotations

from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.agreement import explain, improving
from recommenders.distances import Support, distances, kernel_weights, squash
from recommenders.portfolio import covering
from recommenders.recommender import AskedTask
from recommenders.scores import Past
from recommenders.sessions import Belief, Case, Choice
from recommenders.table_recommender import TableRecommender

_SUPPORTS: WeakKeyDictionary[Past, tuple[Support, FloatArray]] = WeakKeyDictionary()
"""What was learned from each past in use: several recommenders share one past."""


def _supported(past: Past) -> tuple[Support, FloatArray]:
    """Return where past datasets lie, and the squashed z `(D, P)` of all of them."""
    if past not in _SUPPORTS:
        values = past.view.meta.aligned(past.datasets)
        described = np.isfinite(values).any(axis=1)
        support = Support.fit(values[described], past.groups[described])
        _SUPPORTS[past] = support, squash(support.scaling(values))
    return _SUPPORTS[past]


class Nearest(TableRecommender):
    """Weighs past datasets by their meta-features, then by what was observed.

    Args:
        seed: not used; here so that every recommender is made alike.
        adapt: whether observed scores change the weights.
    """

    name: ClassVar[str] = "nearest"
    adaptive: ClassVar[bool] = True

    def __init__(self, seed: int = 0, adapt: bool = True) -> None:
        super().__init__(seed)
        self.adapt = adapt

    def prepare(self) -> None:
        """Learn how meta-features are scaled and how near past datasets are to each other."""
        self._support, self._z = _supported(self.past)

    def _scaled(self, meta_features: FloatArray) -> FloatArray:
        return squash(self._support.scaling(meta_features))

    def apart(self, one: FloatArray, many: FloatArray) -> FloatArray:
        """Return the `(M,)` distances of squashed z `(P,)` from each row of z `(M, P)`."""
        return distances(one, many)

    def believe(self, task: AskedTask) -> Belief:
        """Return kernel weights, or equal ones when nothing tells the datasets apart."""
        count, given = len(self.past.datasets), task.meta_features
        if given is None:
            return Belief.equal(count, True, f"no meta-features of {task.name}: {FALLBACK}")
        known = np.isfinite(given).any()
        apart = self.apart(self._scaled(given), self._z) if known else np.full(count, np.nan)
        if not np.isfinite(apart).any():
            return Belief.equal(count, True, f"no past dataset has its meta-features: {FALLBACK}")
        nearest, limit = self._support.nearest(given), self._support.threshold
        if nearest > limit:
            why = (
                f"its meta-features lie {nearest:.1f} from the nearest past dataset's, in robust "
                f"standard deviations, and past datasets lie within {limit:.1f}"
            )
            return Belief(np.full(count, 1 / count), apart, True, f"{why}: {FALLBACK}")
        return Belief(kernel_weights(apart), apart)

    def believe_left_out(self, rows: IntArray) -> FloatArray:
        """Return the kernel weights of the others for some past datasets."""
        groups, z = self.past.groups, self._z
        weights = np.zeros((len(rows), len(z)))
        for i, row in enumerate(rows.tolist()):
            others = groups != groups[row]
            if others.any():
                weights[i, others] = kernel_weights(self.apart(z[row], z[others]))
        return weights

    def choose(self, case: Case, n: int) -> Choice:
        """Return best guess and coverage first, expected improvement once there are scores."""
        usable = ((case.weights > 0) & (case.spread > 0)).any()
        if not self.adapt or not len(case.seen.columns) or not usable:
            return Choice(covering(case, n), case.weights)
        mixture = explain(case)
        return Choice(improving(case, mixture, n), mixture.datasets)


FALLBACK = "every past dataset counts alike at first, as in the portfolio"
