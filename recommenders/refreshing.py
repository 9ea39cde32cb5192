"""When something meta-trained is brought up to date with new runs instead of trained anew.

Runs arrive one at a time, and each changes the past that surrogates are meta-trained on. What was
learned from nearly the same past is then begun from, and a share of the steps trained on all of
today's runs: `STEPS` times the share of them that is new, `LEAST_STEPS` at least.

It is trained from scratch where nothing kept has the same network, seed and settings, finished,
and differs by `MOST_NEW` at most (`recommenders.learned_runs.difference`); after `MOST_REFRESHES`
refreshes of refreshes; and where what is new since the last training from scratch would come to
more than `MOST_DRIFT`. Of several that would do, the one that takes the fewest steps is begun
from, and of those the one that was refreshed least often, so that while little has changed each
refresh begins from what was trained from scratch.

What comes out hangs on what was kept: on the questions asked before, as well as on the runs. The
same questions to the same runs in the same order give the same answers, bit for bit. Nothing is
begun from without a cache or with `refresh=False`, and a state that was refreshed is never taken
for one trained from scratch: it is kept under a name of its own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from learners.checkpoint import load
from learners.errors import CheckpointError
from learners.learner import Learner, State
from recommenders.learned_runs import difference, kept_with, rows_of
from recommenders.lineage import Course, Lineage

MOST_NEW = 0.2
MOST_DRIFT = 0.5
MOST_REFRESHES = 8
LEAST_STEPS = 1 / 8
STEPS = 2.0

LOOKED_AT = 8
"""Of what is kept so many are compared with today's runs, those of most datasets and runs."""


@dataclass(frozen=True, eq=False)
class Beginning:
    """With what training begins.

    Args:
        lineage: what becomes of it, and the steps.
        path: where it is kept, or resumed from; None for nowhere.
        start: the state to begin from; empty for the learner's own.
    """

    lineage: Lineage
    path: Path | None = None
    start: State = field(default_factory=dict, repr=False)


def beginning(course: Course, learner: Learner, folder: Path | None, refresh: bool) -> Beginning:
    """Return with what a course begins: what is kept of it already, a like one, or nothing.

    Args:
        course: what is to be trained.
        learner: the method and its network.
        folder: where states are kept; None for nowhere.
        refresh: whether to begin from one that learned from nearly the same runs.
    """
    if folder is None:
        return Beginning(course.lineage())
    whole, path = course.file(folder), course.file(folder, refreshed=True)
    if refresh and course.datasets and not whole.exists():
        if path.exists():
            try:
                return Beginning(Lineage.of(path), path)
            except CheckpointError as error:
                drop(path, error)
        found = _nearest(course, learner, folder)
        if found is not None:
            return Beginning(found[0], path, found[1])
    return Beginning(course.lineage(), whole)


def drop(path: Path, error: CheckpointError) -> None:
    """Delete a damaged checkpoint and say so."""
    warnings.warn(f"{path} is dropped and learned anew: {error}", stacklevel=3)
    path.unlink(missing_ok=True)


def _nearest(course: Course, learner: Learner, folder: Path) -> tuple[Lineage, State] | None:
    """Return what to begin from, and what becomes of it; None where nothing will do."""
    found = sorted(
        _candidates(course, folder),
        key=lambda one: (one[0].iterations, one[0].refreshes, one[0].new, one[1].name),
    )
    for lineage, path in found:
        try:
            snapshot = load(path, learner)
            if snapshot.iteration >= Lineage.of(path).iterations:
                return lineage, snapshot.state
        except CheckpointError:
            continue  # damaged, or of another network; whoever asks for it itself is told
    return None


def _candidates(course: Course, folder: Path) -> Iterator[tuple[Lineage, Path]]:
    rows = rows_of(course.past, course.datasets)
    for kept, path in _alike(course, folder)[:LOOKED_AT]:
        try:
            new = difference(kept_with(path), rows)
        except CheckpointError:
            continue
        if new <= MOST_NEW and kept.new + new <= MOST_DRIFT:
            yield kept.refreshed(course, path, new, _steps(course, new)), path


def _steps(course: Course, new: float) -> int:
    return math.ceil(min(1.0, max(LEAST_STEPS, STEPS * new)) * course.iterations)


def _alike(course: Course, folder: Path) -> list[tuple[Lineage, Path]]:
    """Return what is kept of the same settings and no other datasets, the most runs first."""
    settings, datasets = course.lineage().settings, set(course.datasets)
    found = []
    for path in folder.glob(f"{course.name}-*.json"):
        try:
            kept = Lineage.of(path)
        except CheckpointError:
            continue
        same = kept.settings == settings and set(kept.datasets) <= datasets
        if same and kept.datasets and kept.refreshes < MOST_REFRESHES:
            found.append((kept, path))
    return sorted(found, key=lambda one: (-len(one[0].datasets), -one[0].runs, one[1].name))
