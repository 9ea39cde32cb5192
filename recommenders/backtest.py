"""Backtest: what the recommenders would have been worth on the store's own datasets.

Every dataset is left out in turn, with its near-duplicates; each recommender is fitted on the
rest and recommends one config at a time out of those that ran there, told the score of each.
Regrets are those of `recommenders.replay`, standard errors are of the mean over datasets with
near-duplicates counted as one draw (cluster-robust).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    progress: Callable[[int, int], None] | None = None,
) -> BacktestResult:
    """Leave one near-duplicate group out, recommend for each of its datasets, and compare.

    Args:
        view: past runs; datasets with fewer than two configs are trained on only.
        names: recommenders, as `recommenders.make` knows them.
        budget: how many configs are tried on each dataset.
        seed: fixes whatever is left to chance.
        repeats: how many seeds are averaged for the random recommender.
        progress: called with the number of datasets done and in all.

    Raises:
        InvalidInputError: if fewer than two groups could be left out, or the budget is not
            positive.
        UnknownNameError: if a recommender is not known.
    """
    if budget < 1:
        raise InvalidInputError(f"budget: expected a positive number of configs, got {budget}")
    with one_thread():
        bench = _Bench(Past.of(view), tuple(dict.fromkeys(names)), budget, seed, max(1, repeats))
        return bench.run(progress)


@dataclass(eq=False)
class _Bench:
    """The state of one backtest."""

    past: Past
    names: tuple[str, ...]
    budget: int
    seed: int
    repeats: int

    def run(self, progress: Callable[[int, int], None] | None) -> BacktestResult:
        names, groups = self._left_out()
        paths: dict[str, list[FloatArray]] = {name: [] for name in self.names}
        self.held = dict.fromkeys(self.names, np.zeros(2, dtype=np.int64))
        self.spent = dict.fromkeys(self.names, 0.0)
        random, single = [], []
        for group in dict.fromkeys(groups):
            members = [n for n, g in zip(names, groups, strict=True) if g == group]
            fold = self.past.without(members)
            first = make("best_on_average").fit_past(fold)
            answers = [Answers.of(self.past.view, name) for name in members]
            for name, one in zip(members, answers, strict=True):
                session = first.session(resolve(name, fold.view), fold.table(one.keys))
                single.append(one.regret[replay(session, one, 1).columns[0]])
                random.append(random_regret(one.regret, self.budget))
            for name in self.names:
                paths[name] += self._replayed(name, fold, members, answers)
            if progress:
                progress(len(random), len(names))
        order = [
            n for g in dict.fromkeys(groups) for n, h in zip(names, groups, strict=True) if h == g
        ]
        return BacktestResult(
            self.past.view.metric,
            self.budget,
            tuple(order),
            np.array(sorted(groups, key=list(dict.fromkeys(groups)).index)),
            np.array(random),
            np.array(single),
            tuple(
                Measured(
                    name,
                    np.array(paths[name]),
                    int(self.held[name][0]),
                    int(self.held[name][1]),
                    self.spent[name],
                )
                for name in self.names
            ),
        )

    def _left_out(self) -> tuple[list[str], list[int]]:
        """Return the datasets that have a choice to offer, and their groups."""
        wide = np.flatnonzero(np.diff(self.past.cells[0]) > 1)
        groups = self.past.groups[wide].tolist()
        if len(set(self.past.groups.tolist())) < 2 or not groups:
            raise InvalidInputError(
                f"backtest: expected runs of at least two configs on at least two datasets that "
                f"are not near-duplicates, got {len(set(groups))}; record more runs first"
            )
        return [self.past.datasets[i] for i in wide], groups

    def _replayed(
        self, name: str, fold: Past, members: list[str], answers: list[Answers]
    ) -> list[FloatArray]:
        """Return the regrets of one recommender on the datasets of one group."""
        start = time.perf_counter()
        seeds = range(self.seed, self.seed + (self.repeats if name == "random" else 1))
        paths = np.zeros((len(members), self.budget))
        for seed in seeds:
            recommender = make(name, seed=seed).fit_past(fold)
            for i, (dataset, one) in enumerate(zip(members, answers, strict=True)):
                task = resolve(dataset, fold.view)
                trace = replay(recommender.session(task, fold.table(one.keys)), one, self.budget)
                paths[i] += best_so_far(one.regret, trace.columns, self.budget) / len(seeds)
                held = np.array([trace.held.sum(), len(trace.held)])
                self.held[name] = self.held[name] + held
        self.spent[name] += time.perf_counter() - start
        return list(paths)
