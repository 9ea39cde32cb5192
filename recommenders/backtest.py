"""Backtest: what the recommenders would have been worth on the store's own datasets.

Every dataset is left out in turn, with its near-duplicates; each recommender is fitted on the
rest and recommends one config at a time out of those that ran there, told the score of each.
Regrets are those of `recommenders.replay`, standard errors are of the mean over datasets with
near-duplicates counted as one draw (cluster-robust).

Groups are left out in several processes where that pays; the numbers are the same.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from metastore.errors import InvalidInputError
from metastore.view import FloatArray, IntArray, View
from recommenders.registry import make
from recommenders.replay import BUDGETS, Answers, best_so_far, random_regret, replay
from recommenders.scores import Past
from recommenders.tasks import resolve
from recommenders.threads import one_thread

REPEATS = 5

PAYS_SECONDS = 10.0
"""What is left to do must take so long for other processes to be worth starting."""

PORTIONS = 8
"""What each process gets its share of groups in: fewer say less often how far they are."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One recommender's results.

    Args:
        name: the recommender.
        regret: `(T, budget)` regret after each step on each of T datasets.
        held: how many intervals held.
        intervals: how many intervals were given.
        seconds: time spent fitting and recommending.
    """

    name: str
    regret: FloatArray
    held: int
    intervals: int
    seconds: float

    @property
    def coverage(self) -> float:
        """Share of the 80% intervals that held; NaN without any."""
        return self.held / self.intervals if self.intervals else float("nan")


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """Results of all recommenders on the same datasets.

    Args:
        metric: the metric.
        budget: configs tried on each dataset.
        datasets: T names of the datasets left out.
        groups: `(T,)` near-duplicate group of each.
        random: `(T, budget)` expected regret of random order.
        single: `(T,)` regret of the best single config of the other datasets.
        measured: one entry a recommender, in the order asked.
    """

    metric: str
    budget: int
    datasets: tuple[str, ...]
    groups: IntArray
    random: FloatArray
    single: FloatArray
    measured: tuple[Measured, ...]

    @property
    def budgets(self) -> tuple[int, ...]:
        """Numbers of configs after which regret is reported."""
        return tuple(sorted({*(k for k in BUDGETS if k <= self.budget), self.budget}))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a recommender: numbers only, regrets x100, for a table."""
        return [self._row(one) for one in self.measured]

    def _row(self, one: Measured) -> dict[str, Any]:
        row: dict[str, Any] = {"recommender": one.name}
        for k in self.budgets:
            row[f"regret@{k}"], row[f"se@{k}"] = self._mean(one.regret[:, k - 1])
        last = one.regret[:, -1]
        row["gain_over_random"], row["gain_over_random_se"] = self._mean(self.random[:, -1] - last)
        row["gain_over_single"], row["gain_over_single_se"] = self._mean(self.single - last)
        row["harmed"] = float((last > self.random[:, -1] + 1e-12).mean())
        row["coverage"] = one.coverage
        row["seconds"] = one.seconds
        return row

    def _mean(self, values: FloatArray) -> tuple[float, float]:
        """Return mean and cluster-robust standard error, x100."""
        mean = float(values.mean())
        sums = np.bincount(self.groups, values - mean)
        clusters = int((np.bincount(self.groups) > 0).sum())
        if clusters < 2:
            return 100 * mean, float("nan")
        error = np.sqrt(clusters / (clusters - 1) * (sums**2).sum()) / len(values)
        return 100 * mean, 100 * float(error)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python, for JSON; NaN becomes None."""
        rows = [
            {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}
            for row in self.rows()
        ]
        return {
            "metric": self.metric,
            "budget": self.budget,
            "unit": "mean normalised regret x100",
            "datasets": len(self.datasets),
            "groups": len(set(self.groups.tolist())),
            "random": {str(k): 100 * float(self.random[:, k - 1].mean()) for k in self.budgets},
            "single": 100 * float(self.single.mean()),
            "recommenders": rows,
        }


def backtest(  # noqa: PLR0913 - every option has a default and a name
    view: View,
    names: Sequence[str],
    *,
    budget: int = 25,
    seed: int = 0,
    repeats: int = REPEATS,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BacktestResult:
    """Leave one near-duplicate group out, recommend for each of its datasets, and compare.

    Args:
        view: past runs; datasets with fewer than two configs are trained on only.
        names: recommenders, as `recommenders.make` knows them.
        budget: how many configs are tried on each dataset.
        seed: fixes whatever is left to chance.
        repeats: how many seeds are averaged for the random recommender.
        jobs: how many processes share the work; None for one a processor where that pays. It
            does not change the result.
        progress: called with the number of datasets done and in all.

    Raises:
        InvalidInputError: if fewer than two groups could be left out, or the budget or the number
            of processes is not positive.
        UnknownNameError: if a recommender is not known.
    """
    if budget < 1:
        raise InvalidInputError(f"budget: expected a positive number of configs, got {budget}")
    if jobs is not None and jobs < 1:
        raise InvalidInputError(f"jobs: expected a positive number of processes, got {jobs}")
    bench = _Bench(Past.of(view), tuple(dict.fromkeys(names)), budget, seed, max(1, repeats))
    return bench.run(jobs, progress)


@dataclass(eq=False)
class _Fold:
    """What came of one group: for each of its datasets in order, by recommender's name."""

    datasets: list[str]
    random: list[FloatArray] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    paths: dict[str, FloatArray] = field(default_factory=dict)
    held: dict[str, IntArray] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Bench:
    """One backtest."""

    past: Past
    names: tuple[str, ...]
    budget: int
    seed: int
    repeats: int

    def run(self, jobs: int | None, progress: Callable[[int, int], None] | None) -> BacktestResult:
        groups = self._left_out()
        count = sum(map(len, groups))
        folds: list[_Fold] = []
        done = 0
        for fold in self._folds(groups, jobs):
            folds.append(fold)
            done += len(fold.datasets)
            if progress:
                progress(done, count)
        return BacktestResult(
            self.past.view.metric,
            self.budget,
            tuple(name for fold in folds for name in fold.datasets),
            np.repeat(np.arange(len(folds)), [len(fold.datasets) for fold in folds]),
            np.array([path for fold in folds for path in fold.random]),
            np.array([regret for fold in folds for regret in fold.single]),
            tuple(_measured(name, folds) for name in self.names),
        )

    def _left_out(self) -> list[list[str]]:
        """Return the datasets that have a choice to offer, near-duplicates together."""
        wide = np.flatnonzero(np.diff(self.past.cells[0]) > 1)
        groups: dict[int, list[str]] = {}
        for row in wide.tolist():
            groups.setdefault(int(self.past.groups[row]), []).append(self.past.datasets[row])
        if len(set(self.past.groups.tolist())) < 2 or not groups:
            raise InvalidInputError(
                f"backtest: expected runs of at least two configs on at least two datasets that "
                f"are not near-duplicates, got {len(groups)}; record more runs first"
            )
        return list(groups.values())

    def _folds(self, groups: list[list[str]], jobs: int | None) -> Iterator[_Fold]:
        """Yield what came of each group, in order."""
        at, started = 0, time.perf_counter()
        while jobs is None and at < len(groups):
            yield from self.folds(groups[at : at + 1])
            at += 1
            # How long the others would take is known from those that are done.
            if (time.perf_counter() - started) / at * (len(groups) - at) > PAYS_SECONDS:
                from joblib import cpu_count  # noqa: PLC0415 - slow to import, seldom needed

                jobs = cpu_count()
        if at < len(groups):
            yield from self._shared(groups[at:], jobs or 1)

    def _shared(self, groups: list[list[str]], jobs: int) -> Iterator[_Fold]:
        """Yield what came of each group, in order, from several processes."""
        from joblib import Parallel, delayed  # noqa: PLC0415 - slow to import, seldom needed

        size = max(1, len(groups) // (jobs * PORTIONS))
        portions = [groups[i : i + size] for i in range(0, len(groups), size)]
        share = Parallel(n_jobs=jobs, return_as="generator")
        asked = (delayed(_elsewhere)(self, portion, os.getpid()) for portion in portions)
        for folds in share(asked):
            yield from folds

    def folds(self, groups: Sequence[Sequence[str]]) -> list[_Fold]:
        """Return what came of some groups."""
        with one_thread():
            return [self._fold(list(members)) for members in groups]

    def _fold(self, members: list[str]) -> _Fold:
        """Leave a group out and ask every recommender about its datasets."""
        past = self.past.without(members)
        first = make("best_on_average").fit_past(past)
        answers = [Answers.of(self.past.view, name) for name in members]
        found = _Fold(members)
        for name, one in zip(members, answers, strict=True):
            session = first.session(resolve(name, past.view), past.table(one.keys))
            found.single.append(one.regret[replay(session, one, 1).columns[0]])
            found.random.append(random_regret(one.regret, self.budget))
        for name in self.names:
            self._replay(name, past, answers, found)
        return found

    def _replay(self, name: str, past: Past, answers: list[Answers], found: _Fold) -> None:
        """Add what came of one recommender on the datasets of one group."""
        start = time.perf_counter()
        seeds = range(self.seed, self.seed + (self.repeats if name == "random" else 1))
        paths = np.zeros((len(answers), self.budget))
        held = np.zeros(2, dtype=np.int64)
        for seed in seeds:
            recommender = make(name, seed=seed).fit_past(past)
            for i, (dataset, one) in enumerate(zip(found.datasets, answers, strict=True)):
                task = resolve(dataset, past.view)
                trace = replay(recommender.session(task, past.table(one.keys)), one, self.budget)
                paths[i] += best_so_far(one.regret, trace.columns, self.budget) / len(seeds)
                held += np.array([trace.held.sum(), len(trace.held)])
        found.paths[name], found.held[name] = paths, held
        found.spent[name] = time.perf_counter() - start


def _elsewhere(bench: _Bench, groups: list[list[str]], parent: int) -> list[_Fold]:
    """Return what came of some groups, in another process."""
    _end_with(parent)
    return bench.folds(groups)


@cache
def _end_with(parent: int) -> None:
    """See to it that this process ends when its parent does, which a killed one cannot ask for."""
    if os.getpid() != parent:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _measured(name: str, folds: list[_Fold]) -> Measured:
    held, intervals = np.sum([fold.held[name] for fold in folds], axis=0).tolist()
    regret = np.concatenate([fold.paths[name] for fold in folds])
    return Measured(name, regret, held, intervals, sum(fold.spent[name] for fold in folds))
