"""A vote of the candidates that are expected to do best: their probabilities are averaged.

Which of several candidates is the best is mostly noise where a few rows are held out; several
of them together are as good as the best and better than most (Dvornik, Schmid and Mairal,
"Diversity with Cooperation: Ensemble Methods for Few-Shot Classification", ICCV 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from learners.shifted import PLACES
from recommenders.starts.candidates import BY_STEPS, Shown
from recommenders.starts.choice import FROM_SCRATCH
from recommenders.starts.cross_validation import FloatArray, HeldOut
from recommenders.starts.fits import by_steps
from recommenders.starts.fitted import VOTE, log_of
from recommenders.starts.loading import needs_module
from recommenders.starts.plain_classifiers import BOOSTING, FOREST, VECTORS
from recommenders.starts.tuning import GRADIENT

VOTERS = 5
"""So many vote that are fitted quickly; from 4 to 8 differ by less than could be measured."""
STEPPERS = 3
"""And so many starts by a few gradient steps."""
FEW_STEPS = GRADIENT.but(rate=2e-3, views="shifted")
RAW = ("logistic regression", "support vectors")
"""They vote where no row can be held out, in case the images are like none that a start knows."""
COMMITTEE = (FOREST, VECTORS, BOOSTING)
"""They vote on tables beside the best start; on the tables that settings were chosen on, others
add nothing to them that could be measured."""
_STEP = 0.4
"""What a gradient step takes, in times of embedding the set."""


def vote(shown: Sequence[Shown], expected: FloatArray, kind: str = "images") -> Shown | None:
    """Return the vote of the best candidates that are fitted quickly, or None where there is one.

    On tables who votes is given beforehand, since unlike candidates err on different rows: the
    best start and `COMMITTEE`. On images the candidates that are expected to do best vote, and
    starts by gradient steps, too, without being held out, which would take longer than all the
    rest: what is known of the vote is what the others show together.

    Args:
        shown: the candidates.
        expected: accuracy of each.
        kind: of the support set, "images" or "table".
    """
    order = [shown[j] for j in np.argsort(-expected, kind="stable")]
    able = [one for one in order if votes(one)]
    seen = max((_n_held(one) for one in able), default=0)
    # Where rows are held out, who had no time for all of them does not vote.
    able = [one for one in able if _n_held(one) == seen]
    parts = _best(able, seen) if kind == "images" else _committee(able, seen)
    if len(parts) < 2:
        return None
    stepping = _stepping(able) if kind == "images" else []
    seconds = sum(
        one.seconds * (len(PLACES) if one.can_shift else 1)
        for one in parts
        if math.isfinite(one.seconds)
    )
    seconds += sum(FEW_STEPS.steps * _STEP * _embedding(able, one.choice) for one in stepping)
    by_few = [by_steps(one, FEW_STEPS) for one in stepping]
    # What was held out was seen once: what views add is in `Settings.unheld`.
    seeing = [_shifted(one) for one in parts]
    return Shown(VOTE, held=together(parts), seconds=seconds, parts=(*seeing, *by_few))


def _best(able: Sequence[Shown], seen: int) -> list[Shown]:
    """Return those that are expected to do best."""
    parts = [*able[:VOTERS]]
    if not seen:
        parts += [one for one in able[VOTERS:] if one.choice in RAW]
    return parts


def _committee(able: Sequence[Shown], seen: int) -> list[Shown]:
    """Return the best start and the committee, the best first; nobody where nothing is known."""
    start = next((one for one in able if one.start is not None), None)
    return [one for one in able if one is start or one.choice in COMMITTEE] if seen else []


def _shifted(one: Shown) -> Shown:
    """Return a candidate that sees images shifted, too, if it can."""
    if one.tuning is None or not one.can_shift:
        return one
    return replace(one, tuning=one.tuning.but(views="shifted"))


def votes(one: Shown) -> bool:
    """Whether a candidate may vote: one whose weights lie in the store, and without long steps."""
    if one.choice in (VOTE, FROM_SCRATCH) or one.variant == BY_STEPS or one.failed:
        return False
    if one.tuning is not None and one.tuning.mode == "gradient":
        return False
    return one.start is None or not needs_module(one.start)


def together(parts: Sequence[Shown]) -> HeldOut | None:
    """Return what a vote answers for the rows that all its parts held out.

    Every part answers at the temperature that the other rows ask for.
    """
    held = [one.held for one in parts if one.held is not None]
    if len(held) < len(parts):
        return None
    # Folds come in one order, and some candidates had time for the first of them alone.
    n = min(len(one.rows) for one in held)
    chances = [one.chances_apart()[:n] for one in held]
    return HeldOut(log_of(np.mean(chances, axis=0)), held[0].labels[:n], held[0].rows[:n])


def _embedding(shown: Sequence[Shown], choice: str) -> float:
    """Return the seconds in which a start embeds a set: those of its quickest way to adapt."""
    each = [one.seconds for one in shown if one.choice == choice and math.isfinite(one.seconds)]
    return min(each, default=0.0)


def _n_held(one: Shown) -> int:
    return 0 if one.held is None else one.held.n_rows


def _stepping(order: Sequence[Shown]) -> list[Shown]:
    """Return the first starts that gradient steps can move, each once."""
    first: dict[str, Shown] = {}
    for one in order:
        if one.can_step:
            first.setdefault(one.choice, one)
    return list(first.values())[:STEPPERS]
