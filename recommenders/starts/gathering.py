"""The candidates for a support set: what is cheap is tried, and what is dear where it may win.

What takes long (gradient steps from a start, an untrained network, boosting, a start whose own
rule takes many steps) is tried in the order of its chance to be the best, given all that was seen
so far, and as long as that chance is worth the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from metastore.errors import InvalidInputError
from metastore.start_checks import fault
from recommenders.starts.belief_settings import Settings
from recommenders.starts.beliefs import (
    validated,
)
from recommenders.starts.candidates import BY_STEPS, Shown, Trial, show_linear, show_start
from recommenders.starts.case import Asked, Case
from recommenders.starts.choice import FROM_SCRATCH
from recommenders.starts.cross_validation import FloatArray, IntArray, plan
from recommenders.starts.fits import (
    by_steps,
    show_plain,
    show_scratch,
    show_steps,
    untried_scratch,
)
from recommenders.starts.patience import Patience
from recommenders.starts.record import past_tasks
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import GRADIENT, SCRATCH
from recommenders.starts.tuning_advice import Wanted, advised
from recommenders.starts.votes import vote

if TYPE_CHECKING:
    from metastore.starts import Start
    from metastore.store import MetaStore
    from recommenders.starts.tuning import Tuning

REPEATS = 4
MOST_ROWS = 300
"""Of a larger set so many rows, from all classes, are held out in turn."""

STEPPED = 2
"""So many starts, the best by their own rule, are candidates by gradient steps, too."""


def gathered(
    store: MetaStore, support: SupportSet, asked: Asked
) -> tuple[Case, tuple[tuple[str, str], ...]]:
    """Return what is known of each candidate, and the starts that cannot be used and why."""
    trial = _trial(support, asked)
    shown, refused = _shown(trial, store.starts(), asked)
    shown += _linear(trial, shown, asked)
    if asked.without_starts or not shown:
        shown += [*show_plain(trial), untried_scratch()]
    case = _case(store, support, trial, shown, asked)
    starts = [j for j, one in enumerate(shown) if one.start is not None]
    scratch = _usual(store, support, FROM_SCRATCH, SCRATCH)
    if len(trial.folds) and support.kind != "images":
        # The best start votes with classifiers that are all held out.
        case = _tried(case, starts, scratch)
    if asked.by_vote and (together := vote(case.shown, case.belief.accuracy, support.kind)):
        case = _case(store, support, trial, [*case.shown, together], asked)
    if len(trial.folds):
        case = _tried(case, starts, scratch)
        if asked.by_steps and not trial.late() and not _step_together(case):
            steps = _by_steps(store, support, case)
            case = _case(store, support, trial, [*case.shown, *steps], asked)
        case = _said_why(_tried(case, range(len(case.shown)), scratch))
    refused += [(one.label, one.failed) for one in case.shown if one.failed]
    return _without_failed(case), tuple(refused)


def _without_failed(case: Case) -> Case:
    failed = [j for j, one in enumerate(case.shown) if one.failed]
    if failed and len(failed) == len(case.shown):
        raise InvalidInputError(
            "nothing can be fitted to this support set: "
            + "; ".join(f"{one.label}: {one.failed}" for one in case.shown)
        )
    return case.without(failed)


def _linear(trial: Trial, shown: Sequence[Shown], asked: Asked) -> list[Shown]:
    """Return what the starts show by linear heads, those that can have one."""
    found = (show_linear(trial, one, asked.modules.get(one.choice)) for one in shown)
    return [one for one in found if one is not None]


def _case(
    store: MetaStore, support: SupportSet, trial: Trial, shown: Sequence[Shown], asked: Asked
) -> Case:
    modes = [(one.choice, None if one.tuning is None else one.tuning.mode) for one in shown]
    past = past_tasks(store, modes, support)
    settings = asked.settings_for(support.kind)
    return Case(trial, tuple(shown), past, _validation(shown, support, settings), asked)


def _by_steps(store: MetaStore, support: SupportSet, case: Case) -> list[Shown]:
    """Return the best starts by gradient steps, with the steps that past tasks recommend."""
    held = [
        j
        for j, one in enumerate(case.shown)
        if one.held is not None
        and one.can_step
        and not one.variant
        and one.tuning is not None
        and one.tuning.mode == "adapt"
    ]
    best = sorted(held, key=lambda j: -case.belief.accuracy[j])[:STEPPED]
    return [
        by_steps(case.shown[j], _usual(store, support, case.shown[j].choice, GRADIENT))
        for j in best
    ]


def _step_together(case: Case) -> bool:
    """Whether a vote has starts by gradient steps, which then need no seconds of their own."""
    return any(part.variant == BY_STEPS for one in case.shown for part in one.parts)


def _usual(store: MetaStore, support: SupportSet, choice: str, default: Tuning) -> Tuning:
    return advised(store, support, Wanted(choice, default, ("gradient",)))[0].tuning


def _tried(case: Case, places: Iterable[int], scratch: Tuning) -> Case:
    """Return the case with those candidates tried that have a chance, the best chance first."""
    untried = {j for j in places if case.shown[j].held is None and not case.shown[j].failed}
    while untried and not case.trial.late():
        j = max(untried, key=case.chance)
        if not case.worth_trying(j):
            break
        untried.remove(j)
        case = case.but(j, _seen(case, j, scratch))
    return case


def _said_why(case: Case) -> Case:
    """Return the case with the reason why some were not tried, and without their gradient steps."""
    untried = [j for j, one in enumerate(case.shown) if one.held is None and not one.failed]
    chances = {j: case.chance(j) for j in untried}
    for j in untried:
        why = f"not tried: a chance of {chances[j]:.0%} to be the best, and then by little"
        if case.trial.late():
            why = "no time was left to try it"
        one = case.shown[j]
        case = case.but(j, replace(one, notes=(*one.notes, why)))
    return case.without([j for j in untried if case.shown[j].variant == BY_STEPS])


def _seen(case: Case, j: int, scratch: Tuning) -> Shown:
    """Return what a candidate shows whatever it takes."""
    one, trial = case.shown[j], case.trial
    if one.start is None:
        return show_scratch(trial, scratch)
    module = case.asked.modules.get(one.choice)
    if one.variant == BY_STEPS:
        return show_steps(trial, one, module)
    found = show_start(trial, one.start, module, whatever_it_takes=True)
    return found if isinstance(found, Shown) else replace(one, failed=found)


def _trial(support: SupportSet, asked: Asked) -> Trial:
    patience = Patience() if asked.seconds is None else Patience(asked.seconds)
    rows = _some(support, asked.seed)
    part = support if len(rows) == len(support) else support.take(rows)
    folds = plan(part.labels, REPEATS if len(part) < MOST_ROWS else 1, asked.seed)
    return Trial(part, folds, folds.kept * len(part) / len(support), patience, asked.seed)


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
        if fault(start):
            return 0.0
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
