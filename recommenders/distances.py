"""How far apart datasets are in their meta-features, and how much each one counts.

A meta-feature x becomes z = (f(x) - median) / scale with f(x) = sign(x) log(1 + |x|), for
meta-features span many orders of magnitude; scale is the interquartile range over 1.349, or the
standard deviation where that is 0. Distances squash z softly to (-3, 3), so that one wild
meta-feature does not decide. The distance of two datasets is the mean absolute difference over
the meta-features that both have, unknown where they share less than a third.

A dataset is out of support when its nearest past dataset is further, in z that is not squashed,
than nearly every past dataset is from its own nearest one (near-duplicates left out): above the
`SUPPORT` quantile of those leave-one-out distances, times `MARGIN`. Of datasets that come from
where the past ones came from, at most one in a hundred is then turned away.

Notation: M datasets, P meta-features.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.cells import spread_over

SQUASH = 3.0
MIN_SHARED = 1 / 3
SUPPORT = 0.99
MARGIN = 1.25
MIN_FOR_SUPPORT = 5
MAX_FOR_SUPPORT = 256
NEIGHBOURS = 5
UNIFORM = 0.1


@dataclass(frozen=True, eq=False)
class Scaling:
    """Centre and scale `(P,)` of meta-features after the signed logarithm."""

    centre: FloatArray
    scale: FloatArray

    @classmethod
    def fit(cls, values: FloatArray) -> Scaling:
        """Learn from meta-features `(M, P)`; one that never varies gets scale infinity."""
        logs = _signed_log(values)
        if not len(values):
            return cls(np.zeros(values.shape[1]), np.full(values.shape[1], np.inf))
        with warnings.catch_warnings():
            # A column without a single value is no news: it gets no say below.
            warnings.simplefilter("ignore", RuntimeWarning)
            low, centre, high = np.nanquantile(logs, (0.25, 0.5, 0.75), axis=0)
            deviation = np.nanstd(logs, axis=0)
        scale = np.where(high > low, (high - low) / 1.349, deviation)
        dull = ~(scale > 1e-12)
        return cls(np.where(np.isnan(centre), 0.0, centre), np.where(dull, np.inf, scale))

    def __call__(self, values: FloatArray) -> FloatArray:
        """Return z, of the shape of `values`; NaN where missing or where nothing varies."""
        z = (_signed_log(values) - self.centre) / self.scale
        return np.where(np.isinf(self.scale), np.nan, z)


def _signed_log(values: FloatArray) -> FloatArray:
    finite = np.where(np.isfinite(values), values, np.nan)
    logs: FloatArray = np.sign(finite) * np.log1p(np.abs(finite))
    return logs


def squash(z: FloatArray) -> FloatArray:
    """Return z bent softly into (-3, 3): `z / sqrt(1 + (z / 3)^2)`."""
    bent: FloatArray = z / np.sqrt(1 + (z / SQUASH) ** 2)
    return bent


def distances(
    one: FloatArray, many: FloatArray, importance: FloatArray | None = None
) -> FloatArray:
    """Return the `(M,)` distances of z `(P,)` from each row of z `(M, P)`.

    The mean absolute difference over what both have; NaN where they share less than a third of
    what either of the two has. `importance` `(P,)`, positive, makes it a weighted mean.
    """
    difference = np.abs(many - one)
    shared = np.isfinite(difference)
    counts = shared.sum(axis=1)
    needed = MIN_SHARED * np.maximum(np.isfinite(many).sum(axis=1), np.isfinite(one).sum())
    difference = np.where(shared, difference, 0)
    if importance is None:
        mean = difference.sum(axis=1) / np.maximum(counts, 1)
    else:
        mean = difference @ importance / np.where(counts > 0, shared @ importance, 1.0)
    return np.where((counts > 0) & (counts >= needed), mean, np.nan)


def kernel_weights(distance: FloatArray, uniform: float = UNIFORM) -> FloatArray:
    """Return what share of the evidence each dataset has, `(M,)`, adding up to 1.

    A Gaussian kernel as wide as the distance to the fifth nearest dataset, mixed with equal
    weights (`uniform` of the whole), so that no dataset is silent. A dataset at an unknown
    distance has its equal share only; when no distance is known the weights are equal.
    """
    count = len(distance)
    equal = np.full(count, 1.0 / max(1, count))
    known = distance[np.isfinite(distance)]
    if not len(known):
        return equal
    width = np.sort(known)[min(NEIGHBOURS, len(known)) - 1]
    if width <= 0:
        kernel = np.where(distance == 0, 1.0, 0.0)
    else:
        nearest = known.min()
        power = 0.5 * (distance**2 - nearest**2) / width**2
        kernel = np.where(np.isfinite(distance), np.exp(-np.nan_to_num(power)), 0.0)
    weights: FloatArray = (1 - uniform) * kernel / kernel.sum() + uniform * equal
    return weights


@dataclass(frozen=True, eq=False)
class Support:
    """Where past datasets lie in meta-features, and how to tell that a new one is elsewhere.

    Args:
        scaling: how meta-features are scaled.
        z: `(M, P)` scaled meta-features of the past datasets.
        threshold: nearest distance above which a dataset is out of support.
    """

    scaling: Scaling
    z: FloatArray
    threshold: float

    @classmethod
    def fit(cls, values: FloatArray, groups: IntArray) -> Support:
        """Learn from meta-features `(M, P)` and each dataset's near-duplicate group."""
        scaling = Scaling.fit(values)
        z = scaling(values)
        return cls(scaling, z, _threshold(z, groups))

    def distances(self, meta_features: FloatArray) -> FloatArray:
        """Return the `(M,)` distances of a dataset with these meta-features `(P,)`."""
        return distances(squash(self.scaling(meta_features)), squash(self.z))

    def nearest(self, meta_features: FloatArray) -> float:
        """Return the distance to the nearest past dataset in z not squashed; NaN if unknown."""
        found = distances(self.scaling(meta_features), self.z)
        known = found[np.isfinite(found)]
        return float(known.min()) if len(known) else float("nan")

    def covers(self, meta_features: FloatArray) -> bool:
        """Return whether a dataset with these meta-features `(P,)` is in support."""
        return self.nearest(meta_features) <= self.threshold


def _threshold(z: FloatArray, groups: IntArray) -> float:
    nearest = []
    for row in spread_over(np.arange(len(z)), MAX_FOR_SUPPORT).tolist():
        apart = distances(z[row], z[groups != groups[row]])
        if np.isfinite(apart).any():
            nearest.append(float(np.nanmin(apart)))
    if len(nearest) < MIN_FOR_SUPPORT:
        return float("inf")
    return MARGIN * float(np.quantile(nearest, SUPPORT, method="higher"))
