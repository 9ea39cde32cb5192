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
from recommenders.encoding import Encoder, Key, carried
from recommenders.surrogates import OwnRuns, Surrogates

MAX_POOL = 1_000
MAX_DENSE_CELLS = 4_000_000
MIN_DENSITY = 0.1
MAX_ENCODED = 60_000
MAX_ENCODER = 10_000
MAX_KEPT = 64
MAX_PREDICTED = 30_000_000
MAX_OWN = 500
MAX_ARD_DATASETS = 128


@dataclass(frozen=True, eq=False)
class Table:
    """What past datasets say about the configs of a pool.

    Args:
        keys: the P configs.
        own: `(D, P)` regrets in [0, 1]: exact where known, else predicted from the dataset's runs.
        known: `(D, P)` whether the config ran, or failed, on the dataset.
        seconds: `(D, P)` mean duration, NaN where unknown.
        repeats: `(D, P)` how many runs the score is a mean of, 0 where not known.
        hidden: `(D,)` datasets that teach nothing about the others; None for no dataset.
    """

    keys: tuple[Key, ...]
    own: FloatArray
    known: NDArray[np.bool_]
    seconds: FloatArray
    repeats: IntArray

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
        )

    def joined(self, other: Table) -> Table:
        """Return one table of the configs of both."""
        return Table(
            self.keys + other.keys,
            np.concatenate([self.own, other.own], axis=1),
            np.concatenate([self.known, other.known], axis=1),
            np.concatenate([self.seconds, other.seconds], axis=1),
            np.concatenate([self.repeats, other.repeats], axis=1),
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
    """

    view: View
    datasets: tuple[str, ...]
    best: FloatArray
    worst: FloatArray
    surrogates: Surrogates
    _tables: dict[tuple[Key, ...], Table] = field(default_factory=dict)
    _at: dict[bytes, Table] = field(default_factory=dict)

    @classmethod
    def of(cls, view: View) -> Past:
        """Return the past of a view; datasets that have failures only are left out."""
        base = cls(view, (), np.empty(0), np.empty(0), _surrogates(view))
        return base._narrowed(view)

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

    @property
    def spread(self) -> FloatArray:
        """`(D,)` best less worst score of each dataset."""
        return self.best - self.worst

    def scores(self, table: Table) -> FloatArray:
        """Return the scores `(D, P)`, larger-is-better, that the regrets stand for."""
        scores: FloatArray = self.best[:, None] - table.regret * self.spread[:, None]
        return scores

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
        regret = _regret(self.view.cell_score, self.best[at], self.worst[at])
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

    def keys_of(self, configs: IntArray) -> list[Key]:
        """Return the keys of configs of the view, by their numbers there."""
        return _keys(self.view, configs)

    def table_at(self, configs: IntArray) -> Table:
        """Return what the past says of configs of the view, by their numbers there."""
        name = configs.tobytes()
        found = self._at.get(name)
        if found is None:
            keys = _keys(self.view, configs)
            order = sorted(range(len(keys)), key=keys.__getitem__)
            found = self._table(tuple(keys[i] for i in order), configs[order])
            if len(self._at) < MAX_KEPT:
                self._at[name] = found
        return found

    def _numbers(self, keys: tuple[Key, ...]) -> IntArray:
        """Return the numbers of configs in the view, -1 where they are not in it."""
        texts = {text for _, text in keys}
        places = [i for i, text in enumerate(self.view.config_texts) if text in texts]
        found = dict(zip(_keys(self.view, np.array(places, dtype=np.int64)), places, strict=True))
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
        at, to = self.rows[view.cell_dataset], column[view.cell_config]
        inside = to >= 0
        score[at[inside], to[inside]] = view.cell_score[inside]
        seconds[at[inside], to[inside]] = view.cell_seconds[inside]
        repeats[at[inside], to[inside]] = view.cell_repeats[inside]
        regret = _regret(score, self.best[:, None], self.worst[:, None])
        regret[failed & np.isnan(score)] = 1.0
        known = ~np.isnan(regret)
        return Table(keys, self._filled(keys, regret, known), known, seconds, repeats)

    def _filled(
        self, keys: tuple[Key, ...], regret: FloatArray, known: NDArray[np.bool_]
    ) -> FloatArray:
        """Predict what is not known from the dataset's own runs."""
        rows = np.flatnonzero(~known.all(axis=1))
        self.surrogates.prepare([self.datasets[row] for row in rows.tolist()])
        for row in rows:
            holes = ~known[row]
            regret[row, holes] = self.surrogates.predict(self.datasets[row], keys)[holes]
        return regret


SHRINK = 5.0
"""How many datasets a config must have run on to weigh as much as a dataset's own runs."""


def spread_over(items: IntArray, most: int) -> IntArray:
    """Return at most `most` of the items, evenly spaced, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(np.int64)
    return items[places] if len(items) else items


def grouped(group: IntArray, value: FloatArray, number: IntArray) -> IntArray:
    """Return the order by group, in it by value, and of equal values by number.

    The cells of a view stand by dataset, and in it by config: then each dataset is sorted alone,
    which takes a fifth of the time.
    """
    if not len(group):
        return np.empty(0, np.int64)
    stays = group[1:] == group[:-1]
    starts = np.concatenate([[0], np.flatnonzero(~stays) + 1])
    split = len(set(group[starts].tolist())) < len(starts)
    if split or not (~stays | (number[1:] > number[:-1])).all():
        return np.lexsort((number, value, group))
    ends = [*starts[1:].tolist(), len(group)]
    runs = sorted(zip(group[starts].tolist(), starts.tolist(), ends, strict=True))
    return np.concatenate([_sorted(value, start, end) for _, start, end in runs])


def _sorted(value: FloatArray, start: int, end: int) -> IntArray:
    mine = value[start:end]
    order = np.argsort(mine)
    if (np.diff(mine[order]) == 0).any():
        order = np.argsort(mine, kind="stable")
    return start + order


def _regret(score: FloatArray, best: FloatArray, worst: FloatArray) -> FloatArray:
    spread = best - worst
    regret: FloatArray = (best - score) / np.where(spread > 0, spread, 1.0)
    return regret


def _keys(view: View, columns: IntArray) -> list[Key]:
    names, texts = view.algorithms, view.config_texts
    which = view.config_algorithms[columns].tolist()
    return [(names[a], str(texts[i])) for a, i in zip(which, columns.tolist(), strict=True)]


def _pool_columns(past: Past) -> IntArray:
    """Return which configs of the view make the pool when nobody names one."""
    view = past.view
    dense = view.n_datasets * view.n_configs <= MAX_DENSE_CELLS and view.density >= MIN_DENSITY
    if view.n_configs <= MAX_POOL or dense:
        return np.arange(view.n_configs)
    most = min(MAX_POOL, MAX_PREDICTED // min(view.n_cells, MAX_ENCODED))
    each = max(1, most // max(1, len(past.datasets)))
    starts, order, _ = past.cells
    place = np.arange(len(order)) - np.repeat(starts[:-1], np.diff(starts))
    return np.unique(view.cell_config[order[place < each]])


def _surrogates(view: View) -> Surrogates:
    """Return surrogates over at most `MAX_ENCODED` runs of the view, spread over the scores."""
    count = max(1, view.n_datasets)
    most = int(np.clip(min(MAX_ENCODED // count, MAX_PREDICTED // count**2), 8, MAX_OWN))
    some = _SomeRuns(view, most)
    return Surrogates(some.own, some.encoder, ard=view.n_datasets <= MAX_ARD_DATASETS)


@dataclass(frozen=True, eq=False)
class _SomeRuns:
    """At most so many runs of each dataset of a view, spread over the scores."""

    view: View
    most: int

    @cached_property
    def ordered(self) -> tuple[IntArray, IntArray]:
        """Cells by dataset, and where each dataset's start."""
        view = self.view
        order = grouped(view.cell_dataset, view.cell_score, view.cell_config)
        return order, np.searchsorted(view.cell_dataset[order], np.arange(view.n_datasets + 1))

    def own(self, dataset: str) -> OwnRuns:
        """Return the runs of one dataset."""
        view = self.view
        chosen = self._cells(view.datasets.index(dataset))
        score = view.cell_score[chosen]
        regrets = _regret(score, score.max(), score.min())
        return OwnRuns(_keys(view, view.cell_config[chosen]), regrets)

    def encoder(self) -> Encoder:
        """Return an encoder of the configs of all datasets."""
        view = self.view
        used = [self._cells(i) for i in range(view.n_datasets)]
        columns = np.unique(view.cell_config[np.concatenate(used)])
        return Encoder.infer(_keys(view, spread_over(columns, MAX_ENCODER)))

    def _cells(self, dataset: int) -> IntArray:
        order, starts = self.ordered
        return spread_over(order[starts[dataset] : starts[dataset + 1]], self.most)
