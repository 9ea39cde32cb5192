"""The candidates for a support set: what is cheap is tried, and what is dear where it may win.

What takes long (gradient steps from a start, an untrained network, boosting, a start whose own
rule takes many steps) is tried in the order of its chance to be the best, given all that was seen
so far, and as long as that chance is worth the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recommenders.starts.beliefs import (
    Belief,
    Prior,
    Settings,
    conditioned,
    learned,
    prior,
    stepped,
    validated,
)
from recommenders.starts.candidates import Shown, Trial, show_start
from recommenders.starts.choice import FROM_SCRATCH
from recommenders.starts.cross_validation import FloatArray, IntArray, plan
from recommenders.starts.fits import (
    DEAR,
    by_steps,
    not_tried,
    show_dear,
    show_plain,
    show_steps,
)
from recommenders.starts.record import past_tasks
from recommenders.starts.signals import observed
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import GRADIENT, SCRATCH
from recommenders.starts.tuning_advice import Wanted, advised

if TYPE_CHECKING:
    from torch import nn

    from metastore.starts import Start
    from metastore.store import MetaStore
    from recommenders.starts.tuning import Tuning

REPEATS = 4
MOST_ROWS = 300
"""Of a larger set so many rows, from all classes, are held out in turn."""

WORTH_TRYING = 0.05
"""What takes long is tried where it is the best with no less probability than this."""
WORTH_GAINING = 0.01
"""And where it is expected to beat the best so far by no less accuracy than this, where it does."""
STEPPED = 2
"""So many starts, the best by their own rule, are candidates by gradient steps, too."""


@dataclass(frozen=True)
class Asked:
    """How a recommendation is made.

    Args:
        n: how many to return.
        modules: the user's own torch modules by the name of their start.
        seed: of folds and draws.
        seconds: after which nothing more is held out; None for no limit.
        without_starts: whether plain classifiers and training from scratch are candidates.
        by_steps: whether the best starts by gradient steps are candidates.
        settings: how far what is believed beforehand is believed.
    """

    n: int = 3
    modules: Mapping[str, nn.Module] = field(default_factory=dict, hash=False)
    seed: int = 0
    seconds: float | None = None
    without_starts: bool = True
    by_steps: bool = True
    settings: Settings = field(default_factory=Settings)


def gathered(
    store: MetaStore, support: SupportSet, asked: Asked
) -> tuple[Case, tuple[tuple[str, str], ...]]:
    """Return what is known of each candidate, and the starts that cannot be used and why."""
    trial = _trial(support, asked)
    shown, refused = _shown(trial, store.starts(), asked)
    if asked.without_starts or not shown:
        shown += [*show_plain(trial), *(not_tried(choice) for choice in DEAR)]
    case = _case(store, support, trial, shown, asked)
    if len(trial.folds):
        scratch = _usual(store, support, FROM_SCRATCH, SCRATCH)
        case = _tried(case, [j for j, one in enumerate(shown) if one.start is not None], scratch)
        if asked.by_steps and not trial.late():
            steps = _by_steps(store, support, case)
            case = _case(store, support, trial, [*case.shown, *steps], asked)
        case = _said_why(_tried(case, range(len(case.shown)), scratch))
    return case, tuple(refused)


def _case(
    store: MetaStore, support: SupportSet, trial: Trial, shown: Sequence[Shown], asked: Asked
) -> Case:
    modes = [(one.choice, None if one.tuning is None else one.tuning.mode) for one in shown]
    past = past_tasks(store, modes, support)
    return Case(trial, tuple(shown), past, _validation(shown, support, asked.settings), asked)


def _by_steps(store: MetaStore, support: SupportSet, case: Case) -> list[Shown]:
    """Return the best starts by gradient steps, with the steps that past tasks recommend."""
    held = [
        j
        for j, one in enumerate(case.shown)
        if one.held is not None
        and one.can_step
        and one.tuning is not None
        and one.tuning.mode == "adapt"
    ]
    best = sorted(held, key=lambda j: -case.belief.accuracy[j])[:STEPPED]
    return [
        by_steps(case.shown[j], _usual(store, support, case.shown[j].choice, GRADIENT))
        for j in best
    ]


def _usual(store: MetaStore, support: SupportSet, choice: str, default: Tuning) -> Tuning:
    return advised(store, support, Wanted(choice, default, ("gradient",)))[0].tuning


def _tried(case: Case, places: Iterable[int], scratch: Tuning) -> Case:
    """Return the case with those candidates tried that have a chance, the best chance first."""
    untried = {j for j in places if case.shown[j].held is None}
    while untried and not case.trial.late():
        j = max(untried, key=case.chance)
        if not case.worth_trying(j):
            break
        untried.remove(j)
        case = case.but(j, _seen(case, j, scratch))
    return case


def _said_why(case: Case) -> Case:
    """Return the case with the reason why some were not tried, and without their gradient steps."""
    untried = [j for j, one in enumerate(case.shown) if one.held is None]
    chances = {j: case.chance(j) for j in untried}
    for j in untried:
        why = f"not tried: a chance of {chances[j]:.0%} to be the best, and then by little"
        if case.trial.late():
            why = "no time was left to try it"
        one = case.shown[j]
        case = case.but(j, replace(one, notes=(*one.notes, why)))
    return case.without([j for j in untried if case.shown[j].by_steps])


def _seen(case: Case, j: int, scratch: Tuning) -> Shown:
    """Return what a candidate shows whatever it takes."""
    one, trial = case.shown[j], case.trial
    if one.start is None:
        return show_dear(trial, one.choice, scratch)
    module = case.asked.modules.get(one.choice)
    if one.by_steps:
        return show_steps(trial, one, module)
    found = show_start(trial, one.start, module, whatever_it_takes=True)
    return found if isinstance(found, Shown) else one


@dataclass(frozen=True, eq=False)
class Case:
    """What is known of the candidates for one support set.

    Args:
        trial: the support set and its folds.
        shown: what J candidates show.
        past: log-odds of their accuracy on earlier tasks `(T, J)`, NaN where they did not run.
        validation: log-odds of accuracy by validation `(J,)`, NaN where there is none; of a
            start by gradient steps that of its own rule.
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
        after = learned(self.before, self.past, self.asked.settings)
        return conditioned(after, *self.said, self.asked.seed)

    @cached_property
    def before(self) -> Prior:
        """What is believed before past tasks and held-out rows."""
        settings = self.asked.settings
        raw = np.array([one.start is None for one in self.shown])
        novelty = np.array([one.novelty for one in self.shown])
        unstepped = prior(self.validation, novelty, raw, self.trial.n_way, settings)
        return stepped(unstepped, self.own, novelty, settings)

    @cached_property
    def said(self) -> tuple[FloatArray, FloatArray]:
        """What held-out rows say of log-odds `(J,)`, NaN where nothing, and its covariance."""
        settings = self.asked.settings
        held = [one.held for one in self.shown]
        value, covariance = observed(held, self.trial.kept, settings)
        # What more steps add was measured on images; on tables a third is judged as the whole is.
        images = self.trial.support.kind == "images"
        fewer = np.array([images and one.choice == FROM_SCRATCH for one in self.shown])
        return value + settings.remaining * fewer, covariance

    @cached_property
    def own(self) -> IntArray:
        """For a start by gradient steps the place of its own rule, for others their own `(J,)`."""
        rules = {one.choice: j for j, one in enumerate(self.shown) if not one.by_steps}
        return np.array([rules[one.choice] for one in self.shown])

    def chance(self, j: int) -> float:
        """Return the probability that a candidate is the best."""
        return float((self.belief.draws.argmax(1) == j).mean())

    def worth_trying(self, j: int) -> bool:
        """Whether a candidate may win, and by enough."""
        accuracy, draws = self.belief.accuracy, self.belief.draws
        others = np.delete(np.arange(len(self.shown)), j)
        if not len(others):
            return True
        best = others[accuracy[others].argmax()]
        gain = np.maximum(draws[:, j] - draws[:, best], 0).mean()
        return self.chance(j) >= WORTH_TRYING and float(gain) >= WORTH_GAINING

    def but(self, j: int, found: Shown) -> Case:
        """Return the case with another word on one candidate."""
        return replace(self, shown=(*self.shown[:j], found, *self.shown[j + 1 :]))

    def without(self, dropped: Sequence[int]) -> Case:
        """Return the case without some candidates."""
        kept = [j for j in range(len(self.shown)) if j not in dropped]
        shown = tuple(self.shown[j] for j in kept)
        return replace(self, shown=shown, past=self.past[:, kept], validation=self.validation[kept])


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
