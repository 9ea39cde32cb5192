"""What to expect of each candidate on a task: validation, past tasks and held-out rows together.

A Gaussian over the log-odds of accuracy of all candidates at once, so that what is learned of
one tells of the others. Its prior mean is what each start's validation says for the task's
classes and shots, lowered and loosened where the task is unlike those it was trained on; past
tasks move mean and covariance (the mode under a normal-inverse-Wishart prior, by expectation and
maximisation over what was not run: Dempster et al. 1977; Swersky et al. 2013 have the use);
held-out rows condition it. A static ranking by validation is the case without the last two.

Notation
    J   candidates;  theta  log-odds of accuracy `(J,)`;  T  past tasks;  n  held-out rows
    m, S    prior mean and covariance of theta;  y, R  what held-out rows say, and its covariance
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metastore.starts import Accuracy
from recommenders.starts.belief_settings import Settings
from recommenders.starts.cross_validation import FloatArray, IntArray

_ROUNDS = 20
_DRAWS = 4000


@dataclass(frozen=True, eq=False)
class Prior:
    """A Gaussian over log-odds of accuracy.

    Args:
        mean: `(J,)`.
        covariance: `(J, J)`.
    """

    mean: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, eq=False)
class Belief(Prior):
    """A Gaussian over log-odds of accuracy, with draws from it.

    Args:
        draws: accuracies `(n_draws, J)`.
    """

    draws: FloatArray = field(repr=False)

    @property
    def accuracy(self) -> FloatArray:
        """Expected accuracy of each candidate `(J,)`."""
        found: FloatArray = self.draws.mean(0)
        return found

    def interval(self, level: float = 0.8) -> FloatArray:
        """Return the middle `level` of each candidate's accuracy `(J, 2)`."""
        found: FloatArray = np.quantile(self.draws, [0.5 - level / 2, 0.5 + level / 2], axis=0).T
        return found

    def loss(self, chosen: int) -> FloatArray:
        """Return by how much each candidate is expected to beat the chosen one `(J,)`."""
        found: FloatArray = self.accuracy - self.accuracy[chosen]
        return found

    def ahead(self, one: int, other: int) -> float:
        """Return the probability that one candidate is better than another."""
        better, same = (self.draws[:, one] > self.draws[:, other]), one == other
        return 0.5 if same else float(better.mean())


def validated(
    accuracies: Sequence[Accuracy], n_way: int, k_shot: float, settings: Settings
) -> float:
    """Return the log-odds of accuracy that a start's validation says for a task; NaN without any.

    Recorded shapes of episodes are carried to the task's by `per_way` and `per_shot`, and the
    nearer ones weigh more.

    Args:
        accuracies: on held-out episodes.
        n_way: classes of the task.
        k_shot: examples a class, on average.
        settings: the two slopes.
    """
    at = np.array([math.log(max(n_way, 2)), math.log(max(k_shot, 1.0))])
    slopes = np.array([settings.per_way, settings.per_shot])
    found, weights = [], []
    for one in accuracies:
        if one.n_way < 2:
            continue
        apart = at - np.log([one.n_way, max(one.k_shot, 1)])
        found.append(log_odds(one.value, one.n_episodes * 5) + float(apart @ slopes))
        weights.append(1 / (0.05 + float(apart @ apart)))
    return float(np.average(found, weights=weights)) if found else math.nan


def prior(
    validation: FloatArray,
    novelty: FloatArray,
    raw: NDArray[np.bool_],
    n_way: int,
    settings: Settings,
) -> Prior:
    """Return what is believed before past tasks and held-out rows.

    Args:
        validation: log-odds by `validated`, NaN where there is none `(J,)`.
        novelty: of the task to each start; NaN where unknown or none `(J,)`.
        raw: which candidates bring no weights `(J,)`.
        n_way: classes of the task.
        settings: how far what is believed.
    """
    known, far = np.isfinite(validation), away(novelty)
    half_way = log_odds(0.5 + 0.5 / max(n_way, 2), 100)
    lowered = validation - settings.alike - settings.drop * far
    mean = np.where(known, lowered, half_way)
    own = np.where(known, settings.start + settings.loosen * far, settings.unknown)
    covariance = np.diag(own**2) + settings.task**2 + settings.raw**2 * np.outer(raw, raw)
    return Prior(mean, covariance)


def following(before: Prior, own: IntArray, gain: FloatArray, spread: FloatArray) -> Prior:
    """Return the prior in which some candidates follow another one, and gain.

    Args:
        before: by `prior`.
        own: for each candidate the place of the one that it follows, its own for most `(J,)`.
        gain: what is added to the log-odds of the other one `(J,)`; not read for most.
        spread: standard deviation of that `(J,)`; not read for most.
    """
    follows = own != np.arange(len(own))
    loose = np.diag(np.where(follows, spread, 0.0) ** 2)
    mean = before.mean[own] + np.where(follows, gain, 0.0)
    return Prior(mean, before.covariance[np.ix_(own, own)] + loose)


def away(novelty: FloatArray) -> FloatArray:
    """Return the logarithm of novelty, 0 where it is unknown or the task is as those trained on."""
    found: FloatArray = np.log(np.clip(np.where(np.isfinite(novelty), novelty, 1.0), 1.0, 1e3))
    return found


def learned(before: Prior, past: FloatArray, settings: Settings) -> Prior:
    """Return the prior after past tasks.

    Args:
        before: what is believed without them.
        past: log-odds of accuracy `(T, J)`, NaN where a candidate did not run.
        settings: what `before` weighs, in tasks.
    """
    past = past[np.isfinite(past).sum(1) >= 2]
    if not len(past):
        return before
    mean, covariance = before.mean, before.covariance
    for _ in range(_ROUNDS):
        filled, left = _filled(past, mean, covariance, settings.noise)
        weight = settings.mean_weight
        mean = (weight * before.mean + filled.sum(0)) / (weight + len(past))
        apart, shift = filled - mean, mean - before.mean
        spread = apart.T @ apart + left + weight * np.outer(shift, shift)
        weight = settings.spread_weight
        covariance = (weight * before.covariance + spread) / (weight + len(past))
    return Prior(mean, covariance)


def _filled(
    past: FloatArray, mean: FloatArray, covariance: FloatArray, noise: float
) -> tuple[FloatArray, FloatArray]:
    """Return expected log-odds `(T, J)`, and the sum of the covariances that are left `(J, J)`."""
    filled, left = np.empty_like(past), np.zeros_like(covariance)
    for t, row in enumerate(past):
        seen = np.flatnonzero(np.isfinite(row))
        inner = covariance[np.ix_(seen, seen)] + noise * np.eye(len(seen))
        gain = np.linalg.solve(inner, covariance[seen]).T
        filled[t] = mean + gain @ (row[seen] - mean[seen])
        left += covariance - gain @ covariance[seen]
    return filled, left


def conditioned(before: Prior, value: FloatArray, covariance: FloatArray, seed: int = 0) -> Belief:
    """Return the belief after what held-out rows say.

    Args:
        before: the prior.
        value: log-odds `(J,)`, NaN where nothing was observed.
        covariance: theirs `(J, J)`.
        seed: of the draws.
    """
    mean, spread = before.mean, before.covariance
    seen = np.flatnonzero(np.isfinite(value))
    if len(seen):
        inner = spread[np.ix_(seen, seen)] + covariance[np.ix_(seen, seen)]
        gain = np.linalg.solve(inner, spread[seen]).T
        mean = mean + gain @ (value[seen] - mean[seen])
        spread = spread - gain @ spread[seen]
    eigenvalues, vectors = np.linalg.eigh((spread + spread.T) / 2)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0))
    normal = np.random.default_rng(seed).standard_normal((_DRAWS, len(mean)))
    return Belief(mean, spread, 1 / (1 + np.exp(-(mean + normal @ root.T))))


def untold(shares: FloatArray, n: int, seed: int = 0) -> Belief:
    """Return the belief where all rows are the same, so that no classes can be told apart.

    What candidates did on other tasks says nothing here: each answers one class for every row,
    and is right as often as that class comes. How often that is, rows say alone.

    Args:
        shares: of the rows that each candidate is right on `(J,)`.
        n: rows.
        seed: of the draws.
    """
    mean = np.array([log_odds(share, n) for share in shares])
    likely = 1 / (1 + np.exp(-mean))
    deviation = 1 / np.sqrt((n + 1) * likely * (1 - likely))
    normal = np.random.default_rng(seed).standard_normal((_DRAWS, 1))
    draws = 1 / (1 + np.exp(-(mean + normal * deviation)))
    return Belief(mean, np.outer(deviation, deviation), draws)


def log_odds(share: float, n: float) -> float:
    """Return the log-odds of a share of `n`, kept finite by half a count on each side.

    >>> round(log_odds(0.5, 10), 3), round(log_odds(1.0, 9), 3)
    (0.0, 2.944)
    """
    return math.log((share * n + 0.5) / ((1 - share) * n + 0.5))
