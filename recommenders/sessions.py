"""One asked task over one pool: what was seen, what to run next, what to expect of it.

A session holds what a recommender believes about a task before anything is observed, and
answers any number of times. It never changes: `recommend` opens one and asks it once, a backtest
opens one and asks it step by step, and both get the same answers.

Notation: D datasets, P configs of the pool, k observed configs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray
from recommenders import feasibility
from recommenders.encoding import Encoder
from recommenders.forecast import Calibration, Forecast, forecast
from recommenders.heavy_tails import telling, unbounded
from recommenders.recommender import AskedTask, Evidence, Neighbour
from recommenders.scores import Past, Table

SHOWN = 7


@dataclass(frozen=True, eq=False)
class Belief:
    """What each past dataset counts for a task before anything is observed.

    Args:
        weights: `(D,)`, adding up to 1.
        distance: `(D,)` distance in meta-features, NaN where unknown.
        abstained: whether nothing tells this task from any other.
        note: why, or what else a person should know.
    """

    weights: FloatArray
    distance: FloatArray
    abstained: bool = False
    note: str = ""

    @classmethod
    def equal(cls, count: int, abstained: bool = False, note: str = "") -> Belief:
        """Return the belief that any past dataset is as good a guide as another."""
        return cls(np.full(count, 1 / max(1, count)), np.full(count, np.nan), abstained, note)


@dataclass(frozen=True, eq=False)
class Seen:
    """What was observed: `columns` `(k,)` of the pool and their larger-is-better `scores`.

    `taken` `(P,)` says which configs may not be recommended: those observed, also the ones that
    gave no score, and those outside of the candidates. `failed` `(f,)` are the configs that ran,
    failed, and never gave a score.
    """

    columns: IntArray
    scores: FloatArray
    taken: NDArray[np.bool_]
    failed: IntArray = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, eq=False)
class Case:
    """All that a strategy may look at: past regrets, what they weigh, and what was seen.

    Datasets of weight 0 must not change what a strategy does: that is how they are left out.

    Args:
        task: name of the task asked about.
        table: `(D, P)` past regrets.
        spread: `(D,)` best less worst score of each dataset.
        weights: `(D,)` what each dataset counts before anything is observed.
        seen: what was observed.
        best: `(D,)` best score of each dataset; None where levels must not matter.
        chance: `(P,)` what gains are multiplied by, the less the likelier a config is to fail;
            None where nothing failed here.
    """

    task: str
    table: Table
    spread: FloatArray
    weights: FloatArray
    seen: Seen
    best: FloatArray | None = None
    chance: FloatArray | None = None

    @property
    def open(self) -> FloatArray:
        """What the gain of each config `(P,)` is multiplied by, 0 for those that are taken."""
        likely = np.ones(len(self.seen.taken)) if self.chance is None else self.chance
        return np.where(self.seen.taken, 0.0, likely)

    def hoped(self, gain: FloatArray, columns: IntArray) -> FloatArray:
        """Return the gains `(n,)`, 0 or more, of `columns` `(n,)` times their chances to run."""
        return gain if self.chance is None else gain * self.chance[columns]


@dataclass(frozen=True, eq=False)
class Choice:
    """Configs to run next, `columns` of the pool, and the weights `(D,)` that chose them."""

    columns: IntArray
    weights: FloatArray


Strategy = Callable[[Case, int], Choice]
"""Chooses at most n configs of a case, the most urgent first."""


@dataclass(frozen=True, eq=False)
class Step:
    """An answer: configs, what to expect of them, and by whom.

    Args:
        choice: the configs.
        score: `(n,)` expected scores, larger-is-better, NaN where nothing is known.
        low: `(n,)` lower ends of the 80% intervals.
        high: `(n,)` upper ends.
        belief: what the past datasets counted before anything was observed.
        method: name of the recommender that chose.
        note: what a person should know.
        risk: `(n,)` how likely each is to fail, 0 where nothing failed here.
    """

    choice: Choice
    score: FloatArray
    low: FloatArray
    high: FloatArray
    belief: Belief
    method: str
    note: str
    risk: FloatArray


class Session(Protocol):
    """One asked task over one pool."""

    def step(self, seen: Seen, n: int) -> Step:
        """Return at most `n` configs to run next."""
        ...


@dataclass(frozen=True, eq=False)
class TableSession:
    """A session of one strategy over a table of past scores.

    `heeds_failures` is whether what is hopeless comes last, by what failed here.
    """

    method: str
    task: AskedTask
    past: Past
    table: Table
    belief: Belief
    strategy: Strategy
    calibration: Callable[[], Calibration]
    heeds_failures: bool = True
    _scores: list[FloatArray] = field(default_factory=list)
    _points: list[FloatArray] = field(default_factory=list)

    def step(self, seen: Seen, n: int) -> Step:
        """Return at most `n` configs to run next; none when there is no past."""
        past, weights = self.past, self.belief.weights
        best: FloatArray | None = past.best
        tailed = past.tailed or unbounded(seen.scores, past.view.higher_is_better)
        if tailed and len(seen.scores):
            told, level = telling(seen.scores, past.best, past.spread)
            # A lone one may be in units of its own; beside others it is known to have diverged.
            failed = np.union1d(seen.failed, seen.columns[~told]) if told.any() else seen.failed
            seen = Seen(seen.columns[told], seen.scores[told], seen.taken, failed)
            best = best if level else None
        chance = self._chance(seen)
        likely = None if chance is None else chance**feasibility.CAUTION
        case = Case(self.task.name, self.table, past.spread, weights, seen, best, likely)
        heeded = chance if self.heeds_failures else None
        choice = self.strategy(case, n) if heeded is None else self._hopeful(case, heeded, n)
        expected, observed = self._expected(choice, seen), len(seen.columns)
        low, high = self.calibration().interval(expected, observed)
        belief, columns = self.belief, choice.columns
        risk = np.zeros(len(columns)) if chance is None else 1 - chance[columns]
        return Step(choice, expected.score, low, high, belief, self.method, belief.note, risk)

    def _hopeful(self, case: Case, chance: FloatArray, n: int) -> Choice:
        """Choose among what is not hopeless, and only then among the rest."""
        seen = case.seen
        last = feasibility.hopeless(chance, seen.taken)
        choice = self.strategy(replace(case, seen=replace(seen, taken=seen.taken | last)), n)
        missing = n - len(choice.columns)
        if not missing or not last.any():
            return choice
        rest = self.strategy(replace(case, seen=replace(seen, taken=seen.taken | ~last)), missing)
        return Choice(np.concatenate([choice.columns, rest.columns]), choice.weights)

    def _chance(self, seen: Seen) -> FloatArray | None:
        """Return how likely each config `(P,)` is not to fail; None where nothing failed."""
        if not len(seen.failed):
            return None
        if not self._points:
            # What failed may be of a category that no past dataset has.
            points = Encoder.infer(self.table.keys).encode(self.table.keys)
            slower = slowness(self.table, self.belief.weights)
            self._points.append(np.column_stack([points, slower]))
        return feasibility.chances(self._points[0], seen.columns, seen.failed)

    def _expected(self, choice: Choice, seen: Seen) -> Forecast:
        if not len(choice.weights):
            nothing = np.full(len(choice.columns), np.nan)
            return Forecast(nothing, nothing)
        if not self._scores:
            self._scores.append(self.past.scores(self.table))
        scores = self._scores[0]
        before = scores[:, seen.columns]
        asked, bounds, widths = scores[:, choice.columns], self.past.score_bounds, self.past.spread
        return forecast(asked, choice.weights, before, seen.scores, bounds, widths=widths)


def slowness(table: Table, weights: FloatArray) -> FloatArray:
    """Return how much slower than others each config `(P,)` was on past datasets.

    The weighted mean, over the datasets that know, of the logarithm of its duration less the mean
    of those there; 0 where none knows.
    """
    known = np.isfinite(table.seconds) & (table.seconds > 0) & (weights > 0)[:, None]
    logs = np.log(np.where(known, table.seconds, 1.0))
    level = logs.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    share = known * weights[:, None]
    slower: FloatArray = (share * (logs - level[:, None])).sum(axis=0)
    slower /= np.maximum(share.sum(axis=0), np.finfo(float).tiny)
    return slower


def evidence(past: Past, table: Table, step: Step, place: int) -> Evidence:
    """Return which past datasets speak for one config of an answer, the heaviest first."""
    column = int(step.choice.columns[place])
    weights = step.choice.weights
    heavy = np.argsort(-weights, kind="stable")[:SHOWN]
    return Evidence(
        method=step.method,
        neighbours=tuple(_neighbour(past, table, step, int(d), column) for d in heavy),
        n_datasets=len(past.datasets),
        n_runs=int(past.view.cell_repeats.sum()) + len(past.view.failed_config),
        abstained=step.belief.abstained,
        note=step.note,
        risk=float(step.risk[place]),
        new=not table.known[:, column].any(),
    )


def _neighbour(past: Past, table: Table, step: Step, row: int, column: int) -> Neighbour:
    cells, regrets = past.own(row)
    known = bool(table.known[row, column])
    runs = int(table.repeats[row, column])
    regret = float(table.regret[row, column])
    ran = known and runs > 0
    return Neighbour(
        dataset=past.datasets[row],
        distance=float(step.belief.distance[row]),
        weight=float(step.choice.weights[row]),
        runs=max(runs, 1) if known else len(cells),
        value=past.value(row, table.keys[column], regret) if ran else float("nan"),
        rank=int(np.searchsorted(regrets, regret - 1e-12)) + 1 if ran else 0,
        configs=len(cells),
    )
