"""RGPE: an ensemble of past datasets' Gaussian processes, weighted by how well they rank.

Feurer, Letham and Bakshy (2018), "Scalable Meta-Learning for Bayesian Optimization using
Ranking-Weighted Gaussian Process Ensembles", sections 4.1 to 4.3. One process a past dataset and
one of the new dataset; each draws samples at the observed configs, and its ranking loss is the
number of pairs that a sample puts in the wrong order (eq. 2). For the new dataset's own process
the samples of a config's row come from the process that has not seen that config. A process
weighs the share of the samples in which its loss is the lowest (eq. 3); ties go to the new
dataset's own, or else are shared. Against dilution by many useless processes, one whose median
loss is above the 95th percentile of the own process's is left out. Mean and variance are
weighted by w and w^2 (section 4.1), and the next config is the one of highest expected
improvement.

Departures: nothing observed yet, or fewer than `FEWEST`, weighs past datasets alike, and the
first config is then the one of the highest mean; at most `MOST` past datasets and, by how many
they are, 256 to 1,000 runs of each, spread over their scores; the hyperparameters of a process
are the best of a grid.

Notation: D datasets, P configs of the pool, k observed, S samples, V see `posteriors`.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.cells import spread_over
from recommenders.encoding import Encoder
from recommenders.past_runs import runs_of
from recommenders.portfolio import covering
from recommenders.posteriors import Posterior, expected_improvement
from recommenders.sessions import Case, Choice
from recommenders.table_recommender import TableRecommender

SAMPLES = 128
FEWEST = 3
MOST = 128
RUNS = 20_480
FEWEST_RUNS = 256
MOST_RUNS = 1_000
KEPT = 2
DILUTION = 0.95


@dataclass(frozen=True, eq=False)
class Asked:
    """What the past processes say of a pool: points `(P, d)`, and by dataset mean and V."""

    points: FloatArray
    mean: dict[int, FloatArray]
    white: dict[int, FloatArray]


class RGPE(TableRecommender):
    """Weighs past datasets by how well their processes rank what was observed."""

    name: ClassVar[str] = "rgpe"
    adaptive: ClassVar[bool] = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._fitted: dict[int, Posterior] = {}
        self._asked: OrderedDict[tuple[tuple[str, str], ...], Asked] = OrderedDict()

    def prepare(self) -> None:
        """Forget what an earlier past said; a process is fitted when it is first needed."""
        self._encoder: Encoder | None = None
        self._fitted, self._asked = {}, OrderedDict()

    def rehearse(self, case: Case, n: int) -> Choice:
        """Return configs that cover past datasets."""
        return Choice(covering(case, n), case.weights)

    def choose(self, case: Case, n: int) -> Choice:
        """Return the configs of highest expected improvement under the ensemble."""
        left = np.flatnonzero(~case.seen.taken)
        bases = np.flatnonzero((case.weights > 0) & (case.spread > 0))
        if not len(bases) or not len(left):
            return Choice(left[:n], case.weights)
        bases = spread_over(bases, MOST)
        asked = self._ask(case, bases)
        scores = case.seen.scores
        if len(scores) < FEWEST or np.ptp(scores) == 0:
            equal = np.full(len(bases), 1 / len(bases))
            mean = equal @ np.stack([asked.mean[b] for b in bases.tolist()])
            above = mean[left] - mean[left].min()
            return Choice(_highest(case, above, left, n), _of_all(case, bases, equal))
        standard = (scores - scores.mean()) / scores.std()
        own = Posterior.fit(asked.points[case.seen.columns], standard)
        weights = self._weigh(case, asked, bases, own, standard)
        gain = self._gain(asked, bases, own, weights, float(standard.max()))
        return Choice(_highest(case, gain[left], left, n), _of_all(case, bases, weights[:-1]))

    def _ask(self, case: Case, bases: IntArray) -> Asked:
        """Return what the processes of some datasets say of a pool, kept for the next step."""
        if self._encoder is None:
            self._encoder = self.past.surrogates.encoder()
        asked = self._asked.get(case.table.keys)
        if asked is None:
            asked = Asked(self._encoder.encode(case.table.keys), {}, {})
            self._asked[case.table.keys] = asked
            if len(self._asked) > KEPT:
                self._asked.popitem(last=False)
        for base in bases.tolist():
            if base not in asked.mean:
                process = self._process(base)
                white = process.whiten(asked.points)
                asked.white[base], asked.mean[base] = white, white.T @ process.white
        return asked

    def _process(self, row: int) -> Posterior:
        if row not in self._fitted and self._encoder is not None:
            most = int(np.clip(RUNS // len(self.past.datasets), FEWEST_RUNS, MOST_RUNS))
            keys, regrets = runs_of(self.past, row, most)
            deviation = max(float(regrets.std()), 1e-12)
            target = (regrets.mean() - regrets) / deviation
            self._fitted[row] = Posterior.fit(self._encoder.encode(keys), target)
        return self._fitted[row]

    def _weigh(
        self, case: Case, asked: Asked, bases: IntArray, own: Posterior, target: FloatArray
    ) -> FloatArray:
        """Return the weights `(bases + 1,)`, the new dataset's own process last."""
        salt = zlib.crc32(case.task.encode(), self.seed & 0xFFFFFFFF)
        rng = np.random.default_rng([self.seed & 0xFFFFFFFF, salt, len(target)])
        noise = rng.standard_normal((SAMPLES, len(target)))
        columns = case.seen.columns
        points = asked.points[columns]
        losses = []
        for base in bases.tolist():
            process = self._process(base)
            covariance = process.covariance(points, asked.white[base][:, columns])
            losses.append(
                ranking_loss(_drawn(asked.mean[base][columns], covariance, noise), target)
            )
        return weigh(np.array(losses), left_out_loss(own, points, target, noise))

    def _gain(
        self, asked: Asked, bases: IntArray, own: Posterior, weights: FloatArray, best: float
    ) -> FloatArray:
        mean, variance = own.at(asked.points)
        mean, variance = weights[-1] * mean, weights[-1] ** 2 * variance
        for base, weight in zip(bases.tolist(), weights[:-1].tolist(), strict=True):
            if weight > 0:
                mean = mean + weight * asked.mean[base]
                left = np.maximum(1 - (asked.white[base] ** 2).sum(axis=0), 0)
                variance = variance + weight**2 * self._process(base).variance * left
        return expected_improvement(mean, np.sqrt(variance), best)


def weigh(losses: FloatArray, own: FloatArray) -> FloatArray:
    """Return the weights `(B + 1,)` of B past processes and the own one (section 4.3).

    Args:
        losses: `(B, S)` ranking losses of the past processes' samples.
        own: `(S,)` ranking losses of the own process's.

    >>> weigh(np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([1.0, 0.0])).tolist()
    [0.5, 0.0, 0.5]
    """
    kept = np.median(losses, axis=1) <= np.quantile(own, DILUTION)
    every = np.concatenate([np.where(kept[:, None], losses, np.inf), own[None]])
    lowest = every == every.min(axis=0)
    lowest[:-1, lowest[-1]] = False
    weights: FloatArray = (lowest / lowest.sum(axis=0)).mean(axis=1)
    return weights


def ranking_loss(samples: FloatArray, target: FloatArray) -> FloatArray:
    """Return the number of misranked pairs `(S,)` of samples `(S, k)` of targets `(k,)` (eq. 2).

    >>> ranking_loss(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), np.array([0.1, 0.2, 0.3]))
    array([0., 6.])
    """
    loss = np.zeros(len(samples))
    for j in range(len(target)):
        wrong = (samples[:, j, None] < samples) != (target[j] < target)
        loss += wrong.sum(axis=1)
    return loss


def left_out_loss(
    own: Posterior, points: FloatArray, target: FloatArray, noise: FloatArray
) -> FloatArray:
    """Return the ranking losses `(S,)` of the own process, each config left out in its row.

    The precision without point i is A - A_i A_i^T / A_ii (Rasmussen and Williams, 2006, eq.
    5.12 in the same way), so that all k processes come out of one.
    """
    gram = own.kernel(points)
    precision = own.root.T @ own.root
    loss = np.zeros(len(noise))
    for i in range(len(target)):
        without = precision - np.outer(precision[i], precision[i]) / precision[i, i]
        mean = gram @ (without @ target)
        covariance = own.variance * (gram - gram @ without @ gram)
        samples = _drawn(mean, covariance, noise)
        wrong = (samples[:, i, None] < samples) != (target[i] < target)
        loss += wrong.sum(axis=1)
    return loss


def _drawn(mean: FloatArray, covariance: FloatArray, noise: FloatArray) -> FloatArray:
    """Return samples `(S, k)` made of standard normal `noise` `(S, k)`."""
    values, vectors = np.linalg.eigh(covariance)
    drawn: FloatArray = mean + (noise * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return drawn


def _highest(case: Case, gain: FloatArray, left: IntArray, n: int) -> IntArray:
    return left[np.argsort(-case.hoped(gain, left).round(12), kind="stable")[:n]]


def _of_all(case: Case, bases: IntArray, weights: FloatArray) -> FloatArray:
    """Return weights of all datasets, adding up to 1; the ones before where none counts."""
    if weights.sum() <= 0:
        return case.weights
    every = np.zeros(len(case.weights))
    every[bases] = weights / weights.sum()
    return every
