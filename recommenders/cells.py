"""The cells of a view: their order, configs and regrets, and what predicts the missing ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metastore.view import FloatArray, IntArray, View
from recommenders.encoding import Encoder, Key
from recommenders.surrogates import OwnRuns, Surrogates

MAX_ENCODED = 60_000
MAX_ENCODER = 10_000
MAX_PREDICTED = 30_000_000
LEAST_OWN, MOST_OWN = 500, 1_500
MAX_SOLVED = 3e10
"""Cubes of runs of a dataset, added up over datasets: what it takes to fit a process to each."""

MAX_ARD_DATASETS = 128


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


def regret_of(score: FloatArray, best: FloatArray, worst: FloatArray) -> FloatArray:
    """Return regrets from scores, the best and the worst; 0 where those two are equal."""
    spread = best - worst
    regret: FloatArray = (best - score) / np.where(spread > 0, spread, 1.0)
    return regret


def keys_of(view: View, columns: IntArray) -> list[Key]:
    """Return the keys of configs of a view, by their numbers."""
    names, texts = view.algorithms, view.config_texts
    which = view.config_algorithms[columns].tolist()
    return [(names[a], str(texts[i])) for a, i in zip(which, columns.tolist(), strict=True)]


def surrogates_of(view: View) -> Surrogates:
    """Return surrogates over at most `MAX_ENCODED` runs of the view, spread over the scores.

    Each dataset has the more of them the fewer datasets there are: of boosted trees on twelve
    datasets, 2,000 configs each, 1,500 runs left .76 to .89 of the mean regret that 500 leave in
    three of four comparisons, and 1.08 times as much in one.
    """
    count = max(1, view.n_datasets)
    most = int(np.clip(np.cbrt(MAX_SOLVED / count), LEAST_OWN, MOST_OWN))
    most = max(8, min(most, MAX_ENCODED // count, MAX_PREDICTED // count**2))
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
        regrets = regret_of(score, score.max(), score.min())
        return OwnRuns(keys_of(view, view.cell_config[chosen]), regrets)

    def encoder(self) -> Encoder:
        """Return an encoder of the configs of all datasets."""
        view = self.view
        used = [self._cells(i) for i in range(view.n_datasets)]
        columns = np.unique(view.cell_config[np.concatenate(used)])
        return Encoder.infer(keys_of(view, spread_over(columns, MAX_ENCODER)))

    def _cells(self, dataset: int) -> IntArray:
        order, starts = self.ordered
        return spread_over(order[starts[dataset] : starts[dataset + 1]], self.most)
