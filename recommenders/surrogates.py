"""Predicting what a config would have scored on a past dataset, from that dataset's own runs.

One Gaussian process a dataset over encoded configs (Rasmussen and Williams, 2006, chapter 2),
Matern-5/2 kernel with a lengthscale for each column (one for all where there are too many
columns or datasets). Lengthscales and noise are the best of a coordinate-wise grid by marginal
likelihood (eq. 2.30, plus a log-normal prior) on a spread-out subset of the dataset's runs;
mean and scale are those of the runs. Nothing of one dataset enters the process of another, so
that leaving a dataset out of the store changes no other one.

Notation: D datasets, n runs of a dataset, d columns of an encoded config, P configs to predict.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from metastore.view import FloatArray
from recommenders.encoding import Encoder, Key

SUBSET = 64
GRID = (0.25, 0.5, 1.0, 2.0, 6.0)
NOISE = (1e-3, 1e-2, 1e-1)
SWEEPS = 2
MAX_ARD_COLUMNS = 16
SPREAD = 1.0
JITTER = 1e-8
CACHE_CELLS = 8_000_000


@dataclass(frozen=True, eq=False)
class OwnRuns:
    """The runs of one dataset: `keys` of n configs and their `(n,)` regrets, in [0, 1]."""

    keys: Sequence[Key]
    regrets: FloatArray


@dataclass(eq=False)
class Surrogates:
    """One process a dataset, each fitted when it is first needed.

    Args:
        own: gives the runs of a dataset by name.
        encoder: makes the encoder; called once.
        ard: whether every column may have its own lengthscale.
    """

    own: Callable[[str], OwnRuns]
    encoder: Callable[[], Encoder]
    ard: bool = True
    _encoder: Encoder | None = None
    _fitted: dict[str, _Process] = field(default_factory=dict)
    _points: OrderedDict[tuple[Key, ...], FloatArray] = field(default_factory=OrderedDict)
    _known: OrderedDict[tuple[str, tuple[Key, ...]], FloatArray] = field(
        default_factory=OrderedDict
    )
    _cells: int = 0

    def predict(self, dataset: str, keys: tuple[Key, ...]) -> FloatArray:
        """Return the `(P,)` regrets, in [0, 1], that a dataset's runs make likely."""
        found = self._known.get((dataset, keys))
        if found is None:
            found = self._process(dataset).predict(self.points(keys))
            self._known[dataset, keys] = found
            self._cells += len(found)
            while self._cells > CACHE_CELLS and len(self._known) > 1:
                self._cells -= len(self._known.popitem(last=False)[1])
        return found

    def points(self, keys: tuple[Key, ...]) -> FloatArray:
        """Return the `(P, d)` encoded configs."""
        if self._encoder is None:
            self._encoder = self.encoder()
        if keys not in self._points:
            self._points[keys] = self._encoder.encode(keys)
            if len(self._points) > 8:
                self._points.popitem(last=False)
        return self._points[keys]

    def _process(self, dataset: str) -> _Process:
        if dataset not in self._fitted:
            runs = self.own(dataset)
            if self._encoder is None:
                self._encoder = self.encoder()
            points = self._encoder.encode(runs.keys)
            self._fitted[dataset] = _Process.fit(points, runs.regrets, self.ard)
        return self._fitted[dataset]


@dataclass(frozen=True, eq=False)
class _Process:
    """A fitted process: scaled points `(n, d)`, dual coefficients `(n,)`, mean and scale."""

    points: FloatArray
    lengthscales: FloatArray
    coefficients: FloatArray
    mean: float
    scale: float

    @classmethod
    def fit(cls, points: FloatArray, regrets: FloatArray, ard: bool) -> _Process:
        mean, scale = float(regrets.mean()), float(regrets.std())
        lengths: FloatArray = np.ones(points.shape[1])
        if scale < 1e-12 or len(regrets) < 3 or not points.shape[1]:
            return cls(points, lengths, np.zeros(len(regrets)), mean, 0.0)
        target = (regrets - mean) / scale
        spread = np.linspace(0, len(target) - 1, min(SUBSET, len(target))).astype(int)
        chosen = np.argsort(target, kind="stable")[spread]
        lengths, noise = _search(points[chosen], target[chosen], ard)
        scaled = points / lengths
        gram = matern(scaled, scaled)
        gram[np.diag_indices_from(gram)] += noise + JITTER
        coefficients = np.asarray(np.linalg.solve(gram, target), dtype=np.float64)
        return cls(scaled, lengths, coefficients, mean, scale)

    def predict(self, points: FloatArray) -> FloatArray:
        if self.scale == 0.0:
            return np.full(len(points), self.mean)
        cross = matern(points / self.lengthscales, self.points)
        clipped: FloatArray = np.clip(self.mean + self.scale * (cross @ self.coefficients), 0, 1)
        return clipped


def _search(points: FloatArray, target: FloatArray, ard: bool) -> tuple[FloatArray, float]:
    """Return lengthscales `(d,)` and noise variance of the highest posterior on the grid."""
    columns = points.shape[1]
    ard = ard and columns <= MAX_ARD_COLUMNS
    groups = np.arange(columns) if ard else np.zeros(columns, dtype=int)
    parts = [
        ((points[:, None, groups == g] - points[None, :, groups == g]) ** 2).sum(2)
        for g in range(groups.max() + 1)
    ]
    noise = NOISE[1]
    lengths: FloatArray = np.ones(len(parts))
    for _ in range(SWEEPS if ard else 1):
        for i, part in enumerate(parts):
            rest = sum(p / lengths[j] ** 2 for j, p in enumerate(parts) if j != i)
            trials = [(_evidence(rest + part / g**2, target, noise) - _prior(g), g) for g in GRID]
            lengths[i] = max(trials)[1]
        total = np.sum([p / g**2 for p, g in zip(parts, lengths, strict=True)], axis=0)
        noise = max((_evidence(total, target, other), other) for other in NOISE)[1]
    every: FloatArray = lengths[groups]
    return every, noise


def _prior(length: float) -> float:
    return float(np.log(length) ** 2 / (2 * SPREAD**2))


def _evidence(squared: FloatArray, target: FloatArray, noise: float) -> float:
    """Log marginal likelihood, up to a constant, of squared scaled distances `(n, n)`."""
    gram = _matern_of(squared)
    gram[np.diag_indices_from(gram)] += noise + JITTER
    factor = np.linalg.cholesky(gram)
    white = np.linalg.solve(factor, target)
    return float(-0.5 * white @ white - np.log(np.diag(factor)).sum())


def matern(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the Matern-5/2 kernel `(n, m)` of scaled points `(n, d)` and `(m, d)`."""
    squared = (-2 * left) @ right.T
    squared += (left**2).sum(1)[:, None]
    squared += (right**2).sum(1)[None]
    return _matern_of(np.maximum(squared, 0, out=squared))


def _matern_of(squared: FloatArray) -> FloatArray:
    r = squared * 5
    np.sqrt(r, out=r)
    # In place: fresh large arrays cost more in pages asked of the system than in arithmetic.
    kernel: FloatArray = r / 3
    kernel += 1
    kernel *= r
    kernel += 1
    np.negative(r, out=r)
    kernel *= np.exp(r, out=r)
    return kernel
