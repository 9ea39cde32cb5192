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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from metastore.describing import processors
from metastore.view import FloatArray, IntArray
from recommenders.encoding import Encoder, Key, carried

SUBSET = 64
GRID = (0.25, 0.5, 1.0, 2.0, 6.0)
NOISE = (1e-3, 1e-2, 1e-1)
SWEEPS = 2
MAX_ARD_COLUMNS = 16
SPREAD = 1.0
JITTER = 1e-8
CACHE_CELLS = 8_000_000
AT_ONCE = 250_000
"""Kernel values worked out at once: more do not fit into a processor's cache."""

MANY_BATCHES = 4
"""From so many on several threads share them."""

TOGETHER = 100_000
DECIMALS = 12
KEPT = 8


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
        found: FloatArray = self.predict_all([dataset], keys)[0]
        return found

    def predict_all(self, datasets: Sequence[str], keys: tuple[Key, ...]) -> FloatArray:
        """Return the `(B, P)` regrets of several datasets, which is cheaper than one by one."""
        self.prepare(datasets)
        found = [self._known.get((dataset, keys)) for dataset in datasets]
        left = [i for i, one in enumerate(found) if one is None]
        processes = [self._fitted[datasets[i]] for i in left]
        for i, one in zip(left, _predicted(processes, self.points(keys)), strict=True):
            found[i] = self._keep(datasets[i], keys, one)
        return np.array([one for one in found if one is not None]).reshape(-1, len(keys))

    def _keep(self, dataset: str, keys: tuple[Key, ...], predicted: FloatArray) -> FloatArray:
        # How sums are rounded hangs on how many configs are asked about at once.
        found = self._known[dataset, keys] = predicted.round(DECIMALS)
        self._cells += len(found)
        while self._cells > CACHE_CELLS and len(self._known) > 1:
            self._cells -= len(self._known.popitem(last=False)[1])
        return found

    def points(self, keys: tuple[Key, ...]) -> FloatArray:
        """Return the `(P, d)` encoded configs."""
        if self._encoder is None:
            self._encoder = self.encoder()
        if keys not in self._points:
            base, new, places = carried(self._points, keys)
            parts = [self._points[base]] if base else []
            parts += [self._encoder.encode(new)] if new or not base else []
            self._points[keys] = np.concatenate(parts)[places]
            if len(self._points) > KEPT:
                self._points.popitem(last=False)
        return self._points[keys]

    def lengthscales(self, datasets: Sequence[str], weights: FloatArray) -> FloatArray | None:
        """Return the weighted geometric mean `(d,)` of what the processes of datasets have.

        Args:
            datasets: which.
            weights: `(len(datasets),)`, not negative.

        Returns:
            None where no dataset of weight has scores that differ.
        """
        self.prepare(datasets)
        processes = [self._fitted[dataset] for dataset in datasets]
        told = weights * [one.scale != 0.0 for one in processes]
        if not told.sum() > 0:
            return None
        logs = np.log([one.lengthscales for one in processes])
        mean: FloatArray = np.exp(told @ logs / told.sum())
        return mean

    def prepare(self, datasets: Sequence[str]) -> None:
        """Fit the processes of several datasets together, which is cheaper than one by one."""
        left = [dataset for dataset in datasets if dataset not in self._fitted]
        if not left:
            return
        if self._encoder is None:
            self._encoder = self.encoder()
        runs = [self.own(dataset) for dataset in left]
        ends = np.cumsum([len(one.keys) for one in runs])
        points = self._encoder.encode([key for one in runs for key in one.keys])
        training = [
            (mine, one.regrets) for mine, one in zip(np.split(points, ends[:-1]), runs, strict=True)
        ]
        self._fitted.update(zip(left, _fit(training, self.ard), strict=True))


@dataclass(frozen=True, eq=False)
class _Process:
    """A fitted process: scaled points `(n, d)`, dual coefficients `(n,)`, mean and scale."""

    points: FloatArray
    lengthscales: FloatArray
    coefficients: FloatArray
    mean: float
    scale: float


def _predicted(processes: Sequence[_Process], points: FloatArray) -> list[FloatArray]:
    """Return the regrets `(P,)` of encoded configs `(P, d)` by each of several processes."""
    out = [np.full(len(points), one.mean) for one in processes]
    by_size: dict[int, list[int]] = {}
    for i, one in enumerate(processes):
        if one.scale != 0.0:
            by_size.setdefault(len(one.points), []).append(i)
    batches = []
    for size, members in by_size.items():
        together = max(1, AT_ONCE // max(1, size * len(points)))
        starts = range(0, len(members), together)
        batches += [members[start : start + together] for start in starts]

    def predict(batch: list[int]) -> None:
        for i, regrets in zip(batch, _batch([processes[i] for i in batch], points), strict=True):
            out[i] = regrets

    if len(batches) < MANY_BATCHES:
        for batch in batches:
            predict(batch)
        return out
    with ThreadPoolExecutor(processors()) as pool:  # numpy lets go of Python meanwhile
        list(pool.map(predict, batches))
    return out


def _batch(processes: Sequence[_Process], points: FloatArray) -> FloatArray:
    """Return the regrets `(B, P)` of configs by B processes on as many runs each."""
    scaled = points / np.stack([one.lengthscales for one in processes])[:, None]
    kernel = matern(scaled, np.stack([one.points for one in processes]))
    gains = kernel @ np.stack([one.coefficients for one in processes])[:, :, None]
    mean, scale = np.array([(one.mean, one.scale) for one in processes]).T[:, :, None]
    clipped: FloatArray = np.clip(mean + scale * gains[:, :, 0], 0, 1)
    return clipped


def smooth(points: FloatArray, values: FloatArray, asked: FloatArray) -> FloatArray:
    """Return what a process over points `(n, d)` with values `(n,)` expects at others `(m, d)`."""
    (process,) = _fit([(points, values)], ard=True)
    if process.scale == 0.0:
        return np.full(len(asked), process.mean)
    gains = matern(asked / process.lengthscales, process.points) @ process.coefficients
    expected: FloatArray = process.mean + process.scale * gains
    return expected


def _fit(training: Sequence[tuple[FloatArray, FloatArray]], ard: bool) -> list[_Process]:
    """Return the processes of datasets with points `(n, d)` and regrets `(n,)`."""
    subsets = [_Subset.of(points, regrets) for points, regrets in training]
    found = [_constant(points, regrets) for points, regrets in training]
    by_size: dict[int, list[int]] = {}
    for i, one in enumerate(subsets):
        if one is not None:
            by_size.setdefault(len(one.target), []).append(i)
    for size, members in by_size.items():
        together = 1 if ard else max(1, TOGETHER // size**2)
        for start in range(0, len(members), together):
            some = members[start : start + together]
            lengths, noise = _search([s for i in some if (s := subsets[i]) is not None], ard)
            for i, length, variance in zip(some, lengths, noise.tolist(), strict=True):
                found[i] = _conditioned(*training[i], length, variance)
    return found


def _constant(points: FloatArray, regrets: FloatArray) -> _Process:
    nothing: FloatArray = np.zeros(len(regrets))
    return _Process(points, np.ones(points.shape[1]), nothing, float(regrets.mean()), 0.0)


def _conditioned(
    points: FloatArray, regrets: FloatArray, lengths: FloatArray, noise: float
) -> _Process:
    mean, scale = float(regrets.mean()), float(regrets.std())
    scaled = points / lengths
    gram = matern(scaled, scaled)
    gram[np.diag_indices_from(gram)] += noise + JITTER
    coefficients = np.asarray(np.linalg.solve(gram, (regrets - mean) / scale), dtype=np.float64)
    return _Process(scaled, lengths, coefficients, mean, scale)


@dataclass(frozen=True, eq=False)
class _Subset:
    """What hyperparameters are chosen on: points `(m, d)`, standardised regrets `(m,)`."""

    points: FloatArray
    target: FloatArray

    @classmethod
    def of(cls, points: FloatArray, regrets: FloatArray) -> _Subset | None:
        """Return a spread-out subset; None where there is nothing to learn."""
        scale = float(regrets.std())
        if scale < 1e-12 or len(regrets) < 3 or not points.shape[1]:
            return None
        target = (regrets - float(regrets.mean())) / scale
        spread = np.linspace(0, len(target) - 1, min(SUBSET, len(target))).astype(int)
        chosen = np.argsort(target, kind="stable")[spread]
        return cls(points[chosen], target[chosen])


def _search(subsets: Sequence[_Subset], ard: bool) -> tuple[FloatArray, FloatArray]:
    """Return lengthscales `(B, d)` and noise variances `(B,)` of the highest posterior on the grid.

    Args:
        subsets: B of one size m.
        ard: whether every column may have its own lengthscale.
    """
    points = np.stack([one.points for one in subsets])
    target = np.stack([one.target for one in subsets])
    columns = points.shape[2]
    ard = ard and columns <= MAX_ARD_COLUMNS
    groups = np.arange(columns) if ard else np.zeros(columns, dtype=int)
    parts = [_squared(points[:, :, groups == g]) for g in range(groups.max() + 1)]
    grid, levels = np.array(GRID), np.array(NOISE)
    noise = np.full(len(subsets), NOISE[1])
    lengths: FloatArray = np.ones((len(subsets), len(parts)))
    for _ in range(SWEEPS if ard else 1):
        for i, part in enumerate(parts):
            rest = _total(parts[:i] + parts[i + 1 :], np.delete(lengths, i, axis=1))
            trials = [_evidence(rest + part / g**2, target, noise) - _prior(g) for g in GRID]
            lengths[:, i] = grid[_last_largest(trials)]
        total = _total(parts, lengths)
        tried = [_evidence(total, target, np.full(len(subsets), other)) for other in NOISE]
        noise = levels[_last_largest(tried)]
    return lengths[:, groups], noise


def _squared(points: FloatArray) -> FloatArray:
    """Return squared distances `(B, m, m)` of points `(B, m, d)`."""
    difference = points[:, :, None] - points[:, None]
    squared: FloatArray = (difference**2).sum(axis=3)
    return squared


def _total(parts: Sequence[FloatArray], lengths: FloatArray) -> FloatArray:
    """Return the scaled squared distances of parts `(B, m, m)` with lengthscales `(B, parts)`."""
    total: FloatArray = np.zeros(1)
    for i, part in enumerate(parts):
        total = total + part / lengths[:, i, None, None] ** 2
    return total


def _last_largest(trials: Sequence[FloatArray]) -> IntArray:
    """Return `(B,)` which of the trials `(B,)` is the largest, of equal ones the last."""
    table = np.stack(trials)
    last: IntArray = len(table) - 1 - np.argmax(table[::-1], axis=0)
    return last


def _prior(length: float) -> float:
    return float(np.log(length) ** 2 / (2 * SPREAD**2))


def _evidence(squared: FloatArray, target: FloatArray, noise: FloatArray) -> FloatArray:
    """Return log marginal likelihoods `(B,)`, up to a constant.

    Args:
        squared: `(B, m, m)` squared scaled distances.
        target: `(B, m)` standardised regrets.
        noise: `(B,)` variances.
    """
    gram = _matern_of(squared)
    diagonal = np.arange(gram.shape[1])
    gram[:, diagonal, diagonal] += noise[:, None] + JITTER
    factor = np.linalg.cholesky(gram)
    white = np.linalg.solve(factor, target[:, :, None])[:, :, 0]
    logs = np.log(factor[:, diagonal, diagonal]).sum(axis=1)
    evidence: FloatArray = -0.5 * (white**2).sum(axis=1) - logs
    return evidence


def matern(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the Matern-5/2 kernel `(..., n, m)` of scaled points `(..., n, d)`, `(..., m, d)`."""
    squared = (-2 * left) @ np.swapaxes(right, -1, -2)
    squared += (left**2).sum(-1)[..., :, None]
    squared += (right**2).sum(-1)[..., None, :]
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
