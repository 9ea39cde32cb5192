"""Which start to fine-tune for a support set, or none: ranked, with what speaks for each.

Candidates are every start of the registry that takes the set, training from scratch, and plain
classifiers on raw features. What each shows (`recommenders.starts.candidates`) and what the store
remembers of earlier fine-tunings meet in one Gaussian (`recommenders.starts.beliefs`); a candidate
that is cheaper and not worse by anything that could be told from noise goes first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metastore.errors import InvalidInputError, MissingDependencyError
from recommenders.starts.advice import Part, StartAdvice, StartEvidence, StartsAnswer
from recommenders.starts.support_sets import SupportSet, read_support
from recommenders.starts.words import reason, set_notes, uneven_note
from recommenders.threads import one_thread_of_torch

try:
    from recommenders.starts.candidates import Shown
    from recommenders.starts.case import Asked, Case
    from recommenders.starts.gathering import gathered
except ImportError as error:
    raise MissingDependencyError(
        f"recommending starts needs torch, and {error.name} is not there: pip install "
        "'headstart[learners]'"
    ) from error

if TYPE_CHECKING:
    from torch import nn

    from metastore.store import MetaStore
    from recommenders.starts.beliefs import Belief
    from recommenders.starts.inputs import Preparation

__all__ = [
    "Asked",
    "StartAdvice",
    "StartEvidence",
    "StartsAnswer",
    "answer",
    "recommend",
]

WITHIN = 0.005
"""A cheaper candidate goes first if it is expected to lose less accuracy than this."""
NO_TIME = 1.0
"""Seconds that nobody waits for: saving less does not make a candidate cheaper."""
TOLD = 0.8
"""Who is better with less probability than this is not told apart."""


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
        support: what `recommenders.starts.support_sets.read_support` takes.
        n: how many to return.
        target: of a table: the column to predict.
        modules: the user's own torch modules by the name of their start.
        seed: of whatever is left to chance; on how many rows slow candidates are tried goes by
            the time they take.
        seconds: of the processor, after which nothing more is held out; the clock may run three
            times as long. None for no limit.

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
    with one_thread_of_torch(len(support)):
        case, refused = gathered(store, support, asked)
    order = _once(case, ranking(case.belief, [one.seconds for one in case.shown]))
    tied = [j for j in order[1:] if case.belief.ahead(order[0], j) < TOLD]
    return StartsAnswer(
        support.name or "the support set",
        len(support.classes),
        tuple(int(count) for count in support.counts),
        tuple(_advice(case, j) for j in order[: asked.n]),
        refused,
        tuple(case.shown[j].choice for j in tied),
        _notes(case, order[0]),
        time.monotonic() - began,
    )


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
    saved = seconds[best] - seconds[cheapest]
    if not (seconds[cheapest] < 0.5 * seconds[best] and saved > NO_TIME):
        cheapest = best
    return [cheapest, *(j for j in order if j != cheapest)]


def _once(case: Case, order: Sequence[int]) -> list[int]:
    """Return the order with every start once: by its own rule or by steps, what comes first."""
    first: dict[str, int] = {}
    for j in order:
        first.setdefault(case.shown[j].choice, j)
    return list(first.values())


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
        _voting(one) + reason(evidence, is_start=one.start is not None),
        _way_in(case, one),
        tuple(_part(case, part) for part in one.parts),
        one.held,
    )


def _voting(one: Shown) -> str:
    listed = "; ".join(part.label for part in one.parts)
    seeing = any(part.tuning is not None and part.tuning.views != "one" for part in one.parts)
    views = "The starts see each image shifted by a pixel to each side, too. " if seeing else ""
    return f"Their probabilities are averaged: {listed}. {views}" if listed else ""


def _part(case: Case, one: Shown) -> Part:
    heat = 1.0 if one.held is None else one.held.temperature
    return Part(one.choice, one.start, one.tuning, _way_in(case, one), heat)


def _way_in(case: Case, one: Shown) -> Preparation | None:
    # Columns of a table are read anew from the whole set, of which a trial may have a part.
    return one.preparation if case.trial.support.kind == "images" else None


def _notes(case: Case, best: int) -> tuple[str, ...]:
    with_starts, first = any(one.start is not None for one in case.shown), case.shown[best]
    trial = case.trial
    said = set_notes(trial.support, trial.folds, with_starts, alike=trial.alike)
    return (*said, *uneven_note(case.trial.support, first.choice, first.held))
