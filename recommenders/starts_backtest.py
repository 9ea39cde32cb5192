"""What the choice of a start is worth on tasks with known answers.

Every candidate is fine-tuned on each task's support set and scored on its query, and each way to
choose is charged with what it chose. Compared are a static ranking by validation accuracy,
held-out rows alone, LogME alone, the combination, the combination with what the other groups'
tasks taught, and hindsight.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recommenders.cross_validation import FloatArray
from recommenders.plain_classifiers import PLAIN, fit_plain
from recommenders.start_beliefs import log_odds
from recommenders.start_candidates import DEAR, Shown
from recommenders.start_fitting import fit_scratch, fit_start
from recommenders.start_inputs import prepare
from recommenders.start_loading import load_start
from recommenders.starts import Asked, Case, gathered, ranking
from recommenders.support_set import SupportSet

if TYPE_CHECKING:
    from metastore.store import MetaStore

HINDSIGHT = "hindsight"
WAYS = ("static", "held-out rows", "log-loss", "logme", "combined", "combined, with past tasks")


@dataclass(frozen=True, eq=False)
class Task:
    """A task with known answers.

    Args:
        name: what to call it.
        group: tasks of one group teach nothing of each other.
        support: what is learned from.
        query: what is predicted, labelled.
    """

    name: str
    group: str
    support: SupportSet
    query: SupportSet


@dataclass(frozen=True, eq=False)
class Outcome:
    """What candidates and choices were worth on one task.

    Args:
        task: its name.
        group: its group.
        accuracy: on the query, by candidate.
        chosen: the candidate that each way chose.
        expected: what the combination expected of its choice, with its 80% interval.
        seconds: of the recommendation.
    """

    task: str
    group: str
    accuracy: Mapping[str, float]
    chosen: Mapping[str, str]
    expected: tuple[float, float, float]
    seconds: float

    def of(self, way: str) -> float:
        """Return the accuracy that a way of choosing, or a candidate always taken, gives."""
        if way == HINDSIGHT:
            return max(self.accuracy.values())
        return self.accuracy.get(self.chosen.get(way, way), math.nan)


def backtest(
    store: MetaStore,
    tasks: Iterable[Task],
    asked: Asked | None = None,
    say: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Return what every way of choosing was worth on each task.

    Args:
        store: its starts are the candidates, beside those that need none.
        tasks: with known answers.
        asked: how recommendations are made.
        say: called with each outcome, before past tasks are taken into account.
    """
    asked = asked or Asked()
    met: list[tuple[Case, Outcome]] = []
    for task in tasks:
        case, outcome = _met(store, task, asked)
        met.append((case, outcome))
        if say is not None:
            say(outcome)
    return [_remembering(case, outcome, [o for _, o in met]) for case, outcome in met]


def summary(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the mean accuracy of every way and candidate as rows, hindsight first.

    Each is on the tasks where it could be taken; `behind` is the mean distance to hindsight on
    those, with its standard error.
    """
    names = [HINDSIGHT, *WAYS]
    names += sorted({name for one in outcomes for name in one.accuracy})
    rows = []
    for name in names:
        pairs = np.array([(one.of(name), one.of(HINDSIGHT)) for one in outcomes])
        pairs = pairs[np.isfinite(pairs[:, 0])]
        if not len(pairs):
            continue
        behind = pairs[:, 1] - pairs[:, 0]
        error = behind.std(ddof=1) / math.sqrt(len(pairs)) if len(pairs) > 1 else math.nan
        rows.append(
            {
                "choice": name,
                "accuracy": round(float(pairs[:, 0].mean()), 4),
                "behind": round(float(behind.mean()), 4),
                "standard_error": round(float(error), 4),
                "tasks": len(pairs),
            }
        )
    return rows


def _met(store: MetaStore, task: Task, asked: Asked) -> tuple[Case, Outcome]:
    began = time.monotonic()
    case, _ = gathered(store, task.support, asked)
    best = ranking(case.belief, [one.seconds for one in case.shown])[0]
    seconds = time.monotonic() - began
    accuracy = {}
    for one in case.shown:
        if one.choice not in DEAR or one.held is not None:
            accuracy[one.choice] = _worth(one, task, asked)
    low, high = case.belief.interval()[best]
    expected = (float(case.belief.accuracy[best]), float(low), float(high))
    return case, Outcome(task.name, task.group, accuracy, _chosen(case), expected, seconds)


def _worth(one: Shown, task: Task, asked: Asked) -> float:
    """Return the accuracy of a candidate on the query, fitted to the whole support set."""
    if one.start is not None:
        loaded = load_start(one.start, module=asked.modules.get(one.choice))
        how = one.preparation or prepare(one.start, task.support)
        fitted = fit_start(loaded, how, task.support, one.tuning, seed=asked.seed)
    elif one.choice in PLAIN:
        fitted = fit_plain(one.choice, task.support, asked.seed)
    else:
        fitted = fit_scratch(task.support, seed=asked.seed)
    return fitted.accuracy(task.query)


def _chosen(case: Case) -> dict[str, str]:
    """Return what each way chooses that needs no other task."""
    names = [one.choice for one in case.shown]
    validation = np.where(np.isfinite(case.validation), case.validation, -np.inf)
    chosen = {"static": int(np.argmax(validation))}
    if any(one.held is not None for one in case.shown):
        chosen["held-out rows"] = _first(case, lambda one: one.held.accuracy if one.held else None)
        chosen["log-loss"] = _first(case, lambda one: -one.held.log_loss if one.held else None)
    chosen["logme"] = _first(case, lambda one: one.scores.get("logme"))
    chosen["combined"] = ranking(case.belief, [one.seconds for one in case.shown])[0]
    return {way: names[j] for way, j in chosen.items()}


def _first(case: Case, score: Callable[[Shown], float | None]) -> int:
    """Return the first candidate with the highest score; those without one come last."""
    values = [score(one) for one in case.shown]
    return int(np.argmax([-math.inf if value is None else value for value in values]))


def _remembering(case: Case, outcome: Outcome, everything: Sequence[Outcome]) -> Outcome:
    """Return the outcome with the choice that knows the tasks of other groups."""
    past = _past(case, [one for one in everything if one.group != outcome.group])
    knowing = replace(case, past=past)
    order = ranking(knowing.belief, [one.seconds for one in case.shown])
    chosen = {**outcome.chosen, "combined, with past tasks": case.shown[order[0]].choice}
    return replace(outcome, chosen=chosen)


def _past(case: Case, outcomes: Sequence[Outcome]) -> FloatArray:
    past = np.full((len(outcomes), len(case.shown)), np.nan)
    for t, one in enumerate(outcomes):
        for j, shown in enumerate(case.shown):
            if shown.choice in one.accuracy:
                past[t, j] = log_odds(one.accuracy[shown.choice], 100)
    return past
