"""What each candidate for a support set shows: every start that takes it, and what needs none.

Candidates are judged on the same folds. A start that cannot be loaded or does not take the set
is refused with its reason; a candidate for which no time is left keeps what is believed of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from learners.episode import Examples
from learners.errors import LearnerError
from learners.networks import Network, under_net, without_net
from learners.protonet import ProtoNet
from metastore.errors import InvalidInputError
from metastore.starts import Start
from recommenders.cross_validation import FloatArray, Folds, HeldOut
from recommenders.image_polarity import suited
from recommenders.plain_classifiers import PLAIN, fit_plain
from recommenders.start_choice import FROM_SCRATCH
from recommenders.start_evidence import compares, embedded, held_out, novelty, task_embedding
from recommenders.start_fitting import fit_scratch, usual_tuning
from recommenders.start_heads import modes_of, resized
from recommenders.start_inputs import misfit, prepare
from recommenders.start_loading import LoadedStart, load_start
from recommenders.support_set import SupportSet
from recommenders.transferability import h_score, leep, logme
from recommenders.tuning import SCRATCH as UNTRAINED
from recommenders.tuning import Tuning

if TYPE_CHECKING:
    from torch import nn

    from recommenders.fitted import Fitted
    from recommenders.start_inputs import Preparation

EACH = 1.0
"""Seconds that a start may take to be held out, about, where it adapts anew to every fold."""
FROM_NOTHING = 6.0
"""Seconds after which no further fold is begun of what is fitted from nothing."""

DEAR = ("gradient boosting", FROM_SCRATCH)
"""Candidates that take longer than all others together."""
SHORTENED = 3

REPEATS = {"nearest centroid": 2}
"""Repeats of the folds that a plain classifier's speed allows; one for the others."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What a candidate shows on a support set.

    Args:
        choice: a start's name, `FROM_SCRATCH`, or the name of a plain classifier.
        start: the start; None for the others.
        held: its held-out answers; None where nothing could be held out, or no time was left.
        seconds: of one adaptation to the whole set; NaN where that is not known.
        tuning: how it was adapted; None where there is nothing to choose.
        novelty: of the task to the start; NaN where unknown.
        scores: transferability scores by name.
        notes: what a person should know, in words.
        preparation: how rows became a start's inputs; None for the others.
    """

    choice: str
    start: Start | None = None
    held: HeldOut | None = None
    seconds: float = math.nan
    tuning: Tuning | None = None
    novelty: float = math.nan
    scores: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    preparation: Preparation | None = None


@dataclass(frozen=True, eq=False)
class Trial:
    """One support set and how candidates are judged on it.

    Args:
        support: what is learned from and held out.
        folds: of its rows.
        kept: share of all rows there are that a fold learns from.
        deadline: of `time.monotonic`, after which nothing more is held out.
        seed: of whatever is left to chance.
    """

    support: SupportSet
    folds: Folds
    kept: float = 1.0
    deadline: float = math.inf
    seed: int = 0

    @property
    def n_way(self) -> int:
        """Classes of the support set."""
        return len(self.support.classes)

    def late(self) -> bool:
        """Whether the time is spent."""
        return time.monotonic() >= self.deadline


def show_start(trial: Trial, start: Start, module: nn.Module | None = None) -> Shown | str:
    """Return what a start shows, or why it cannot be used here.

    Args:
        trial: the support set.
        start: of the registry.
        module: the user's own module, where the start is one's weights.
    """
    if reason := misfit(start, trial.support):
        return reason
    try:
        return _shown(trial, load_start(start, module=module))
    except (InvalidInputError, LearnerError) as error:
        return str(error)


def _shown(trial: Trial, loaded: LoadedStart) -> Shown:
    upright = prepare(loaded.start, trial.support)
    ways = [upright, upright.turned()] if upright.kind == "images" else [upright]
    if not len(trial.folds):
        ways = [suited(loaded, trial.support, trial.seed)]
    tuning = usual_tuning(loaded.learner, trial.n_way)
    loaded, notes = _wide_enough(loaded, trial.n_way)
    examples = ways[0].tensors(trial.support)
    began = time.monotonic()
    loaded.learner.adapt(loaded.state, examples, trial.n_way)
    seconds = time.monotonic() - began
    tried = [_held(trial, loaded, way, seconds) for way in ways[: 1 if trial.late() else 2]]
    turned = len(tried) == 2 and turning(*tried)
    preparation, held = ways[turned], tried[turned]
    if turned:
        notes = (*notes, "light and dark are exchanged: more held-out rows are right that way")
        examples = preparation.tensors(trial.support)
    return Shown(
        loaded.start.name,
        loaded.start,
        held,
        seconds,
        tuning,
        _novelty(loaded, examples, trial.n_way),
        _scores(loaded, examples),
        preparation.notes + notes,
        preparation,
    )


def _held(trial: Trial, loaded: LoadedStart, way: Preparation, seconds: float) -> HeldOut | None:
    if not len(trial.folds) or trial.late():
        return None
    folds = trial.folds if compares(loaded.learner) else _affordable(trial.folds, seconds)
    examples = way.tensors(trial.support)
    return held_out(loaded.learner, loaded.state, examples, trial.n_way, folds)


def turning(upright: HeldOut | None, turned: HeldOut | None) -> bool:
    """Whether images are to be turned light for dark: the rule of `image_polarity.suited`.

    More rows must come out right by more than a standard deviation of chance (McNemar 1947).
    """
    if upright is None or turned is None:
        return False
    gained = turned.correct - upright.correct
    return float(gained.sum()) > max(1.0, math.sqrt(float(np.abs(gained).sum())))


def _affordable(folds: Folds, seconds: float) -> Folds:
    """Return as many folds as one start may take time for, two at least."""
    return folds.first(min(len(folds), max(2, int(EACH / max(seconds, 1e-3)))))


def _wide_enough(loaded: LoadedStart, n_way: int) -> tuple[LoadedStart, tuple[str, ...]]:
    """Return what is judged: the start with room for `n_way` classes."""
    learner, state = resized(loaded.learner, loaded.state, n_way)
    if "adapt" in modes_of(learner, n_way):
        return replace(loaded, learner=learner, state=state), ()
    network: Network = learner.network  # type: ignore[attr-defined]
    said = (
        f"it was made for at most {learner.most_ways} classes and there are {n_way}: its network "
        "gets a new head, and is judged by prototypes"
    )
    plain = ProtoNet(network)
    return replace(loaded, learner=plain, state=under_net(without_net(state))), (said,)


def _novelty(loaded: LoadedStart, examples: Examples, n_way: int) -> float:
    tasks = None if loaded.tasks is None else loaded.tasks.double().cpu().numpy()
    own = task_embedding(loaded.learner, loaded.state, examples, n_way).double().cpu().numpy()
    if tasks is None or tasks.ndim != 2 or tasks.shape[1:] != own.shape:
        return math.nan
    return novelty(own, tasks)


@torch.no_grad()
def _scores(loaded: LoadedStart, examples: Examples) -> dict[str, float]:
    """Return transferability scores of finite embeddings; LEEP where there is a source head."""
    labels, found = examples.y.cpu().numpy(), {}
    rows = embedded(loaded.learner, loaded.state, examples).double().cpu().numpy()
    if np.isfinite(rows).all() and np.ptp(rows, axis=0).any():
        found = {"logme": logme(rows, labels), "h_score": h_score(rows, labels)}
    network = getattr(loaded.learner, "network", None)
    if loaded.start.method == "pretrained" and loaded.start.n_way and network is not None:
        answers = network(without_net(loaded.state), examples.x, examples.mask)
        if answers.shape == (len(labels), loaded.start.n_way):
            found["leep"] = leep(answers.double().softmax(1).cpu().numpy(), labels)
    return found


def show_plain(trial: Trial) -> list[Shown]:
    """Return what quick plain classifiers on raw features show; `DEAR` ones are left out."""
    return [
        _fitted(trial, name, partial(fit_plain, name, seed=trial.seed), REPEATS.get(name, 1))
        for name in PLAIN
        if name not in DEAR
    ]


def show_dear(trial: Trial, choice: str) -> Shown:
    """Return what one of `DEAR` shows, on as many folds of one repeat as time allows.

    An untrained network takes a third of its steps on every fold: it is better than it shows.
    """
    if choice != FROM_SCRATCH:
        return _fitted(trial, choice, partial(fit_plain, choice, seed=trial.seed), 1)
    fewer = UNTRAINED.but(steps=UNTRAINED.steps // SHORTENED)
    fit = partial(fit_scratch, tuning=fewer, seed=trial.seed)
    found = _fitted(trial, choice, fit, 1)
    return replace(found, tuning=UNTRAINED, seconds=found.seconds * SHORTENED)


def not_tried(choice: str, why: str = "") -> Shown:
    """Return one of `DEAR` of which nothing was seen."""
    tuning = UNTRAINED if choice == FROM_SCRATCH else None
    return Shown(choice, tuning=tuning, notes=(why,) if why else ())


def _fitted(trial: Trial, choice: str, fit: Callable[[SupportSet], Fitted], repeats: int) -> Shown:
    """Return what a candidate shows that is fitted from nothing on every fold."""
    if not len(trial.folds):
        return Shown(choice)
    if trial.late():
        return Shown(choice, notes=("no time was left to try it",))
    folds = trial.folds.repeats(repeats)
    answers: list[FloatArray] = []
    began = time.monotonic()
    deadline = min(trial.deadline, began + FROM_NOTHING)
    for train, held in zip(folds.train, folds.held, strict=True):
        if answers and time.monotonic() >= deadline:
            break
        answers.append(fit(trial.support.take(train)).log_odds(trial.support.take(held)))
    seconds = (time.monotonic() - began) / len(answers)
    rows = np.concatenate(folds.held[: len(answers)])
    notes = () if len(answers) == len(folds) else ("time was left for a part of the folds alone",)
    held_out = HeldOut(np.concatenate(answers), trial.support.labels[rows], rows)
    return Shown(choice, held=held_out, seconds=seconds, notes=notes)
