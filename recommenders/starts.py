"""Which start to fine-tune for a support set, or none: ranked, with what speaks for each.

Candidates are every start of the registry that takes the set, training from scratch, and plain
classifiers on raw features. What each shows (`recommenders.start_candidates`) and what the store
remembers of earlier fine-tunings meet in one Gaussian (`recommenders.start_beliefs`); a candidate
that is cheaper and not worse by anything that could be told from noise goes first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from metastore.errors import InvalidInputError, MissingDependencyError
from recommenders.cross_validation import FloatArray, IntArray, plan
from recommenders.start_advice import StartAdvice, StartEvidence, StartsAnswer
from recommenders.start_beliefs import (
    Belief,
    Settings,
    conditioned,
    learned,
    observed,
    prior,
    validated,
)
from recommenders.start_record import past_tasks
from recommenders.start_words import reason, set_notes
from recommenders.support_sets import SupportSet, read_support

try:
    from recommenders.start_candidates import (
        DEAR,
        Shown,
        Trial,
        not_tried,
        show_dear,
        show_plain,
        show_start,
    )
except ImportError as error:
    raise MissingDependencyError(
        f"recommending starts needs torch, and {error.name} is not there: pip install "
        "'headstart[learners]'"
    ) from error

if TYPE_CHECKING:
    from torch import nn

    from metastore.starts import Start
    from metastore.store import MetaStore

__all__ = ["Asked", "StartAdvice", "StartEvidence", "StartsAnswer", "answer", "recommend"]

REPEATS = 4
MOST_ROWS = 300
"""Of a larger set so many rows, from all classes, are held out in turn."""

WITHIN = 0.005
"""A cheaper candidate goes first if it is expected to lose less accuracy than this."""
WORTH_TRYING = 0.05
"""What takes longest is tried where it is the best with no less probability than this."""
TOLD = 0.8
"""Who is better with less probability than this is not told apart."""


@dataclass(frozen=True)
class Asked:
    """How a recommendation is made.

    Args:
        n: how many to return.
        modules: the user's own torch modules by the name of their start.
        seed: of folds and draws.
        seconds: after which nothing more is held out; None for no limit.
        without_starts: whether plain classifiers and training from scratch are candidates.
        settings: how far what is believed beforehand is believed.
    """

    n: int = 3
    modules: Mapping[str, nn.Module] = field(default_factory=dict, hash=False)
    seed: int = 0
    seconds: float | None = None
    without_starts: bool = True
    settings: Settings = field(default_factory=Settings)


def recommend(  # noqa: PLR0913 - what is asked, and how
    store: MetaStore,
    support: Any,
    n: int = 3,
    *,
    target: Any = None,
    modules: Mapping[str, nn.Module] | None = None,
    seed: int = 0,
    seconds: float | None = None,
) -> StartsAnswer:
    """Return the best starts for a support set, with the evidence, or what needs no start.

    Args:
        store: its registry, and its record of earlier fine-tunings.
        support: what `recommenders.support_sets.read_support` takes.
        n: how many to return.
        target: of a table: the column to predict.
        modules: the user's own torch modules by the name of their start.
        seed: of whatever is left to chance.
        seconds: after which nothing more is held out; None for no limit.

    Raises:
        InvalidInputError: if the support set cannot be used.
    """
    if n < 1:
        raise InvalidInputError(f"how many starts? Expected 1 or more, got {n}")
    read = read_support(support, target)
    return answer(store, read, Asked(n, modules or {}, seed, seconds))


def answer(store: MetaStore, support: SupportSet, asked: Asked) -> StartsAnswer:
    """Return the advice for a support set that was read; see `recommend`."""
    began = time.monotonic()
    case, refused = gathered(store, support, asked)
    order = ranking(case.belief, [one.seconds for one in case.shown])
    tied = [j for j in order[1:] if case.belief.ahead(order[0], j) < TOLD]
    return StartsAnswer(
        support.name or "the support set",
        len(support.classes),
        tuple(int(count) for count in support.counts),
        tuple(_advice(case, j) for j in order[: asked.n]),
        refused,
        tuple(case.shown[j].choice for j in tied),
        _notes(case),
        time.monotonic() - began,
    )


def gathered(
    store: MetaStore, support: SupportSet, asked: Asked
) -> tuple[Case, tuple[tuple[str, str], ...]]:
    """Return what is known of each candidate, and the starts that cannot be used and why.

    What takes longest is tried only where it has a chance to be the best.
    """
    trial = _trial(support, asked)
    shown, refused = _shown(trial, store.starts(), asked)
    dear = DEAR if asked.without_starts or not shown else ()
    if dear:
        shown += [*show_plain(trial), *(not_tried(choice) for choice in dear)]
    past = past_tasks(store, [one.choice for one in shown], support)
    case = Case(trial, tuple(shown), past, _validation(shown, support, asked.settings), asked)
    if len(trial.folds):
        for choice in dear:
            case = _with(case, choice)
    return case, tuple(refused)


def _with(case: Case, choice: str) -> Case:
    """Return the case with a dear candidate tried, or with the reason why it was not."""
    j = next(j for j, one in enumerate(case.shown) if one.choice == choice)
    chance = float((case.belief.draws.argmax(1) == j).mean())
    if case.trial.late():
        found = not_tried(choice, "no time was left to try it")
    elif chance >= WORTH_TRYING:
        found = show_dear(case.trial, choice)
    else:
        found = not_tried(choice, f"not tried: a chance of {chance:.0%} to be the best")
    return replace(case, shown=(*case.shown[:j], found, *case.shown[j + 1 :]))


@dataclass(frozen=True, eq=False)
class Case:
    """What is known of the candidates for one support set.

    Args:
        trial: the support set and its folds.
        shown: what J candidates show.
        past: log-odds of their accuracy on earlier tasks `(T, J)`, NaN where they did not run.
        validation: log-odds of accuracy by validation `(J,)`, NaN where there is none.
        asked: how the recommendation is made.
    """

    trial: Trial
    shown: tuple[Shown, ...]
    past: FloatArray
    validation: FloatArray
    asked: Asked

    @cached_property
    def belief(self) -> Belief:
        """What to expect of each candidate: validation, past tasks and held-out rows."""
        settings = self.asked.settings
        novelty = np.array([one.novelty for one in self.shown])
        raw = np.array([one.start is None for one in self.shown])
        before = prior(self.validation, novelty, raw, self.trial.n_way, settings)
        after = learned(before, self.past, settings)
        held = [one.held for one in self.shown]
        return conditioned(after, *observed(held, self.trial.kept, settings), self.asked.seed)


def ranking(belief: Belief, seconds: Sequence[float]) -> list[int]:
    """Return candidates by expected accuracy; first the cheapest of those that lose nothing.

    Args:
        belief: what to expect of them.
        seconds: what each costs; NaN where that is not known.
    """
    order = [int(j) for j in np.argsort(-belief.accuracy, kind="stable")]
    best = order[0]
    equal = [
        j
        for j in order
        if belief.accuracy[best] - belief.accuracy[j] < WITHIN and belief.ahead(best, j) < TOLD
    ]
    cheapest = min(equal, key=lambda j: seconds[j] if math.isfinite(seconds[j]) else math.inf)
    # half the time is within what one measurement tells
    if cheapest != best and not seconds[cheapest] < 0.5 * seconds[best]:
        cheapest = best
    return [cheapest, *(j for j in order if j != cheapest)]


def _trial(support: SupportSet, asked: Asked) -> Trial:
    deadline = math.inf if asked.seconds is None else time.monotonic() + asked.seconds
    rows = _some(support, asked.seed)
    part = support if len(rows) == len(support) else support.take(rows)
    folds = plan(part.labels, REPEATS if len(part) < MOST_ROWS else 1, asked.seed)
    return Trial(part, folds, folds.kept * len(part) / len(support), deadline, asked.seed)


def _some(support: SupportSet, seed: int) -> IntArray:
    """Return at most about `MOST_ROWS` rows, of every class its share and two at least."""
    everything = np.random.default_rng(seed).permutation(len(support))
    if len(support) <= MOST_ROWS:
        return np.arange(len(support))
    share = MOST_ROWS / len(support)
    kept = []
    for label, count in enumerate(support.counts):
        members = everything[support.labels[everything] == label]
        kept.append(members[: max(2, round(share * count))])
    return np.sort(np.concatenate(kept))


def _shown(
    trial: Trial, starts: Sequence[Start], asked: Asked
) -> tuple[list[Shown], list[tuple[str, str]]]:
    """Return what starts show, and which cannot be used and why."""
    shown: list[Shown] = []
    refused: list[tuple[str, str]] = []
    for start in _best_first(starts):
        found = show_start(trial, start, asked.modules.get(start.name))
        if isinstance(found, Shown):
            shown.append(found)
        else:
            refused.append((start.name, found))
    return shown, refused


def _best_first(starts: Sequence[Start]) -> list[Start]:
    """Return starts by their best validated accuracy, so that a limit of time finds the good."""

    def best(start: Start) -> float:
        return max((one.value for one in start.accuracies), default=0.0)

    return sorted(starts, key=best, reverse=True)


def _validation(shown: Sequence[Shown], support: SupportSet, settings: Settings) -> FloatArray:
    k_shot = float(np.exp(np.log(support.counts).mean()))
    return np.array(
        [
            math.nan
            if one.start is None
            else validated(one.start.accuracies, len(support.classes), k_shot, settings)
            for one in shown
        ]
    )


def _evidence(one: Shown, validation: float, past: int) -> StartEvidence:
    held = one.held
    said: dict[str, Any] = {}
    if held is not None:
        said = {
            "held_out": held.accuracy,
            "held_out_interval": held.interval(),
            "log_loss": held.log_loss,
            "n_held": held.n_rows,
        }
    share = 1 / (1 + math.exp(-validation)) if math.isfinite(validation) else math.nan
    return StartEvidence(
        share, **said, novelty=one.novelty, scores=one.scores, past_tasks=past, notes=one.notes
    )


def _advice(case: Case, j: int) -> StartAdvice:
    one, belief = case.shown[j], case.belief
    past = int(np.isfinite(case.past[:, j]).sum())
    evidence = _evidence(one, float(case.validation[j]), past)
    low, high = belief.interval()[j]
    return StartAdvice(
        one.choice,
        one.start,
        float(belief.accuracy[j]),
        (float(low), float(high)),
        one.seconds,
        one.tuning,
        evidence,
        reason(evidence, is_start=one.start is not None),
    )


def _notes(case: Case) -> tuple[str, ...]:
    with_starts = any(one.start is not None for one in case.shown)
    return set_notes(case.trial.support, case.trial.folds, with_starts)
