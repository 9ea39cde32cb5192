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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recommenders.starts.beliefs import Prior, conditioned, learned, log_odds
from recommenders.starts.candidates import Shown
from recommenders.starts.case import Asked, Case
from recommenders.starts.choice import FROM_SCRATCH
from recommenders.starts.cross_validation import FloatArray
from recommenders.starts.fitted import Fitted, fitted_vote
from recommenders.starts.fitting import fit_scratch, fit_start
from recommenders.starts.gathering import gathered
from recommenders.starts.inputs import prepare
from recommenders.starts.loading import load_start
from recommenders.starts.plain_classifiers import PLAIN, fit_plain
from recommenders.starts.recommending import ranking
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import SCRATCH

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
        basis: what the combination knew, in JSON values, for `remembering`.
        n_query: rows that accuracy was counted on; 0 where that is not known.
    """

    task: str
    group: str
    accuracy: Mapping[str, float]
    chosen: Mapping[str, str]
    expected: tuple[float, float, float]
    seconds: float
    basis: Mapping[str, Any] = field(default_factory=dict, repr=False)
    n_query: int = 0

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
    outcomes = []
    for task in tasks:
        outcome = met(store, task, asked or Asked())
        outcomes.append(outcome)
        if say is not None:
            say(outcome)
    return remembering(outcomes, asked)


def remembering(outcomes: Sequence[Outcome], asked: Asked | None = None) -> list[Outcome]:
    """Return outcomes with the choice that knows the tasks of all other groups.

    Args:
        outcomes: of `met`.
        asked: how recommendations were made.
    """
    return [_remembering(one, outcomes, asked or Asked()) for one in outcomes]


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


def met(store: MetaStore, task: Task, asked: Asked) -> Outcome:
    """Return what candidates and ways to choose are worth on one task, no other known."""
    began = time.monotonic()
    case, _ = gathered(store, task.support, asked)
    best = ranking(case.belief, [one.seconds for one in case.shown])[0]
    seconds = time.monotonic() - began
    accuracy = {
        one.label: _worth(one, task, asked)
        for one in case.shown
        if one.choice != FROM_SCRATCH or one.held is not None
    }
    low, high = case.belief.interval()[best]
    expected = (float(case.belief.accuracy[best]), float(low), float(high))
    chosen, known = _chosen(case), int((task.query.labels >= 0).sum())
    return Outcome(task.name, task.group, accuracy, chosen, expected, seconds, _basis(case), known)


def _basis(case: Case) -> dict[str, Any]:
    value, noise = case.said
    return {
        "kind": case.trial.support.kind,
        "labels": [one.label for one in case.shown],
        "seconds": [one.seconds for one in case.shown],
        "mean": case.before.mean.tolist(),
        "covariance": case.before.covariance.tolist(),
        "value": value.tolist(),
        "noise": noise.tolist(),
    }


def _worth(one: Shown, task: Task, asked: Asked) -> float:
    """Return the accuracy of a candidate on the query, fitted to the whole support set."""
    return _fitted(one, task, asked).accuracy(task.query)


def _fitted(one: Shown, task: Task, asked: Asked) -> Fitted:
    if one.parts:
        return fitted_vote(
            [
                _fitted(part, task, asked).at(part.held.temperature if part.held else 1.0)
                for part in one.parts
            ]
        )
    if one.start is not None:
        loaded = load_start(one.start, module=asked.modules.get(one.choice))
        how = one.preparation or prepare(one.start, task.support)
        return fit_start(loaded, how, task.support, one.tuning, seed=asked.seed)
    if one.choice in PLAIN:
        return fit_plain(one.choice, task.support, asked.seed)
    return fit_scratch(task.support, one.tuning or SCRATCH, seed=asked.seed)


def _chosen(case: Case) -> dict[str, str]:
    """Return what each way chooses that needs no other task."""
    names = [one.label for one in case.shown]
    static = np.array([math.nan if one.variant else 0.0 for one in case.shown]) + case.validation
    validation = np.where(np.isfinite(static), static, -np.inf)
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


def _remembering(outcome: Outcome, everything: Sequence[Outcome], asked: Asked) -> Outcome:
    """Return the outcome with the choice that knows the tasks of other groups."""
    basis = outcome.basis
    labels = basis["labels"]
    past = _past(labels, [one for one in everything if one.group != outcome.group])
    before = Prior(np.array(basis["mean"]), np.array(basis["covariance"]))
    after = learned(before, past, asked.settings_for(basis["kind"]))
    belief = conditioned(after, np.array(basis["value"]), np.array(basis["noise"]), asked.seed)
    first = ranking(belief, basis["seconds"])[0]
    chosen = {**outcome.chosen, "combined, with past tasks": labels[first]}
    return replace(outcome, chosen=chosen)


def _past(labels: Sequence[str], outcomes: Sequence[Outcome]) -> FloatArray:
    past = np.full((len(outcomes), len(labels)), np.nan)
    for t, one in enumerate(outcomes):
        for j, label in enumerate(labels):
            if label in one.accuracy:
                past[t, j] = log_odds(one.accuracy[label], 100)
    return past
