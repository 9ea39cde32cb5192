"""Whether images are light on dark or dark on light for a start, tried on held-out rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recommenders.image_sizes import light_background
from recommenders.starts.cross_validation import HeldOut
from recommenders.starts.fit_checks import cross_validated
from recommenders.starts.fitting import fit_start
from recommenders.starts.heads import modes_of
from recommenders.starts.inputs import Preparation, prepare
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import GRADIENT, Tuning

if TYPE_CHECKING:
    from recommenders.starts.loading import LoadedStart

_QUICK = GRADIENT.but(steps=5, layers="head", augmentation="none")


def suited(loaded: LoadedStart, support: SupportSet, seed: int = 0) -> Preparation:
    """Return how a support set becomes a start's inputs, images the right way round.

    A start knows strokes light on dark or dark on light, and drawings come both ways. Where rows
    can be held out, both ways are tried, and images are turned if more rows come out right by
    more than a standard deviation of chance (McNemar, Psychometrika 1947). Where none can be,
    they are turned if the start says what background it was trained on
    (`normalisation["background"]`, "light" or "dark") and theirs is the other.

    Args:
        loaded: the start.
        support: the labelled rows.
        seed: of the folds.

    Raises:
        InvalidInputError: if the start does not take the set.
    """
    upright = prepare(loaded.start, support)
    if upright.kind != "images":
        return upright
    turned = upright.turned()
    tuning = Tuning() if "adapt" in modes_of(loaded.learner, len(support.classes)) else _QUICK

    def tried(way: Preparation) -> HeldOut | None:
        return cross_validated(
            lambda part: fit_start(loaded, way, part, tuning, seed=seed), support, seed
        )

    right = tried(upright), tried(turned)
    if right[0] is None or right[1] is None:
        return _by_record(loaded, support, upright)
    rates = f"{right[1].accuracy:.0%} right that way against {right[0].accuracy:.0%}"
    if turning(right[0], right[1]):
        return _noting(turned, f"light and dark were exchanged: {rates} of held-out rows")
    return upright


def turning(upright: HeldOut, turned: HeldOut) -> bool:
    """Whether images are to be turned light for dark, by the same held-out rows both ways.

    More rows must come out right by more than a standard deviation of chance (McNemar 1947).
    """
    gained = turned.correct - upright.correct
    return float(gained.sum()) > max(1.0, math.sqrt(float(np.abs(gained).sum())))


def _by_record(loaded: LoadedStart, support: SupportSet, upright: Preparation) -> Preparation:
    known = loaded.start.normalisation.get("background")
    own = "light" if light_background(support.images) else "dark"
    if known in ("light", "dark") and known != own:
        return _noting(
            upright.turned(),
            f"light and dark were exchanged: the start was trained on a {known} background",
        )
    return _noting(
        upright,
        "whether light and dark should be exchanged could not be tried: no class has two examples",
    )


def _noting(preparation: Preparation, note: str) -> Preparation:
    return replace(preparation, notes=(*preparation.notes, note))
