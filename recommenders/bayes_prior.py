"""What past datasets say of a pool before anything is observed, as moments and as samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.sessions import Case
from recommenders.surrogates import matern

SPREADS = 5
TINY = 1e-12
NEAR = 1e-6
LENGTH = 0.7
SAMPLED = 64


MOST_DATASETS = 256
"""A new dataset has no more near ones than that, and the cost grows with their number."""


@dataclass(frozen=True, eq=False)
class Prior:
    """Past merits (regrets times -1) of A active datasets on P configs, and their moments.

    Args:
        rows: `(A,)` which datasets of the case are active.
        weights: `(A,)` adding up to 1.
        merits: `(A, P)`.
        mean: `(P,)` weighted mean merits.
        deviations: `(A, P)` sqrt(weight) times merits less mean: C = deviations' deviations.
        between: t, mean variance of a config over datasets.
        within: t', mean variance of a dataset over configs.
        spreads: `(B,)` what one merit may be worth in scores.
        levels: `(A,)` the best score of each dataset; zeros where unknown.
        level: their weighted mean.
        uncertainty: s^2, their weighted variance; infinite where unknown.
        points: `(P, d)` encoded configs over the lengthscale; None where there are none.
        features: `(P, f)` what was learned of the configs, over the lengthscales; None where
            nothing was.
    """

    rows: IntArray
    weights: FloatArray
    merits: FloatArray
    mean: FloatArray
    deviations: FloatArray
    between: float
    within: float
    spreads: FloatArray
    levels: FloatArray
    level: float
    uncertainty: float
    points: FloatArray | None
    features: FloatArray | None = None

    @classmethod
    def of(cls, case: Case, points: FloatArray | None = None) -> Prior:
        """Return the prior of a case that has at least one active dataset.

        Args:
            case: the case; datasets of weight 0, or whose scores are all equal, are not active,
                nor are those past the `MOST_DATASETS` heaviest.
            points: `(P, d)` encoded configs, if there is an encoding.
        """
        rows = np.flatnonzero((case.weights > 0) & (case.spread > 0))
        if len(rows) > MOST_DATASETS:
            heaviest = np.argsort(-case.weights[rows], kind="stable")[:MOST_DATASETS]
            rows = np.sort(rows[heaviest])
        weights = case.weights[rows] / case.weights[rows].sum()
        merits = -case.table.regret[rows]
        mean = weights @ merits
        deviations = np.sqrt(weights)[:, None] * (merits - mean)
        within = float(weights @ merits.var(axis=1)) + TINY
        # One dataset says nothing of how datasets differ: `within` stands in, for one dataset.
        count = 1 / float(weights @ weights)
        between = (count * float((deviations**2).sum(axis=0).mean()) + within) / (count + 1)
        levels = np.zeros(len(rows)) if case.best is None else case.best[rows]
        level = float(weights @ levels)
        uncertainty = float(weights @ (levels - level) ** 2)
        if case.best is None or uncertainty <= 0:
            uncertainty = float("inf")
        return cls(
            rows=rows,
            weights=weights,
            merits=merits,
            mean=mean,
            deviations=deviations,
            between=between,
            within=within,
            spreads=_quantiles(case.spread[rows], weights, SPREADS),
            levels=levels,
            level=level,
            uncertainty=uncertainty,
            points=_scaled(points),
        )

    def covariance(self, one: IntArray, other: IntArray) -> FloatArray:
        """Return C, of the merits of some configs with those of others."""
        found: FloatArray = self.deviations[:, one].T @ self.deviations[:, other]
        return found

    def likeness(self, one: IntArray, other: IntArray, learned: bool = False) -> FloatArray:
        """Return M, the kernel of the encoded configs; the identity where nothing is encoded.

        Args:
            one: `(n,)` configs.
            other: `(m,)` configs.
            learned: whether to take the features instead of the encoded configs.
        """
        points = self.features if learned else self.points
        if points is None:
            return np.asarray(one[:, None] == other[None], dtype=np.float64)
        return matern(points[one], points[other])


def upper_half(case: Case) -> Case:
    """Return a case in which no past score is below the median of its dataset over the pool.

    What tells bad configs from hopeless ones says little of which of the good ones is best, but
    it is most of the variance where a few hyperparameters spoil everything.
    """
    regret = case.table.regret
    capped = np.minimum(regret, np.median(regret, axis=1, keepdims=True))
    return replace(
        case, table=replace(case.table, own=capped, known=np.ones_like(case.table.known))
    )


def _quantiles(values: FloatArray, weights: FloatArray, count: int) -> FloatArray:
    """Return the middles of `count` equally heavy parts of a weighted sample."""
    order = np.argsort(values, kind="stable")
    heavy = np.cumsum(weights[order])
    middles = (np.arange(count) + 0.5) / count * heavy[-1]
    found: FloatArray = values[order][np.minimum(np.searchsorted(heavy, middles), len(order) - 1)]
    return found


def _scaled(points: FloatArray | None) -> FloatArray | None:
    """Return points over `LENGTH` times their median distance; None where they do not differ."""
    if points is None or not points.shape[1]:
        return None
    some = points[np.linspace(0, len(points) - 1, min(SAMPLED, len(points))).astype(np.int64)]
    lengths = (some**2).sum(axis=1)
    apart = np.sqrt(np.maximum(lengths[:, None] + lengths - 2 * some @ some.T, 0))
    apart = apart[apart > NEAR]
    return points / (LENGTH * float(np.median(apart))) if len(apart) else None
