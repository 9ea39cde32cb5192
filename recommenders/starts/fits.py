"""What candidates show that are fitted anew to every fold: plain classifiers and gradient steps.

Those that take long are judged on as many folds of one repeat as time allows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from metastore.errors import InvalidInputError
from recommenders.starts.candidates import BY_STEPS, Shown, Trial, why_failed
from recommenders.starts.choice import FROM_SCRATCH
from recommenders.starts.cross_validation import FloatArray, HeldOut
from recommenders.starts.fitting import fit_scratch, fit_start
from recommenders.starts.loading import load_start
from recommenders.starts.plain_classifiers import BOOSTING, PLAIN, fit_plain
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import SCRATCH as UNTRAINED
from recommenders.starts.tuning import Tuning

if TYPE_CHECKING:
    from torch import nn

    from recommenders.starts.fitted import Fitted

FROM_NOTHING = 2.0
"""Processor seconds after which no further fold is begun of steps from nothing or of trees."""

SHORTENED = 3

REPEATS = {"nearest centroid": 2}
"""Repeats of the folds that a plain classifier's speed allows; one for the others."""


def show_plain(trial: Trial) -> list[Shown]:
    """Return what plain classifiers on raw features show; trees are not boosted on pixels."""
    return [
        _fitted(trial, name, partial(fit_plain, name, seed=trial.seed), REPEATS.get(name, 1))
        for name in PLAIN
        if name != BOOSTING or trial.support.kind != "images"
    ]


def show_scratch(trial: Trial, tuning: Tuning = UNTRAINED) -> Shown:
    """Return what an untrained network shows, on as many folds of one repeat as time allows.

    It takes a third of its steps on every fold; `Settings.remaining` says what the others are
    worth.
    """
    fewer = tuning.but(steps=max(1, tuning.steps // SHORTENED))
    fit = partial(fit_scratch, tuning=fewer, seed=trial.seed)
    found = _fitted(trial, FROM_SCRATCH, fit, 1)
    return replace(found, tuning=tuning, seconds=found.seconds * SHORTENED)


def by_steps(own: Shown, tuning: Tuning) -> Shown:
    """Return a start by gradient steps, of which nothing was seen yet.

    Args:
        own: what it shows by its own rule.
        tuning: gradient steps.
    """
    return replace(own, held=None, seconds=math.nan, tuning=tuning, variant=BY_STEPS)


def show_steps(trial: Trial, untried: Shown, module: nn.Module | None = None) -> Shown:
    """Return what a start shows by gradient steps, on as many folds of one repeat as time allows.

    Args:
        trial: the support set.
        untried: as `by_steps` gives.
        module: the user's own module, where the start is one's weights.
    """
    start, how = untried.start, untried.preparation
    if start is None or how is None:
        raise InvalidInputError(f"{untried.choice!r} is no start that was prepared")
    loaded = load_start(start, module=module)

    def fit(part: SupportSet) -> Fitted:
        return fit_start(loaded, how, part, untried.tuning, seed=trial.seed)

    found = _fitted(trial, untried.choice, fit, 1)
    notes = (*untried.notes, *found.notes)
    return replace(
        untried, held=found.held, seconds=found.seconds, notes=notes, failed=found.failed
    )


def untried_scratch() -> Shown:
    """Return an untrained network of which nothing was seen."""
    return Shown(FROM_SCRATCH, tuning=UNTRAINED)


def _fitted(trial: Trial, choice: str, fit: Callable[[SupportSet], Fitted], repeats: int) -> Shown:
    """Return what a candidate shows that is fitted from nothing on every fold."""
    if not len(trial.folds):
        return Shown(choice)
    if trial.late():
        return Shown(choice, notes=("no time was left to try it",))
    folds = trial.folds.repeats(repeats)
    answers: list[FloatArray] = []
    began, spent = time.monotonic(), time.thread_time()
    for train, held in zip(folds.train, folds.held, strict=True):
        # Seconds of the processor, so that a busy machine has the same answer.
        if answers and (trial.late() or time.thread_time() - spent >= FROM_NOTHING):
            break
        part, rest = trial.support.take(train), trial.support.take(held)
        try:
            answers.append(fit(part).log_odds(rest))
        except Exception as error:  # any library's: the others are judged all the same
            return Shown(choice, failed=why_failed(error))
    seconds = (time.monotonic() - began) / len(answers)
    rows = np.concatenate(folds.held[: len(answers)])
    notes = () if len(answers) == len(folds) else ("time was left for a part of the folds alone",)
    held_out = HeldOut(np.concatenate(answers), trial.support.labels[rows], rows)
    return Shown(choice, held=held_out, seconds=seconds, notes=notes)
