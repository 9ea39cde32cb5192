"""How long a config takes on a dataset, from past runs and from those of the dataset so far.

Logarithms of durations add up: of config c on dataset d

    log t = a_d + e_c + r_dc,

where `a` says how slow the dataset is, `e` how slow the config is, and the rest is what they do
to each other. Levels and effects are fitted by turns (backfitting); the effect of a config that
ran on few datasets is shrunk towards what a Gaussian process over encoded configs makes of the
others. The level of a new dataset is ridge regression on its meta-features, the penalty by leaving
datasets out one by one (Golub, Heath and Wahba, 1979; the closed form of Allen, 1974), and its
effects are those on datasets of about that level. Its own runs then condition a Gaussian whose
covariance is that of the level (past datasets' error, and another machine), of the rest on past
datasets, shrunk to its diagonal, and of one run from the next: empirical Bayes, as
`empirical_bayes` does it for scores.

A run that failed or was stopped says that a whole one takes at least as long, and nothing where
more than that was expected anyway.

Notation: D datasets, C configs of the view, P configs of a pool, k observed runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray
from recommenders.cells import spread_over
from recommenders.distances import Scaling, squash
from recommenders.encoding import Key
from recommenders.recommender import AskedTask
from recommenders.scores import Past, Table
from recommenders.surrogates import smooth

SWEEPS = 4
ENOUGH = 5
"""Datasets whose durations of a config speak for themselves."""

MANY_CELLS = 100_000
"""Runs that levels are learned from, at most."""

LIKE_RUNS = 3.0
"""How many runs the configs around one count for, in its effect."""

ANCHORS = 300
"""Configs that the effects of others are told from, at most."""

OFF_DIAGONAL = 0.7
"""What is kept of the covariance between configs."""

MACHINE = 0.5
"""Variance of the logarithm from one machine to another: a factor of two is nothing unusual."""

AGAIN = 0.02
"""Variance of the logarithm from one run of a config to the next."""

DECIMALS = 9
"""Of logarithms: how sums are rounded hangs on how many configs are asked about at once."""

MOST_RUNS = 256
"""Own runs that the others' durations are conditioned on, at most."""

KEPT = 4
"""Pools whose effects are kept."""

PENALTIES = np.geomspace(1e-2, 1e5, 29)


@dataclass(frozen=True, eq=False)
class Took:
    """How long configs took on the dataset that is asked about.

    Args:
        columns: `(k,)` configs of a pool.
        seconds: `(k,)`, NaN or 0 where not known.
        at_least: `(k,)` whether the run failed or was stopped, so that a whole one takes longer.
    """

    columns: IntArray
    seconds: FloatArray
    at_least: NDArray[np.bool_]

    @classmethod
    def of(cls, seconds: Mapping[int, tuple[float, bool]]) -> Self:
        """Return what was seen of configs, by their columns: seconds, and whether at least."""
        columns = sorted(seconds)
        return cls(
            np.array(columns, dtype=np.int64),
            np.array([seconds[c][0] for c in columns], dtype=np.float64),
            np.array([seconds[c][1] for c in columns], dtype=bool),
        )


@dataclass(frozen=True, eq=False)
class Durations:
    """What past runs say about durations.

    Args:
        past: what was learned from.
        timed: `(D,)` which datasets know durations.
        level: `(D,)` mean logarithm of a dataset's durations, less the effects of what ran there.
        effect: `(C,)` sum over datasets of how far a config lay above the level.
        times: `(C,)` how many datasets that sum is over.
        rest: variance of what levels and effects leave.
    """

    past: Past
    timed: NDArray[np.bool_]
    level: FloatArray
    effect: FloatArray
    times: IntArray
    rest: float
    _kept: dict[tuple[Key, ...], FloatArray] = field(default_factory=dict)

    @classmethod
    def of(cls, past: Past) -> Self | None:
        """Learn from the runs of a past; None where none has a duration."""
        view = past.view
        at, logs = past.rows[view.cell_dataset], _logs(view.cell_seconds)
        known = np.flatnonzero(np.isfinite(logs) & (at >= 0))
        if not len(known):
            return None
        every = _Cells(at[known], view.cell_config[known], logs[known])
        level = _levels(every.some(), past)
        above = every.logs - level[every.dataset]
        times = np.bincount(every.config, minlength=view.n_configs).astype(np.int64)
        effect = _sums(every.config, above, view.n_configs)
        kind = view.config_algorithms
        shrunk = _shrunk(effect, times, kind, len(view.algorithms))
        rest = float(np.mean((above - shrunk[every.config]) ** 2))
        timed = np.bincount(every.dataset, minlength=len(level)) > 0
        return cls(past, timed, level, effect, times, rest)

    def expected(self, task: AskedTask, table: Table, took: Took) -> FloatArray:
        """Return the seconds `(P,)` that each config of a pool is expected to take.

        Args:
            task: the dataset that is asked about.
            table: the pool.
            took: how long configs of the pool took on the dataset.
        """
        level, variance = self._level_of(task)
        effect = self._effects(table)
        logs = _logs(table.seconds)
        known = np.isfinite(logs) & self.timed[:, None]
        above = np.where(known, logs - self.level[:, None], 0.0)
        ended = table.repeats > 0
        above = np.where(known & ~ended, np.maximum(above, effect), above)
        near = np.exp(-0.5 * (self.level - level) ** 2 / max(variance, self.rest / 10, 1e-6))
        share = known * near[:, None]
        expected = level + ((share * above).sum(axis=0) + effect) / (share.sum(axis=0) + 1)
        told = _logs(took.seconds)
        tells = np.isfinite(told) & (~took.at_least | (told > expected[took.columns]))
        tells = spread_over(np.flatnonzero(tells), MOST_RUNS)
        columns, told = took.columns[tells], told[tells]
        if len(columns):
            residual = np.where(known, above - effect, 0.0)
            covariance = self._covariance(residual, known.sum(axis=0), columns)
            covariance += variance + MACHINE
            gram = covariance[columns] + AGAIN * np.eye(len(columns))
            expected += covariance @ np.linalg.solve(gram, told - expected[columns])
        seconds: FloatArray = np.exp(expected.round(DECIMALS))
        return seconds

    def _covariance(self, residual: FloatArray, times: IntArray, columns: IntArray) -> FloatArray:
        """Return the covariance `(P, k)` of what is left, `(D, P)`, of the pool and `columns`."""
        count = int(self.timed.sum())
        shared: FloatArray = residual.T @ residual[:, columns] / count
        squares = (residual[:, columns] ** 2).sum(axis=0)
        own = np.maximum(
            (squares + ENOUGH * self.rest) / (times[columns] + ENOUGH), squares / count
        )
        shared *= OFF_DIAGONAL
        shared[columns, np.arange(len(columns))] = own
        return shared

    def _level_of(self, task: AskedTask) -> tuple[float, float]:
        """Return the expected level of a dataset, and the variance of that guess."""
        level = self.level[self.timed]
        given = task.meta_features
        if given is None or self._size is None:
            return float(level.mean()), float(level.var()) + 1 / len(level)
        scaling, regression = self._size
        predicted, variance = regression.predict(np.nan_to_num(squash(scaling(given))))
        return float(np.clip(predicted, level.min(), level.max())), variance

    @cached_property
    def _size(self) -> tuple[Scaling, Ridge] | None:
        """How levels follow from meta-features; None where they tell nothing."""
        values = self.past.view.meta.aligned(self.past.datasets)
        told = self.timed & np.isfinite(values).any(axis=1)
        if told.sum() < ENOUGH:
            return None
        scaling = Scaling.fit(values[told])
        points = np.nan_to_num(squash(scaling(values[told])))
        return scaling, Ridge.fit(points, self.level[told])

    def _effects(self, table: Table) -> FloatArray:
        """Return how slow configs `(P,)` are, also those that never ran."""
        if table.keys not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[table.keys] = self._worked_out(table)
        return self._kept[table.keys]

    def _worked_out(self, table: Table) -> FloatArray:
        inside = table.numbers >= 0
        times = np.where(inside, self.times[table.numbers], 0)
        sums = np.where(inside, self.effect[table.numbers], 0.0)
        if (times >= ENOUGH).all():
            found: FloatArray = sums / times
            return found
        points, values = self._anchors
        likely = smooth(points, values, self.past.surrogates.points(table.keys))
        mixed: FloatArray = (sums + LIKE_RUNS * likely) / (times + LIKE_RUNS)
        return mixed

    @cached_property
    def _anchors(self) -> tuple[FloatArray, FloatArray]:
        """Configs with durations, as points `(n, d)`, and their effects `(n,)`."""
        chosen = spread_over(np.flatnonzero(self.times), ANCHORS)
        keys = tuple(self.past.keys_of(chosen))
        return self.past.surrogates.points(keys), self.effect[chosen] / self.times[chosen]


@dataclass(frozen=True, eq=False)
class Ridge:
    """Ridge regression: `centre` `(F,)` of the points, `weights` `(F,)`, mean and error."""

    centre: FloatArray
    weights: FloatArray
    mean: float
    variance: float

    @classmethod
    def fit(cls, points: FloatArray, values: FloatArray) -> Self:
        """Fit values `(n,)` at points `(n, F)`, with the penalty that leaves least error out."""
        centre, mean, count = points.mean(axis=0), float(values.mean()), len(values)
        left, singular, right = np.linalg.svd(points - centre, full_matrices=False)
        turned, best = left.T @ (values - mean), (np.inf, 0.0)
        for penalty in PENALTIES:
            kept = singular**2 / (singular**2 + penalty)
            errors = values - mean - left @ (kept * turned)
            errors = errors / (1 - (left**2 * kept).sum(axis=1) - 1 / count)
            best = min(best, (float(np.mean(errors**2)), float(penalty)))
        error, penalty = best
        weights = right.T @ (singular / (singular**2 + penalty) * turned)
        return cls(centre, weights, mean, error)

    def predict(self, point: FloatArray) -> tuple[float, float]:
        """Return the value expected at a point `(F,)`, and the variance left out one by one."""
        return self.mean + float((point - self.centre) @ self.weights), self.variance


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells with durations: `(n,)` datasets, configs and logarithms."""

    dataset: IntArray
    config: IntArray
    logs: FloatArray

    def some(self) -> _Cells:
        """Return a draw of them, where there are more than levels need."""
        share = MANY_CELLS / len(self.logs)
        if share >= 1:
            return self
        drawn = np.random.default_rng(0).random(len(self.logs)) < share
        return _Cells(self.dataset[drawn], self.config[drawn], self.logs[drawn])


def _levels(cells: _Cells, past: Past) -> FloatArray:
    """Return the level `(D,)` of each dataset, by backfitting."""
    count, kinds = len(past.datasets), len(past.view.algorithms)
    sizes = np.maximum(np.bincount(cells.dataset, minlength=count), 1)
    configs, config = np.unique(cells.config, return_inverse=True)
    kind, times = past.view.config_algorithms[configs], np.bincount(config).astype(np.int64)
    level = _sums(cells.dataset, cells.logs, count) / sizes
    for _ in range(SWEEPS):
        effect = _sums(config, cells.logs - level[cells.dataset], len(configs))
        shrunk = _shrunk(effect, times, kind, kinds)
        level = _sums(cells.dataset, cells.logs - shrunk[config], count) / sizes
    return level


def _shrunk(effect: FloatArray, times: IntArray, kind: IntArray, kinds: int) -> FloatArray:
    """Return mean effects `(C,)` from sums `(C,)`, a bit nearer to the mean of their algorithm."""
    runs = np.maximum(_sums(kind, times, kinds), 1)
    usual = _sums(kind, effect, kinds) / runs
    shrunk: FloatArray = (effect + usual[kind]) / (times + 1)
    return shrunk


def _sums(at: IntArray, values: FloatArray | IntArray, count: int) -> FloatArray:
    """Return the sums `(count,)` of values `(n,)` by where they belong, `(n,)`."""
    return np.bincount(at, values, count).astype(np.float64)


def _logs(seconds: FloatArray) -> FloatArray:
    """Return logarithms, NaN where a duration is not known or not positive."""
    known = np.isfinite(seconds) & (seconds > 0)
    logs: FloatArray = np.log(np.where(known, seconds, np.nan))
    return logs
