"""A mixture of Gaussian processes learned from past datasets, conditioned on what was observed.

Empirical Bayes over datasets (Swersky, Snoek and Adams, 2013; Wang, Kim and Kaelbling, 2018,
"Regret bounds for meta Bayesian optimization with an unknown Gaussian process prior"): past
datasets, weighted by their meta-features (`recommenders.nearest`), give the prior mean and
covariance of scores over configs; observed scores condition it. Where it departs from them:
it averages over components that trust the past to different degrees, among them one that does
not look at it (`recommenders.bayes_mixture`), weighted by the marginal likelihood of what was
observed, and maximises the expected improvement under the whole mixture. So the weight of the
past falls as observations disagree with it.

With nothing observed the first config is the lowest weighted mean regret, the following ones
cover (`recommenders.coverage`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from recommenders.bayes_mixture import Conditioned, Kind
from recommenders.bayes_prior import Prior
from recommenders.nearest import Nearest
from recommenders.portfolio import covering
from recommenders.sessions import Case, Choice

KINDS = (
    *(Kind(width, 0.0, noise, 1.0) for width in (0.0, 0.3) for noise in (0.1, 0.3, 1.0)),
    *(Kind(0.0, 1.0, noise, 0.1, cold=True) for noise in (0.1, 0.3)),
)


class EmpiricalBayes(Nearest):
    """Expected improvement under a mixture of Gaussian processes learned from past datasets."""

    name: ClassVar[str] = "empirical_bayes"

    def prepare(self) -> None:
        """Learn how near past datasets are to each other."""
        super().prepare()
        self._last: tuple[Case, Prior] | None = None

    def choose(self, case: Case, n: int) -> Choice:
        """Return best guess and coverage first, expected improvement once there are scores."""
        usable = ((case.weights > 0) & (case.spread > 0)).any()
        if not self.adapt or not len(case.seen.columns) or not usable:
            return Choice(covering(case, n), case.weights)
        prior = self._prior(case)
        left = np.flatnonzero(~case.seen.taken)
        conditioned = Conditioned(prior, KINDS, case.seen.columns, case.seen.scores)
        posterior = conditioned.posterior(left)
        weights = np.zeros(len(case.weights))
        weights[prior.rows] = posterior.datasets
        return Choice(left[posterior.improvements(n)], weights)

    def _prior(self, case: Case) -> Prior:
        """Return what the past says of a case, which is the same at every step of it."""
        kept = self._last
        same = kept is not None and kept[0].table is case.table and kept[0].weights is case.weights
        if kept is None or not same:
            points = self.past.surrogates.points(case.table.keys)
            kept = self._last = (case, Prior.of(case, points))
        return kept[1]
