"""Past scores on one footing: how far each config was from the best, dataset by dataset.

The regret of a config on a dataset is `(best - score) / (best - worst)` over the dataset's own
completed runs: 0 for its best config, 1 for its worst and for a config that failed there. A
dataset whose scores are all equal has regret 0 everywhere. Where a config did not run on a
dataset, its regret is predicted from the dataset's own runs (`recommenders.surrogates`) and, as
far as none of those is near it, from what the config did elsewhere.

Everything is brought into one order first (datasets by name, configs by algorithm and text),
so that advice does not depend on the order in which runs were recorded.

Notation: D datasets, P configs of a pool.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray, View
from recommenders.cells import (
    MAX_ENCODED,
    MAX_PREDICTED,
    grouped,
    keys_of,
    regret_of,
    surrogates_of,
)
from recommenders.encoding import Key, carried
from recommenders.heavy_tails import unbounded, without_tails
from recommenders.surrogates import Surrogates

MAX_POOL = 1_000
MAX_DENSE_CELLS = 4_000_000
MIN_DENSITY = 0.1
MAX_KEPT = 64


@dataclass(frozen=True, eq=False)
class Table:
    """What past datasets say about the configs of a pool.

    Args:
        keys: the P configs.
        own: `(D, P)` regrets in [0, 1]: exact where known, else predicted from the dataset's runs.
        known: `(D, P)` whether the config ran, or failed, on the dataset.
        seconds: `(D, P)` mean duration, NaN where unknown.
        repeats: `(D, P)` how many runs the score is a mean of, 0 where not known.
        numbers: `(P,)` number of each config in the view, -1 where it is not in it.
        hidden: `(D,)` datasets that teach nothing about the others; None for no dataset.
    """

    keys: tuple[Key, ...]
    own: FloatArray
    known: NDArray[np.bool_]
    seconds: FloatArray
    repeats: IntArray
    numbers: IntArray

    hidden: NDArray[np.bool_] | None = None

    @cached_property
    def regret(self) -> FloatArray:
        """`(D, P)` regrets: exact where known, else also from what the config did elsewhere."""
        if self.known.all():
            return self.own
        told = self.known if self.hidden is None else self.known & ~self.hidden[:, None]
        times = told.sum(axis=0)
        elsewhere = np.where(told, self.own, 0).sum(axis=0) / np.maximum(times, 1)
        share = times / (times + SHRINK)
        mixed = (1 - share) * self.own + share * elsewhere
        regret: FloatArray = np.where(self.known, self.own, mixed)
        return regret

    def hiding(self, hidden: NDArray[np.bool_]) -> Table:
        """Return the table in which some datasets, `(D,)`, teach nothing about the others."""
        return replace(self, hidden=hidden)

    @cached_property
    def hashes(self) -> IntArray:
        """`(P,)` a hash of each config, the same on any machine."""
        pairs = ("\x1f".join(key).encode() for key in self.keys)
        return np.fromiter((zlib.crc32(pair) for pair in pairs), np.int64, len(self.keys))

    @cached_property
    def number(self) -> dict[Key, int]:
        """Position of each config in the pool."""
        return {key: i for i, key in enumerate(self.keys)}

    def take(self, columns: IntArray) -> Table:
        """Return the table of some of the configs, in the order given."""
        return Table(
            tuple(self.keys[i] for i in columns.tolist()),
            self.own[:, columns],
            self.known[:, columns],
            self.seconds[:, columns],
            self.repeats[:, columns],
            self.numbers[columns],
        )

    def joined(self, other: Table) -> Table:
        """Return one table of the configs of both."""
        return Table(
            self.keys + other.keys,
            np.concatenate([self.own, other.own], axis=1),
            np.concatenate([self.known, other.known], axis=1),
            np.concatenate([self.seconds, other.seconds], axis=1),
            np.concatenate([self.repeats, other.repeats], axis=1),
            np.concatenate([self.numbers, other.numbers]),
        )


@dataclass(frozen=True, eq=False)
class Past:
    """The datasets of a view, ready to be asked about any config.

    Args:
        view: the view this came from.
        datasets: D names in alphabetical order.
        best: `(D,)` best score of each dataset.
        worst: `(D,)` worst score of each dataset.
        surrogates: predict what did not run; shared by the pasts of narrowed views.
        recorded: the view as it was recorded; `view` has its heavy tails cut
            (`recommenders.heavy_tails`).
    """

    view: View
    datasets: tuple[str, ...]
    best: FloatArray
    worst: FloatArray
    surrogates: Surrogates
    recorded: View
    _tables: dict[tuple[Key, ...], Table] = field(default_factory=dict)
    _at: dict[bytes, Table] = field(default_factory=dict)

    @classmethod
    def of(cls, view: View) -> Past:
        """Return the past of a view; datasets that have failures only are left out."""
        told = without_tails(view)
        base = cls(told, (), np.empty(0), np.empty(0), surrogates_of(told), view)
        return base._narrowed(told)

    def without(self, datasets: Sequence[str]) -> Past:
        """Return the past less these datasets and their near-duplicates."""
        return self._narrowed(self.view.without(datasets))

    def _narrowed(self, view: View) -> Past:
        best = np.full(view.n_datasets, -np.inf)
        worst = np.full(view.n_datasets, np.inf)
        np.maximum.at(best, view.cell_dataset, view.cell_score)
        np.minimum.at(worst, view.cell_dataset, view.cell_score)
        names = [n for n, b in zip(view.datasets, best, strict=True) if np.isfinite(b)]
        order = np.array([view.datasets.index(n) for n in sorted(names)], dtype=np.int64)
        return replace(
            self,
            view=view,
            datasets=tuple(sorted(names)),
            best=best[order],
            worst=worst[order],
            _tables={},
            _at={},
        )

    @cached_property
    def tailed(self) -> bool:
        """Whether the metric has no bound on its bad side."""
        return unbounded(self.recorded.cell_score, self.recorded.higher_is_better)

    @property
    def spread(self) -> FloatArray:
        """`(D,)` best less worst score of each dataset."""
        return self.best - self.worst

    def scores(self, table: Table) -> FloatArray:
        """Return the scores `(D, P)`, larger-is-better, that the regrets stand for."""
        scores: FloatArray = self.best[:, None] - table.regret * self.spread[:, None]
        return scores

    def value(self, row: int, key: Key, regret: float) -> float:
        """Return what a config that ran on a dataset has there, in the metric's own direction.

        Args:
            row: the dataset.
            key: the config.
            regret: its regret there, 1 also where it lies further below than counts.
        """
        if self.tailed and regret >= 1:
            whole, name = self.recorded, self.datasets[row]
            mine = np.flatnonzero(whole.cell_dataset == whole.datasets.index(name))
            keys = keys_of(whole, whole.cell_config[mine])
            if key in keys:
                return whole.value(float(whole.cell_score[mine[keys.index(key)]]))
        return self.view.value(float(self.best[row] - regret * self.spread[row]))

    @cached_property
    def rows(self) -> IntArray:
        """`(view.n_datasets,)` position of each dataset of the view here, -1 if left out."""
        number = {name: i for i, name in enumerate(self.datasets)}
        return np.array([number.get(n, -1) for n in self.view.datasets], dtype=np.int64)

    @cached_property
    def groups(self) -> IntArray:
        """`(D,)` number of each dataset's near-duplicate group."""
        ids = [self.view.groups.get(name, name) for name in self.datasets]
        number = {group: i for i, group in enumerate(dict.fromkeys(ids))}
        return np.array([number[group] for group in ids], dtype=np.int64)

    @cached_property
    def cells(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Cells by dataset, the best first: `(D + 1,)` starts, `(N,)` numbers and regrets."""
        at = self.rows[self.view.cell_dataset]
        regret = regret_of(self.view.cell_score, self.best[at], self.worst[at])
        order = grouped(at, regret, self.view.cell_config)
        starts = np.searchsorted(at[order], np.arange(len(self.datasets) + 1))
        return starts, order, regret[order]

    def own(self, row: int) -> tuple[IntArray, FloatArray]:
        """Return the cells of one dataset and their regrets, the best first."""
        starts, order, regret = self.cells
        mine = slice(starts[row], starts[row + 1])
        return order[mine], regret[mine]

    @cached_property
    def default_pool(self) -> Table:
        """The configs of the view, or the best of each dataset where there are too many."""
        return self.table_at(_pool_columns(self))

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """What the metric seems bounded by, in its own direction.

        0 and 1 where every recorded value lies between them, 0 where none is below.
        """
        scores = self.view.cell_score
        values = scores if self.view.higher_is_better else -scores
        if not len(values) or values.min() < 0:
            return -np.inf, np.inf
        return 0.0, 1.0 if values.max() <= 1 else np.inf

    @property
    def score_bounds(self) -> tuple[float, float]:
        """The same of scores: the least, and the most."""
        least, most = sorted(map(self.view.score, self.bounds))
        return least, most

    def keys_of(self, configs: IntArray) -> list[Key]:
        """Return the keys of configs of the view, by their numbers there."""
        return keys_of(self.view, configs)

    def table_at(self, configs: IntArray) -> Table:
        """Return what the past says of configs of the view, by their numbers there."""
        name = configs.tobytes()
        found = self._at.get(name)
        if found is None:
            keys = keys_of(self.view, configs)
            order = sorted(range(len(keys)), key=keys.__getitem__)
            found = self._table(tuple(keys[i] for i in order), configs[order])
            if len(self._at) < MAX_KEPT:
                self._at[name] = found
        return found

    def _numbers(self, keys: tuple[Key, ...]) -> IntArray:
        """Return the numbers of configs in the view, -1 where they are not in it."""
        places = self.view.places({text for _, text in keys})
        found = dict(zip(keys_of(self.view, places), places.tolist(), strict=True))
        return np.array([found.get(key, -1) for key in keys], dtype=np.int64)

    def table(self, keys: tuple[Key, ...]) -> Table:
        """Return what the past says of any configs, whether they are in the view or not."""
        found = self._tables.get(keys)
        if found is None:
            found = self._put_together(keys)
            if len(self._tables) >= 4:
                self._tables.pop(next(iter(self._tables)))
            self._tables[keys] = found
        return found

    def _put_together(self, keys: tuple[Key, ...]) -> Table:
        """Return a table of `keys`, working out only what an earlier one does not have.

        What the past says of a config does not hang on the others of its pool.
        """
        kept = dict(self._tables)
        if "default_pool" in self.__dict__:
            kept[self.default_pool.keys] = self.default_pool
        base, new, places = carried(kept, keys)
        if not base:
            return self._table(keys, self._numbers(keys))
        both = kept[base].joined(self._table(new, self._numbers(new))) if new else kept[base]
        return both.take(places)

    def _table(self, keys: tuple[Key, ...], numbers: IntArray) -> Table:
        """Fill the table of `keys`, whose numbers in the view are `numbers`, -1 if absent."""
        view, shape = self.view, (len(self.datasets), len(keys))
        column = np.full(view.n_configs + 1, -1, dtype=np.int64)
        column[numbers] = np.arange(len(keys))
        column[-1] = -1
        score, seconds = np.full(shape, np.nan), np.full(shape, np.nan)
        failed, repeats = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int64)
        at, to = self.rows[view.failed_dataset], column[view.failed_config]
        inside = (at >= 0) & (to >= 0)
        failed[at[inside], to[inside]] = True
        seconds[at[inside], to[inside]] = view.failed_seconds[inside]
        here = np.flatnonzero((column >= 0)[view.cell_config])  # few of a million cells
        at, to = self.rows[view.cell_dataset[here]], column[view.cell_config[here]]
        score[at, to] = view.cell_score[here]
        seconds[at, to] = view.cell_seconds[here]
        repeats[at, to] = view.cell_repeats[here]
        regret = regret_of(score, self.best[:, None], self.worst[:, None])
        regret[failed & np.isnan(score)] = 1.0
        known = ~np.isnan(regret)
        return Table(keys, self._filled(keys, regret, known), known, seconds, repeats, numbers)

    def _filled(
        self, keys: tuple[Key, ...], regret: FloatArray, known: NDArray[np.bool_]
    ) -> FloatArray:
        """Predict what is not known from the dataset's own runs."""
        rows = np.flatnonzero(~known.all(axis=1))
        if len(rows):
            names = [self.datasets[row] for row in rows.tolist()]
            likely = self.surrogates.predict_all(names, keys)
            regret[rows] = np.where(known[rows], regret[rows], likely)
        return regret


SHRINK = 5.0
"""How many datasets a config must have run on to weigh as much as a dataset's own runs."""


def _pool_columns(past: Past) -> IntArray:
    """Return which configs of the view make the pool when nobody names one.

    Those that never gave a score are left out where any did.
    """
    view = past.view
    dense = view.n_datasets * view.n_configs <= MAX_DENSE_CELLS and view.density >= MIN_DENSITY
    if view.n_configs <= MAX_POOL or dense:
        ran = np.flatnonzero(np.bincount(view.cell_config, minlength=view.n_configs))
        return ran if len(ran) else np.arange(view.n_configs)
    most = min(MAX_POOL, MAX_PREDICTED // min(view.n_cells, MAX_ENCODED))
    each = max(1, most // max(1, len(past.datasets)))
    starts, order, _ = past.cells
    place = np.arange(len(order)) - np.repeat(starts[:-1], np.diff(starts))
    return np.unique(view.cell_config[order[place < each]])
