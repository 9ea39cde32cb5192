"""Whether images are light on dark or dark on light for a start, tried on held-out rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recommenders.cross_validation import HeldOut
from recommenders.fit_checks import cross_validated
from recommenders.image_sizes import light_background
from recommenders.start_fitting import fit_start
from recommenders.start_heads import modes_of
from recommenders.start_inputs import Preparation, prepare
from recommenders.support_set import SupportSet
from recommenders.tuning import GRADIENT, Tuning

if TYPE_CHECKING:
    from recommenders.start_loading import LoadedStart

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
    gained = float((right[1].correct - right[0].correct).sum())
    apart = float(np.abs(right[1].correct - right[0].correct).sum())
    rates = f"{right[1].accuracy:.0%} right that way against {right[0].accuracy:.0%}"
    if gained > max(1.0, np.sqrt(apart)):
        return _noting(turned, f"light and dark were exchanged: {rates} of held-out rows")
    return upright


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
