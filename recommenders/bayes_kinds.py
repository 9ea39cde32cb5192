"""What the components of `recommenders.bayes_mixture` take scores to be before any is observed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.bayes_prior import Prior


@dataclass(frozen=True)
class Kind:
    """What a component takes scores to be.

    Args:
        width: h, the share of the standard deviation between datasets that is left to chance.
        residual: r, variance by encoded configs, as a share of the mean variance.
        noise: v, standard deviation of every config on its own, likewise a share.
        prior: prior probability, up to a constant.
        cold: whether past scores do not matter.
        reverse: whether what was good is taken to be bad; needs a width of 1.
        learned: whether M is the kernel that past datasets taught; the prior must have it.
    """

    width: float
    residual: float
    noise: float
    prior: float
    cold: bool = False
    reverse: bool = False
    learned: bool = False


@dataclass(frozen=True, eq=False)
class Kinds:
    """Kinds that all have a mean for each dataset, or all a single one, before any score."""

    prior: Prior
    members: tuple[Kind, ...]

    @property
    def each(self) -> bool:
        """Whether there is a mean for each dataset."""
        return self.members[0].width < 1 and not self.members[0].cold

    @cached_property
    def keep(self) -> FloatArray:
        """`(J,)` sqrt(1 - h^2): how much of what sets a dataset apart its mean keeps."""
        keep: FloatArray = np.sqrt([1 - kind.width**2 for kind in self.members])
        return keep

    @cached_property
    def own(self) -> FloatArray:
        """`(J,)` variance of every config on its own."""
        noise = np.array([kind.noise for kind in self.members])
        own: FloatArray = self._scale * noise**2
        return own

    @cached_property
    def levels(self) -> FloatArray:
        """`(J, M)` prior levels."""
        prior = self.prior
        if not self.each:
            return np.full((len(self.members), 1), prior.level)
        levels: FloatArray = prior.level + self.keep[:, None] * (prior.levels - prior.level)
        return levels

    def means(self, columns: IntArray) -> FloatArray:
        """Return the prior means `(J, M, n)` on some configs."""
        if self.each:
            mean = self.prior.mean[columns]
            apart = self.prior.merits[:, columns] - mean
            means: FloatArray = mean + self.keep[:, None, None] * apart
            return means
        return np.stack([self._single(kind, columns) for kind in self.members])[:, None]

    def means_of(self, member: IntArray, which: IntArray, columns: IntArray) -> FloatArray:
        """Return the prior means `(H, n)` of some components on some configs."""
        if not self.each:
            return np.asarray(self.means(columns)[member, which], dtype=np.float64)
        mean = self.prior.mean[columns]
        apart = (self.prior.merits[:, columns] - mean)[which]
        apart *= self.keep[member, None]
        apart += mean
        return apart

    def covariance(self, one: IntArray, other: IntArray) -> FloatArray:
        """Return the prior covariances `(J, n, m)`, less the noise of each config on its own."""
        prior = self.prior
        found = self._between[:, None, None] * prior.covariance(one, other)
        for learned in sorted({kind.learned for kind in self.members if kind.residual}):
            share = self._residual * [kind.learned == learned for kind in self.members]
            found += share[:, None, None] * prior.likeness(one, other, learned)
        return found

    def variance(self, columns: IntArray) -> FloatArray:
        """Return the diagonal `(J, n)` of the covariance."""
        between = (self.prior.deviations[:, columns] ** 2).sum(axis=0)
        variance: FloatArray = self._residual[:, None] + self._between[:, None] * between
        return variance

    @cached_property
    def _scale(self) -> FloatArray:
        """What shares of variance are of, `(J,)`."""
        cold = np.array([kind.cold for kind in self.members])
        return np.where(cold, self.prior.within, self.prior.between)

    @cached_property
    def _residual(self) -> FloatArray:
        """What multiplies M, `(J,)`."""
        residual: FloatArray = self._scale * np.array([kind.residual for kind in self.members])
        return residual

    @cached_property
    def _between(self) -> FloatArray:
        """What multiplies C, `(J,)`."""
        return np.array([0.0 if kind.cold else kind.width**2 for kind in self.members])

    def _single(self, kind: Kind, columns: IntArray) -> FloatArray:
        mean = self.prior.mean[columns]
        middle = self.prior.mean.mean()
        if kind.cold:
            return np.full_like(mean, middle)
        return 2 * middle - mean if kind.reverse else mean
