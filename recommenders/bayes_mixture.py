"""A mixture of Gaussian processes whose means and covariance are those of past datasets.

Scores of configs on a new dataset, in merits (regret times -1, so 0 is the best): y = a + b f.
The components differ in what they take f to be (`recommenders.bayes_kinds.Kind`):

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

Only k x k systems are solved, and C enters by D x P deviations: no P x P matrix is ever made. Kinds
with a mean for each dataset are solved at once, and so are those with a single one. With
u = y - A_d and m = m_d,

    r' A^-1 r = u' A^-1 u / b^2 - 2 u' A^-1 m / b + m' A^-1 m

so that no product is taken for each spread.

Notation: A active datasets, P configs, k observed, B spreads, J kinds solved at once, M means they
have (one a dataset, or a single one), H heavy components, L configs asked about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.bayes_kinds import Kind, Kinds
from recommenders.bayes_prior import TINY, Prior
from recommenders.uncovered import Uncovered

DEGREES = 3.0
COMPONENTS = 256
HEAVY = 0.999
"""The heaviest components that weigh so much together are looked at, `COMPONENTS` at most."""

LOGISTIC = float(np.sqrt(3) / np.pi)


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

    def improvements(
        self,
        n: int,
        chance: FloatArray | None = None,
        uncovered: Uncovered | None = None,
        share: float = 0.0,
    ) -> IntArray:
        """Return the places of at most `n` configs by expected improvement over components.

        Each after the first is worth what it adds where those before it turn out as expected.

        Args:
            n: how many.
            chance: `(L,)` what gains are multiplied by; None for 1.
            uncovered: what past datasets have still to gain; None to leave that out.
            share: how much of a gain is what is gained there.
        """
        ahead, scale = self.ahead, LOGISTIC * self.deviation
        chosen: list[int] = []
        for _ in range(min(n, ahead.shape[1])):
            gain = self.weight @ _excess(ahead, scale)
            if uncovered is not None:
                gain = (1 - share) * gain + share * uncovered.gains()
            if chance is not None:
                gain *= chance
            gain[chosen] = -np.inf
            at = int(np.argmax(gain))
            chosen.append(at)
            ahead = ahead - np.maximum(ahead[:, [at]], 0)
            uncovered = None if uncovered is None else uncovered.after(at)
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


def _least(weights: FloatArray) -> float:
    """Return what components weigh at least that are looked at, all weights adding up to 1."""
    heavy = -np.sort(-weights)[:COMPONENTS]
    count = int(np.searchsorted(np.cumsum(heavy), HEAVY)) + 1
    # What is equal but for rounding stays together.
    return float(heavy[min(count, len(heavy)) - 1]) * (1 - 1e-9)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Some kinds, conditioned on what was observed.

    `log` `(J, B, M)` are log posterior weights up to a constant, `factor` `(J, B, M)` the common
    factor of the covariance, `inverse` `(J, k, k)`, `level` `(J, B, M)` in merits.
    """

    kinds: Kinds
    log: FloatArray
    factor: FloatArray
    inverse: FloatArray
    level: FloatArray


@dataclass(frozen=True, eq=False)
class Conditioned:
    """All kinds, conditioned on observed scores.

    Args:
        prior: what past datasets say.
        kinds: what components take scores to be.
        columns: `(k,)` observed configs, at least one.
        scores: `(k,)` their scores, larger-is-better.
    """

    prior: Prior
    kinds: tuple[Kind, ...]
    columns: IntArray
    scores: FloatArray

    def posterior(self, left: IntArray) -> Posterior:
        """Return what to expect of the configs `left`, `(L,)`."""
        each = tuple(kind for kind in self.kinds if kind.width < 1 and not kind.cold)
        single = tuple(kind for kind in self.kinds if kind.width == 1 or kind.cold)
        fitted = [self._fit(Kinds(self.prior, some)) for some in (each, single) if some]
        logs = np.concatenate([one.log.ravel() for one in fitted])
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        least = _least(weights)
        parts, datasets, start = [], np.zeros(len(self.prior.rows)), 0
        for one in fitted:
            share = weights[start : start + one.log.size].reshape(one.log.shape)
            start += one.log.size
            told = share.sum(axis=(0, 1))
            datasets += told if one.kinds.each else told * self.prior.weights
            places = np.nonzero(share >= least)
            if len(places[0]):
                ahead, deviation = self._predict(one, places, left)
                parts.append((share[places], ahead, deviation))
        weight, ahead, deviation = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Posterior(weight / weight.sum(), ahead, deviation, datasets)

    def _fit(self, kinds: Kinds) -> _Fitted:
        """Condition some kinds."""
        prior, k = self.prior, len(self.columns)
        grams = kinds.covariance(self.columns, self.columns)
        grams += (kinds.own + TINY)[:, None, None] * np.eye(k)
        inverse = np.asarray(np.linalg.inv(grams), dtype=np.float64)
        ones = inverse.sum(axis=1)
        means, levels = kinds.means(self.columns), self._levels(kinds)[:, None]
        worth = prior.spreads[:, None]
        # c' and A^-1 with y, with m and with 1, over J, B and M as far as they hang on them.
        total = ones.sum(axis=1)[:, None, None]
        of_scores = (ones @ self.scores)[:, None, None]
        of_means = (means @ ones[:, :, None])[:, None, :, 0]
        solved = inverse @ self.scores
        scored = (solved @ self.scores)[:, None, None]
        scored = scored - 2 * levels * of_scores + levels**2 * total
        mixed = (means @ solved[:, :, None])[:, None, :, 0] - levels * of_means
        squares = ((means @ inverse) * means).sum(axis=2)[:, None]
        squares = scored / worth**2 - 2 * mixed / worth + squares
        along = (of_scores - levels * total) / worth - of_means
        total = total + worth**2 / prior.uncertainty
        level: FloatArray = along / total
        squares -= level * along
        degrees = DEGREES + k - np.isinf(prior.uncertainty)
        squares = np.maximum(squares, 0) + DEGREES
        volume = np.linalg.slogdet(grams)[1][:, None, None]
        log: FloatArray = -0.5 * (volume + degrees * np.log(squares) + np.log(total))
        log -= (k - 1) * np.log(worth)
        log += np.log([kind.prior for kind in kinds.members])[:, None, None]
        if kinds.each:
            log += np.log(prior.weights)
        factor: FloatArray = squares / degrees
        return _Fitted(kinds, log, factor, inverse, level)

    def _levels(self, kinds: Kinds) -> FloatArray:
        """Return the prior levels `(J, M)`; where any is as likely as another, that of the scores.

        So the squares of what is left do not drown in that of the level.
        """
        if np.isinf(self.prior.uncertainty):
            return np.full((len(kinds.members), 1), self.scores.mean())
        return kinds.levels

    def _predict(
        self, one: _Fitted, places: tuple[IntArray, ...], left: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return how far ahead of the best score components put configs, and deviations.

        Args:
            one: some kinds.
            places: of H components in their `(J, B, M)` weights, in that order.
            left: `(L,)` configs.
        """
        kinds, (member, spread, which) = one.kinds, places
        cross = kinds.covariance(self.columns, left)
        solved = one.inverse @ cross
        variance = kinds.variance(left) - (solved * cross).sum(axis=1)
        variance = np.maximum(variance, 0) + kinds.own[:, None]
        ones, worth = one.inverse.sum(axis=1), self.prior.spreads[spread]
        spare = 1 / (ones.sum(axis=1)[member] + worth**2 / self.prior.uncertainty)
        offset = spare[:, None] * ((1 - (ones[:, None] @ cross)[:, 0]) ** 2)[member]
        factor = one.factor[places][:, None]
        deviation = worth[:, None] * np.sqrt((variance[member] + offset) * factor)
        level, levels = one.level[places][:, None], self._levels(kinds)
        levels = np.broadcast_to(levels, (len(levels), one.log.shape[2]))[member, which][:, None]
        apart = (self.scores - levels) / worth[:, None]
        apart -= kinds.means_of(member, which, self.columns) + level
        merit = kinds.means_of(member, which, left) + level
        for number in np.unique(member).tolist():
            mine = member == number
            merit[mine] += apart[mine] @ solved[number]
        expected = worth[:, None] * merit + levels
        return expected - self.scores.max(), deviation
