"""Choosing a recommender by what each would have been worth on the store's own datasets.

Past datasets are left out in turn with their near-duplicates, and every member replays on the
configs that ran there. One dataset tells little, and regrets at one budget are ruled by the few
datasets on which things went wrong; so members are compared on all budgets together first: a
member's loss on a dataset is the mean over budgets of its regret over the mean regret of all
members at that budget. The fullest member, which has the simpler ones' ideas among its own, is
trusted unless a simpler one has the lower mean loss by more than two standard errors of the paired
difference; then the one of the lowest mean loss is. At each budget the trusted member answers,
unless a simpler one has the lower regret there by more than two standard errors; then the lowest
of those does. Of equals, the simplest. So a recommender that the store shows to be worse than a
simpler one is never the one that answers.

Once more scores were observed than members were compared at, those that do not learn from scores
stand back: a list that was good for 25 configs says nothing about the hundredth. The rule among
the others decides. Where there are too few datasets to compare on, the fullest member answers: it
weighs the past by what was observed.

The rule was chosen on sub-tables of half 0 of auto-sklearn's table (8 to 70 datasets). Taking the
lowest regret at each budget, or the simplest within a standard error of it, came out a third
worse: with few datasets both follow chance, away from what is better on most tables. That a
simpler member must be ahead by two standard errors, what comes after the last budget, and who
answers for one or two datasets was chosen on sub-tables of 1 to 40 datasets of the development
tasks of openml_pimp's tables, of half 0, of this project's own runs, and of tables of small
networks and boosted trees that were made for it. Mean regrets over 50 configs, by two standard
errors and by one: 3.7 and 4.5 on 5 SVC tasks, 2.0 and 2.3 on 8 of half 0; on 20 and more alike but
for one table (.64 and .54). With one or two past datasets a portfolio, which answered there before,
has 1.1 to 2.4 times the regret in nine of ten comparisons (.7 in one), and mostly more than random
order. On datasets that had no part in it the same comes out (`benchmarks.recommend.few_datasets`);
on the 18 tables of the demo, which had none either, one standard error was better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from metastore.errors import InvalidInputError
from metastore.view import FloatArray, IntArray
from recommenders.best_on_average import BestOnAverage
from recommenders.empirical_bayes import EmpiricalBayes
from recommenders.nearest import Nearest
from recommenders.own_pools import left_out_rows, own_pool
from recommenders.pool_recommender import PoolRecommender
from recommenders.portfolio import Portfolio
from recommenders.random_search import RandomSearch
from recommenders.recommender import AskedTask
from recommenders.replay import BUDGETS, best_so_far, random_regret, regrets, seen_of
from recommenders.scores import Table
from recommenders.sessions import Case, Seen, Session, Step
from recommenders.table_recommender import TableRecommender

MAX_LEFT_OUT = 12
MANY = 256
"""Datasets from which on fewer are left out, for each then costs more."""

THIN = 6
"""Members that learn from scores are asked for 1 config at a time up to so many, then for more."""

FEWEST_GROUPS = 3
CLEARLY = 2.0
"""Standard errors by which a simpler member must be ahead to answer in place of a fuller one."""

TINY = 1e-12


class Auto(PoolRecommender):
    """Answers by the recommender that does best on the store's own datasets at this step.

    After `fit`, `budgets` are the numbers of configs at which members were compared, `table`
    `(members, budgets)` their mean regrets, `chosen` the member's name for each budget, and `later`
    that of the one that answers after the last of them.
    """

    name: ClassVar[str] = "auto"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        kinds = (RandomSearch, BestOnAverage, Portfolio, Nearest, EmpiricalBayes)
        self.members: tuple[TableRecommender, ...] = tuple(kind(seed=seed) for kind in kinds)
        self.budgets = BUDGETS
        self.table: FloatArray = np.empty((0, 0))
        self.chosen: tuple[str, ...] = ()
        self.later = ""

    def prepare(self) -> None:
        """Compare the members on datasets left out in turn."""
        for member in self.members:
            member.fit_past(self.past)
        many = MANY * MAX_LEFT_OUT // max(1, len(self.past.datasets))
        left_out = left_out_rows(self.past, int(np.clip(many, MAX_LEFT_OUT // 2, MAX_LEFT_OUT)))
        names = [member.name for member in self.members]
        if len(set(self.past.groups[left_out].tolist())) < FEWEST_GROUPS:
            self.table, self.later = np.empty((0, 0)), names[-1]
            self.chosen = (self.later,) * len(self.budgets)
            return
        paths = _compare(self.members, left_out, max(self.budgets))
        regret = paths[:, :, np.array(self.budgets) - 1]
        self.table = regret.mean(axis=1)
        self.chosen = tuple(names[i] for i in choices(regret))
        learn = [i for i, member in enumerate(self.members) if member.adaptive]
        self.later = names[learn[choices(regret[learn])[-1]]]
        self._compared = len(left_out)

    def member(self, observed: int) -> tuple[TableRecommender, str]:
        """Return who answers once `observed` configs ran, and why."""
        place = min(int(np.searchsorted(self.budgets, observed + 1)), len(self.budgets) - 1)
        name, most = self.chosen[place], max(self.budgets)
        chosen = self._named(name)
        if not self.table.size:
            return chosen, f"{name}: too few past datasets to compare recommenders on"
        if observed >= most and not chosen.adaptive:
            why = f"{self.later} learns from scores, as {name} does not; they were compared up to"
            return self._named(self.later), f"{why} {most} configs"
        others = ", ".join(
            f"{member.name} {100 * value:.1f}"
            for member, value in zip(self.members, self.table[:, place], strict=True)
        )
        budget, values = self.budgets[place], self.table[:, place]
        lowest = values.min() >= values[self._number(name)] - TINY
        why = "has the lowest regret" if lowest else "is not shown to be worse than a simpler one"
        if lowest and (values <= values.min() + TINY).sum() > 1:
            why = "has the lowest regret, as others have,"
        where = f"after {budget} on {self._compared} past datasets left out in turn"
        return chosen, f"{name} {why} {where} (x100: {others})"

    def _named(self, name: str) -> TableRecommender:
        return next(member for member in self.members if member.name == name)

    def _number(self, name: str) -> int:
        return [member.name for member in self.members].index(name)

    def session(self, task: AskedTask, table: Table) -> Session:
        """Open a session that asks the member of each step."""
        if not self.chosen:
            raise InvalidInputError("auto: call fit(view) before asking")
        return AutoSession(self, task, table, {})


def choices(regret: FloatArray) -> list[int]:
    """Return which member answers at each budget.

    Args:
        regret: `(members, T, budgets)` regrets on T datasets left out, the simplest member first.
    """
    loss = (regret / np.maximum(regret.mean(axis=(0, 1)), TINY)).mean(axis=2)
    trusted = len(loss) - 1
    if any(_ahead(loss, i, trusted) > CLEARLY for i in range(trusted)):
        trusted = int(np.argmin(loss.mean(axis=1).round(12)))
    trusted = next(i for i in range(trusted + 1) if np.allclose(loss[i], loss[trusted]))
    chosen = []
    for at in range(regret.shape[2]):
        here = regret[:, :, at]
        better = [i for i in range(trusted) if _ahead(here, i, trusted) > CLEARLY]
        means = here.mean(axis=1)
        chosen.append(min(better, key=lambda i: means[i].round(12)) if better else trusted)
    return chosen


def _ahead(values: FloatArray, one: int, other: int) -> float:
    """Return by how many standard errors one row `(T,)` is lower than another on average."""
    apart = values[other] - values[one]
    mean, error = float(apart.mean()), float(apart.std(ddof=1)) / np.sqrt(len(apart))
    return mean / max(error, TINY) if abs(mean) > TINY else 0.0


@dataclass(frozen=True, eq=False)
class AutoSession:
    """Sessions of the members that were needed so far, by name."""

    auto: Auto
    task: AskedTask
    table: Table
    opened: dict[str, Session]

    def step(self, seen: Seen, n: int) -> Step:
        """Ask the member whose turn it is."""
        member, why = self.auto.member(len(seen.columns))
        if member.name not in self.opened:
            self.opened[member.name] = member.session(self.task, self.table)
        step = self.opened[member.name].step(seen, n)
        # That the dataset is unlike all others matters more than who answers.
        notes = (step.note, why) if step.belief.abstained else (why, step.note)
        return replace(step, method=f"auto: {member.name}", note="; ".join(filter(None, notes)))


def _compare(members: tuple[TableRecommender, ...], rows: IntArray, budget: int) -> FloatArray:
    """Return the regret `(members, len(rows), budget)` after each step on each dataset left out."""
    past = members[0].past
    weights = [member.believe_left_out(rows) for member in members]
    paths = np.empty((len(members), len(rows), budget))
    for i, row in enumerate(rows.tolist()):
        table, score = own_pool(past, row)
        for j, member in enumerate(members):
            seen = seen_of([], score)
            case = Case(past.datasets[row], table, past.spread, weights[j][i], seen, past.best)
            paths[j, i] = _path(member, case, score, budget)
    return paths


def _path(member: TableRecommender, case: Case, score: FloatArray, budget: int) -> FloatArray:
    """Return the regret `(budget,)` after each step of a member on a pool of known scores."""
    closed = np.isnan(score)
    regret = regrets(score)
    if isinstance(member, RandomSearch):
        return random_regret(regret[~closed], budget)
    columns: list[int] = []
    steps = min(budget, int((~closed).sum()))
    while len(columns) < steps:
        told = replace(case, seen=seen_of(columns, score, closed))
        # Few late answers change what comes of it: asking each time would double the cost.
        ahead = 1 + len(columns) // THIN if member.adaptive else steps
        ahead = min(ahead, steps - len(columns))
        columns.extend(member.choose(told, ahead).columns.tolist())
    return best_so_far(regret, np.array(columns), budget)
