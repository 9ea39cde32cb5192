"""Quantile copula with a learned prior: CTS and GCP (Salinas, Shen and Perrone, 2020).

"A Quantile-based Approach for Hyperparameter Transfer Learning". Scores of every dataset become
normal scores z = Phi^-1(F(y)), F the empirical distribution cut off at delta and 1 - delta
(section 3), so that datasets of different scales stand on one footing. A network gives the
prior N(mu(x), sigma(x)^2) of z at any config, fitted by Gaussian likelihood over all datasets
(section 4.1, eq. 1). Copula Thompson sampling draws from it and never looks at what was observed
(section 4.2). The Gaussian copula process adds a process over the residuals (z - mu) / sigma of
what was observed, and takes the config of highest expected improvement (section 4.3).

The network is the paper's: three layers of 50 rectified units, batches of 64, Adam with rates
1e-2, 1e-3 and 1e-4 for 1,000 updates each; written out in NumPy, for it is too small to need
more. Departures: no dropout, and instead sigma is at least `LEAST`, for a network without it
is too sure of datasets that it has seen; fewer updates where there are fewer than 4,000 runs,
and at most 100,000 runs; where the past has meta-features, the network sees them beside the
config, and `meta=False` keeps them from it; the first config of the copula process is the one of
highest mu. The floor of sigma, and that the network sees meta-features, were chosen on 42 of
openml_pimp's 100 SVC tasks: where those are reported, this peer is favoured.

Intervals and expected scores are those of past datasets, as of every recommender over a table.

Notation: N runs, d columns of an encoded config and of meta-features, P configs, k observed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from metastore.view import FloatArray
from recommenders.distances import Scaling, squash
from recommenders.encoding import Encoder
from recommenders.past_runs import runs_of
from recommenders.portfolio import covering
from recommenders.posteriors import Posterior, expected_improvement
from recommenders.recommender import AskedTask
from recommenders.scores import Table
from recommenders.sessions import Case, Choice, Session, TableSession
from recommenders.table_recommender import TableRecommender

WIDTH = 50
BATCH = 64
RATES = (1e-2, 1e-3, 1e-4)
UPDATES = 1_000
RUNS = 100_000
FEWEST = 20
LEAST = 0.3
MOMENTS = (0.9, 0.999)
NORMAL = NormalDist()

Layers = tuple[tuple[FloatArray, FloatArray], ...]
"""Weights `(a, b)` and biases `(b,)`, the first layer first."""


class Copula(TableRecommender):
    """Chooses by a prior over normal scores that a network learned from all past datasets.

    Args:
        seed: fixes how the network starts, and what Thompson sampling draws.
        thompson: copula Thompson sampling in place of the copula process.
        meta: whether the network sees meta-features where there are any.
    """

    name: ClassVar[str] = "copula"
    adaptive: ClassVar[bool] = True

    def __init__(self, seed: int = 0, thompson: bool = False, meta: bool = True) -> None:
        super().__init__(seed)
        self.thompson = thompson
        self.meta = meta

    def prepare(self) -> None:
        """Learn the prior from all past datasets."""
        past = self.past
        self._encoder: Encoder | None = None
        self._prior: Network | None = None
        values = past.view.meta.aligned(past.datasets)
        self._scaling = Scaling.fit(values) if self.meta and np.isfinite(values).any() else None
        rows, points, targets = [], [], []
        most = max(1, RUNS // max(1, len(past.datasets)))
        for row in np.flatnonzero(past.spread > 0).tolist():
            keys, regrets = runs_of(past, row, most)
            if self._encoder is None:
                self._encoder = past.surrogates.encoder()
            points.append(self._encoder.encode(keys))
            targets.append(normal_scores(-regrets))
            rows.append(np.full(len(keys), row))
        if points:
            described = self._described(values)[np.concatenate(rows)]
            inputs = np.concatenate([np.concatenate(points), described], axis=1)
            self._prior = Network.fit(inputs, np.concatenate(targets), self.seed)

    def _described(self, values: FloatArray) -> FloatArray:
        """Return meta-features `(M, P)` as the network sees them; 0 where unknown."""
        if self._scaling is None:
            return np.empty((len(values), 0))
        return np.nan_to_num(squash(self._scaling(values)))

    def rehearse(self, case: Case, n: int) -> Choice:
        """Return configs that cover past datasets."""
        return Choice(covering(case, n), case.weights)

    def session(self, task: AskedTask, table: Table) -> Session:
        """Open a session for a resolved task over a pool."""
        known = task.meta_features
        blank = np.full(len(self.past.view.meta.names), np.nan)
        described = self._described((blank if known is None else known)[None])
        prior = self._at(table, described)

        def choose(case: Case, n: int) -> Choice:
            return self._choose(case, n, *prior)

        belief, calibration = self.believe(task), self.calibration()
        return TableSession(self.name, task, self.past, table, belief, choose, lambda: calibration)

    def choose(self, case: Case, n: int) -> Choice:
        """Return the next configs of a case that comes without meta-features."""
        blank = self._described(np.full((1, len(self.past.view.meta.names)), np.nan))
        return self._choose(case, n, *self._at(case.table, blank))

    def _at(self, table: Table, described: FloatArray) -> tuple[FloatArray, ...]:
        """Return the points `(P, d)` of a pool, and the prior's mu and sigma `(P,)` there."""
        count = len(table.keys)
        if self._prior is None or self._encoder is None:
            return np.empty((count, 0)), np.zeros(count), np.ones(count)
        points = self._encoder.encode(table.keys)
        repeated = np.repeat(described, count, axis=0)
        return points, *self._prior(np.concatenate([points, repeated], axis=1))

    def _choose(
        self, case: Case, n: int, points: FloatArray, mean: FloatArray, deviation: FloatArray
    ) -> Choice:
        left = np.flatnonzero(~case.seen.taken)
        if self.thompson:
            salt = zlib.crc32(case.task.encode(), self.seed & 0xFFFFFFFF)
            rng = np.random.default_rng([self.seed & 0xFFFFFFFF, salt, int(case.seen.taken.sum())])
            value = mean + deviation * rng.standard_normal(len(mean))
        elif len(case.seen.columns) and self._prior is not None:
            seen = case.seen.columns
            z = normal_scores(case.seen.scores)
            residual = Posterior.fit(points[seen], (z - mean[seen]) / deviation[seen])
            more, variance = residual.at(points)
            total = deviation * np.sqrt(variance)
            value = expected_improvement(mean + deviation * more, total, float(z.max()))
        else:
            value = mean
        gain = value[left] if case.chance is None else case.hoped(value[left] - value.min(), left)
        order = np.argsort(-gain.round(12), kind="stable")
        return Choice(left[order[:n]], case.weights)


def normal_scores(scores: FloatArray) -> FloatArray:
    """Return `(n,)` normal scores of larger-is-better scores: Phi^-1 of their ranks (section 3).

    Equal scores get their middle rank, of n + 1 equal parts of (0, 1), cut off at delta and
    1 - delta with delta = 1 / (4 n^(1/4) sqrt(pi log n)).

    >>> normal_scores(np.array([0.3, 0.1, 0.2])).round(2).tolist()
    [0.67, -0.67, 0.0]
    """
    n = len(scores)
    if n < 2:
        return np.zeros(n)
    ordered = np.sort(scores)
    low = np.searchsorted(ordered, scores, side="left")
    high = np.searchsorted(ordered, scores, side="right")
    delta = 1 / (4 * n**0.25 * np.sqrt(np.pi * np.log(n)))
    share = np.clip((low + high + 1) / 2 / (n + 1), delta, 1 - delta)
    return np.array([NORMAL.inv_cdf(p) for p in share.tolist()])


@dataclass(frozen=True, eq=False)
class Network:
    """Mean and deviation of a normal at inputs `(N, d)`: weights and biases, layer by layer."""

    layers: Layers

    def __call__(self, inputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mu and sigma, each `(N,)`."""
        return _heads(_forward(self.layers, inputs)[-1])

    @classmethod
    def fit(cls, inputs: FloatArray, targets: FloatArray, seed: int) -> Network:
        """Return the network of inputs `(N, d)` and normal scores `(N,)` after all updates."""
        rng = np.random.default_rng(seed & 0xFFFFFFFF)
        widths = (inputs.shape[1], WIDTH, WIDTH, WIDTH, 2)
        layers = [
            (rng.normal(0, np.sqrt(2 / max(1, a)), (a, b)), np.zeros(b))
            for a, b in pairwise(widths)
        ]
        layers[-1] = (layers[-1][0] / 10, layers[-1][1])
        flat = [part for layer in layers for part in layer]
        first, second = ([np.zeros_like(part) for part in flat] for _ in range(2))
        updates = int(np.clip(len(inputs) // 4, FEWEST, UPDATES))
        for step in range(len(RATES) * updates):
            rows = rng.integers(0, len(inputs), min(BATCH, len(inputs)))
            paired = tuple(zip(flat[::2], flat[1::2], strict=True))
            _, slopes = loss_and_slopes(paired, inputs[rows], targets[rows])
            rate = RATES[step // updates]
            for i, slope in enumerate(slopes):
                first[i] = MOMENTS[0] * first[i] + (1 - MOMENTS[0]) * slope
                second[i] = MOMENTS[1] * second[i] + (1 - MOMENTS[1]) * slope**2
                mean = first[i] / (1 - MOMENTS[0] ** (step + 1))
                square = second[i] / (1 - MOMENTS[1] ** (step + 1))
                flat[i] = flat[i] - rate * mean / (np.sqrt(square) + 1e-8)
        return cls(tuple(zip(flat[::2], flat[1::2], strict=True)))


def _forward(layers: Layers, inputs: FloatArray) -> list[FloatArray]:
    """Return what goes into each layer, and the two outputs `(N, 2)` last."""
    states = [inputs]
    for i, (weight, bias) in enumerate(layers):
        out = states[-1] @ weight + bias
        states.append(np.maximum(out, 0) if i + 1 < len(layers) else out)
    return states


def _heads(out: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mu and sigma of outputs `(N, 2)`: sigma = LEAST + softplus of the second."""
    return out[:, 0], LEAST + np.logaddexp(0, out[:, 1])


def loss_and_slopes(
    layers: Layers, inputs: FloatArray, targets: FloatArray
) -> tuple[float, list[FloatArray]]:
    """Return the mean negative log likelihood (eq. 1) and its slopes, weight before bias."""
    states = _forward(layers, inputs)
    mean, deviation = _heads(states[-1])
    z = (targets - mean) / deviation
    loss = float((0.5 * z**2 + np.log(deviation)).mean())
    back = np.empty_like(states[-1])
    back[:, 0] = -z / deviation
    # The slope of softplus is the logistic function.
    back[:, 1] = (1 - z**2) / deviation / (1 + np.exp(-states[-1][:, 1]))
    back /= len(targets)
    slopes: list[FloatArray] = []
    for i in reversed(range(len(layers))):
        slopes = [states[i].T @ back, back.sum(axis=0), *slopes]
        if i:
            back = (back @ layers[i][0].T) * (states[i] > 0)
    return loss, slopes
