"""A mixture of Gaussian processes whose means and covariance are those of past datasets.

Scores of configs on a new dataset, in merits (regret times -1, so 0 is the best): y = a + b f.
The components differ in what they take f to be (`Kind`):

    f ~ N(m_d, h^2 C + r t M + v^2 t I),    m_d = m + sqrt(1 - h^2) (Y_d - m)

with m and C the weighted mean and covariance of past merits Y over datasets, t the mean of C's
diagonal, and M a Matern-5/2 kernel of the encoded configs, or of what was learned of them. h = 1
is the empirical Gaussian (Swersky, Snoek and Adams, 2013; Wang, Kim and Kaelbling, 2018); h = 0
is a discrete mixture over past datasets; between the two lies a kernel density estimate over
score vectors that keeps the mean and covariance of the data (West, 1993). A cold component knows
no past scores: f ~ N(const, t' (M + v^2 I)), t' the mean variance of a dataset's merits.

b is one of a few quantiles of the past spreads. a ~ N(A_d, s^2), A_d the best score of dataset d
(shrunk towards the mean by sqrt(1 - h^2) like its merits) and s^2 their weighted variance: how
good the scores are in absolute terms says much about whether better ones are to be had. Where
levels are unknown its prior is flat. All covariances carry a common factor with an
inverse-gamma prior of `DEGREES` degrees of freedom, so that with r = (y - A_d) / b - m_d,
g = b^2 / s^2, A the covariance of the k observed, c = A^-1 1 and S = 1' c

    q = r' A^-1 r - (c' r)^2 / (S + g)
    log p(y) = -1/2 log|A| - 1/2 log(1 + S / g) - k log b - (DEGREES + k)/2 log(DEGREES + q)

Only k x k systems are solved, and C enters by D x P deviations: no P x P matrix is ever made.

Kinds that differ in their noise v and their prior alone are a *family*: means, levels and
covariance are theirs together, and their systems are solved at once.

Notation: A active datasets, P configs, k observed, B spreads, J kinds of a family, M means that it
has (one a dataset, or a single one), H heavy components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.bayes_prior import TINY, Prior

DEGREES = 3.0
COMPONENTS = 256
LOGISTIC = float(np.sqrt(3) / np.pi)


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
class Posterior:
    """The heaviest components after k observations, for L configs.

    Args:
        weight: `(H,)` adding up to 1.
        ahead: `(H, L)` expected score less the best observed one.
        deviation: `(H, L)` standard deviation of the score.
        datasets: `(A,)` how much of the weight speaks for each active dataset.
    """

    weight: FloatArray
    ahead: FloatArray
    deviation: FloatArray
    datasets: FloatArray

    def improvements(self, n: int) -> IntArray:
        """Return the places of at most `n` configs by expected improvement over components.

        Each after the first is worth what it adds where those before it turn out as expected.
        """
        ahead, scale = self.ahead, LOGISTIC * self.deviation
        chosen: list[int] = []
        for _ in range(min(n, ahead.shape[1])):
            gain = self.weight @ _excess(ahead, scale)
            gain[chosen] = -np.inf
            at = int(np.argmax(gain))
            chosen.append(at)
            ahead = ahead - np.maximum(ahead[:, [at]], 0)
        return np.array(chosen, dtype=np.int64)


def _excess(ahead: FloatArray, scale: FloatArray) -> FloatArray:
    """Return s log(1 + exp(a / s)): E max(0, a + e) for logistic noise e of scale s."""
    power = np.abs(ahead)
    power /= scale
    np.exp(np.negative(power, out=power), out=power)
    excess: FloatArray = np.log1p(power, out=power)
    excess *= scale
    excess += np.maximum(ahead, 0)
    return excess


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A family, conditioned on what was observed.

    `kind` is one of its kinds; `noises` `(J,)` their standard deviations v; `log` `(J, B, M)` log
    posterior weights up to a constant; `factor` `(J, B, M)` the common factor of the covariance;
    `inverse` `(J, k, k)`; `level` `(J, B, M)` and `residual` `(B, M, k)` in merits.
    """

    kind: Kind
    noises: FloatArray
    log: FloatArray
    factor: FloatArray
    inverse: FloatArray
    level: FloatArray
    residual: FloatArray


@dataclass(frozen=True, eq=False)
class Conditioned:
    """All kinds, conditioned on observed scores.

    Args:
        prior: what past datasets say.
        kinds: J kinds.
        columns: `(k,)` observed configs, at least one.
        scores: `(k,)` their scores, larger-is-better.
    """

    prior: Prior
    kinds: tuple[Kind, ...]
    columns: IntArray
    scores: FloatArray

    def posterior(self, left: IntArray) -> Posterior:
        """Return what to expect of the configs `left`, `(L,)`."""
        families = groupby(self.kinds, lambda kind: replace(kind, noise=0.0, prior=1.0))
        fitted = [self._fit(kind, list(members)) for kind, members in families]
        logs = np.concatenate([one.log.ravel() for one in fitted])
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        heavy = len(weights) - min(COMPONENTS, len(weights))
        least = np.partition(weights, heavy)[heavy]
        parts, datasets, start = [], np.zeros(len(self.prior.rows)), 0
        for one in fitted:
            share = weights[start : start + one.log.size].reshape(one.log.shape)
            start += one.log.size
            told = share.sum(axis=(0, 1))
            datasets += told if len(told) > 1 else told * self.prior.weights
            places = np.nonzero(share >= least)
            if len(places[0]):
                ahead, deviation = self._predict(one, places, left)
                parts.append((share[places], ahead, deviation))
        weight, ahead, deviation = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Posterior(weight / weight.sum(), ahead, deviation, datasets)

    def _means(self, kind: Kind, columns: IntArray) -> FloatArray:
        """Return the prior means `(M, n)` of a kind on some configs."""
        prior = self.prior
        if kind.cold:
            return np.full((1, len(columns)), prior.mean.mean())
        mean = prior.mean[columns]
        if kind.width == 1:
            return (2 * prior.mean.mean() - mean if kind.reverse else mean)[None]
        keep = np.sqrt(1 - kind.width**2)
        means: FloatArray = prior.merits[:, columns]
        return means if keep == 1 else mean + keep * (means - mean)

    def _levels(self, kind: Kind) -> FloatArray:
        """Return the prior levels `(M,)` of a kind."""
        prior = self.prior
        if kind.cold or kind.width == 1:
            return np.array([prior.level])
        levels: FloatArray = prior.level + np.sqrt(1 - kind.width**2) * (prior.levels - prior.level)
        return levels

    def _covariance(self, kind: Kind, one: IntArray, other: IntArray) -> FloatArray:
        """Return the prior covariance of a kind, less the noise of each config on its own."""
        prior = self.prior
        scale = prior.within if kind.cold else prior.between
        covariance = np.zeros((len(one), len(other)))
        if kind.residual:
            covariance += kind.residual * scale * prior.likeness(one, other, kind.learned)
        if not kind.cold and kind.width:
            covariance += kind.width**2 * prior.covariance(one, other)
        return covariance

    def _fit(self, kind: Kind, members: Sequence[Kind]) -> _Fitted:
        """Condition a family; `kind` is any of its members."""
        prior, k = self.prior, len(self.columns)
        scale = prior.within if kind.cold else prior.between
        noises = np.array([one.noise for one in members])
        gram = self._covariance(kind, self.columns, self.columns)
        grams = gram + (noises[:, None, None] ** 2 * scale + TINY) * np.eye(k)
        inverse = np.asarray(np.linalg.inv(grams), dtype=np.float64)
        ones = inverse.sum(axis=1)
        flat = prior.spreads**2 / prior.uncertainty
        means, levels = self._means(kind, self.columns), self._levels(kind)
        scores = self.scores[None] - levels[:, None]
        residual = scores[None] / prior.spreads[:, None, None] - means[None]
        shape = (len(members), *residual.shape[:2])
        rows = residual.reshape(-1, k)
        # S + g, (J, B, 1), and c' r, (J, B, M)
        total = (ones.sum(axis=1)[:, None] + flat)[:, :, None]
        along = (ones @ rows.T).reshape(shape)
        level: FloatArray = along / total
        squares = ((rows @ inverse) * rows).sum(axis=2).reshape(shape)
        squares -= level * along
        degrees = DEGREES + k - np.isinf(prior.uncertainty)
        squares = np.maximum(squares, 0) + DEGREES
        volume = np.linalg.slogdet(grams)[1][:, None, None]
        log: FloatArray = -0.5 * (volume + degrees * np.log(squares) + np.log(total))
        log -= (k - 1) * np.log(prior.spreads)[:, None]
        log += np.log([one.prior for one in members])[:, None, None]
        if len(means) > 1:
            log += np.log(prior.weights)
        factor: FloatArray = squares / degrees
        return _Fitted(kind, noises, log, factor, inverse, level, residual)

    def _predict(
        self, one: _Fitted, places: tuple[IntArray, ...], left: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return how far ahead of the best score components put configs, and deviations.

        Args:
            one: a family.
            places: of H components in its `(J, B, M)` weights, in that order.
            left: `(L,)` configs.
        """
        prior, kind, (member, spread, which) = self.prior, one.kind, places
        scale = prior.within if kind.cold else prior.between
        cross = self._covariance(kind, self.columns, left)
        solved = one.inverse @ cross
        variance = kind.residual * scale - (solved * cross).sum(axis=1)
        if not kind.cold and kind.width:
            variance += kind.width**2 * (prior.deviations[:, left] ** 2).sum(axis=0)
        variance = np.maximum(variance, 0) + one.noises[:, None] ** 2 * scale
        ones, worth = one.inverse.sum(axis=1), prior.spreads[spread]
        spare = 1 / (ones.sum(axis=1)[member] + worth**2 / prior.uncertainty)
        offset = spare[:, None] * ((1 - ones @ cross) ** 2)[member]
        factor = one.factor[places][:, None]
        deviation = worth[:, None] * np.sqrt((variance[member] + offset) * factor)
        level = one.level[places][:, None]
        merit = self._means(kind, left)[which] + level
        apart = one.residual[spread, which] - level
        for number in range(len(one.noises)):
            mine = member == number
            merit[mine] += apart[mine] @ solved[number]
        expected = worth[:, None] * merit + self._levels(kind)[which][:, None]
        return expected - self.scores.max(), deviation
