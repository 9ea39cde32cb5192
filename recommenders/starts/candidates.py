"""What each candidate for a support set shows: every start that takes it, and what needs none.

Candidates are judged on the same folds. A start that cannot be loaded or does not take the set
is refused with its reason; a candidate for which no time is left keeps what is believed of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import torch

from learners.episode import Examples
from learners.errors import LearnerError
from learners.networks import Network, under_net, without_net
from learners.protonet import ProtoNet
from metastore.errors import InvalidInputError
from metastore.start_checks import fault
from metastore.starts import Start
from recommenders.starts.cross_validation import Folds, HeldOut
from recommenders.starts.evidence import compares, embedded, held_out, novelty, task_embedding
from recommenders.starts.fitting import usual_tuning
from recommenders.starts.heads import modes_of, resized
from recommenders.starts.image_polarity import suited, turning
from recommenders.starts.inputs import misfit, prepare
from recommenders.starts.linear_heads import held_out_linear, linear_head
from recommenders.starts.loading import LoadedStart, load_start
from recommenders.starts.patience import Patience
from recommenders.starts.support_set import SupportSet
from recommenders.starts.transferability import h_score, leep, logme
from recommenders.starts.tuning import LINEAR, Tuning

if TYPE_CHECKING:
    from torch import nn

    from recommenders.starts.inputs import Preparation

EACH = 1.0
"""Seconds that a start may take to be held out, about, where it adapts anew to every fold."""
LINEAR_REPEATS = 2
"""Repeats of the folds that a linear head is fitted to."""
CHEAP = 0.25
"""Processor seconds within which a start is held out at once; others wait for the cheaper ones."""

BY_STEPS = "by gradient steps"
BY_LINE = "by a linear head"


@dataclass(frozen=True, eq=False)
class Shown:
    """What a candidate shows on a support set.

    Args:
        choice: a start's name, `FROM_SCRATCH`, `VOTE`, or the name of a plain classifier.
        start: the start; None for the others.
        held: its held-out answers; None where nothing could be held out, or no time was left.
        seconds: of one adaptation to the whole set; NaN where that is not known.
        tuning: how it was adapted; None where there is nothing to choose.
        novelty: of the task to the start; NaN where unknown.
        scores: transferability scores by name.
        notes: what a person should know, in words.
        preparation: how rows became a start's inputs; None for the others.
        can_step: whether it is a start that gradient steps can move.
        can_shift: whether it can see images shifted, too, by its own rule.
        variant: how it is fitted, where it has a rule of its own, too: `BY_STEPS`, `BY_LINE`; "".
        parts: those that vote, where it is a vote.
        failed: why it could not be fitted; "" where it could, or nobody tried.
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
    can_step: bool = False
    can_shift: bool = False
    variant: str = ""
    parts: tuple[Shown, ...] = ()
    failed: str = ""

    @property
    def label(self) -> str:
        """What tells it from all other candidates."""
        return f"{self.choice}, {self.variant}" if self.variant else self.choice


@dataclass(frozen=True, eq=False)
class Trial:
    """One support set and how candidates are judged on it.

    Args:
        support: what is learned from and held out.
        folds: of its rows.
        kept: share of all rows there are that a fold learns from.
        patience: after which nothing more is held out.
        seed: of whatever is left to chance.
    """

    support: SupportSet
    folds: Folds
    kept: float = 1.0
    patience: Patience = field(default_factory=Patience)
    seed: int = 0

    @property
    def n_way(self) -> int:
        """Classes of the support set."""
        return len(self.support.classes)

    @cached_property
    def alike(self) -> bool:
        """Whether no column of a table varies: nothing tells its classes apart."""
        if self.support.kind == "images":
            return False
        return not np.ptp(prepare(None, self.support).array(self.support), axis=0).any()

    def late(self) -> bool:
        """Whether the time is spent."""
        return self.patience.over()


def show_start(
    trial: Trial, start: Start, module: nn.Module | None = None, *, whatever_it_takes: bool = False
) -> Shown | str:
    """Return what a start shows by its own rule, or why it cannot be used here.

    Args:
        trial: the support set.
        start: of the registry.
        module: the user's own module, where the start is one's weights.
        whatever_it_takes: hold rows out even where that takes more than about `CHEAP` seconds.
    """
    if reason := fault(start) or misfit(start, trial.support):
        return reason
    try:
        return _shown(trial, load_start(start, module=module), whatever_it_takes)
    except Exception as error:  # any library's, or the user's own module's
        return why_failed(error)


def why_failed(error: Exception) -> str:
    """Return why a candidate cannot be fitted, in words."""
    if isinstance(error, InvalidInputError | LearnerError):
        return str(error)
    return f"fitting it failed: {type(error).__name__}: {str(error)[:200]}"


def _shown(trial: Trial, loaded: LoadedStart, whatever_it_takes: bool) -> Shown:
    tuning = usual_tuning(loaded.learner, trial.n_way)
    can_step = "gradient" in modes_of(loaded.learner, trial.n_way)
    loaded, notes = _wide_enough(loaded, trial.n_way)
    upright = prepare(loaded.start, trial.support)
    examples = upright.tensors(trial.support)
    began, spent = time.monotonic(), time.thread_time()
    loaded.learner.adapt(loaded.state, examples, trial.n_way)
    seconds, spent = time.monotonic() - began, time.thread_time() - spent
    folds = trial.folds if compares(loaded.learner) else _affordable(trial.folds, spent)
    cheap = compares(loaded.learner) or spent * len(folds) < CHEAP or whatever_it_takes
    if not len(folds):
        preparation, held = suited(loaded, trial.support, trial.seed), None
    elif cheap and not trial.late():
        preparation, held = _held(trial, loaded, upright, folds)
    else:
        preparation, held = upright, None
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
        can_step,
        compares(loaded.learner) and trial.support.kind == "images",
    )


def show_linear(trial: Trial, own: Shown, module: nn.Module | None = None) -> Shown | None:
    """Return what a start shows by a linear head on its embeddings; None where it can have none.

    Args:
        trial: the support set.
        own: what the start shows by its own rule.
        module: the user's own module, where the start is one's weights.
    """
    start, how = own.start, own.preparation
    if start is None or how is None or own.tuning is None or own.tuning.mode != "adapt":
        return None
    loaded = load_start(start, module=module)
    if "linear" not in modes_of(loaded.learner, trial.n_way):
        return None
    examples, folds = how.tensors(trial.support), trial.folds.repeats(LINEAR_REPEATS)
    import_module("sklearn.linear_model")  # slow the first time, which is no part of fitting
    began = time.monotonic()
    linear_head(loaded.learner, loaded.state, examples, trial.n_way)
    seconds, held = time.monotonic() - began, None
    if len(folds) and not trial.late():
        held = held_out_linear(loaded.learner, loaded.state, examples, trial.n_way, folds)
    return replace(own, held=held, seconds=seconds, tuning=LINEAR, variant=BY_LINE)


def _held(
    trial: Trial, loaded: LoadedStart, upright: Preparation, folds: Folds
) -> tuple[Preparation, HeldOut]:
    """Return how images are suited, told by one repeat, and answers for all folds that way."""

    def tried(way: Preparation, part: Folds) -> HeldOut:
        examples = way.tensors(trial.support)
        return held_out(loaded.learner, loaded.state, examples, trial.n_way, part)

    once, rest = folds.split(len(trial.folds) // trial.folds.n_repeats)
    preparation, held = upright, tried(upright, once)
    if upright.kind == "images":
        other = tried(upright.turned(), once)
        if turning(held, other):
            note = "light and dark are exchanged: more held-out rows are right that way"
            preparation = replace(upright.turned(), notes=(*upright.notes, note))
            held = other
    return preparation, held.joined(tried(preparation, rest)) if len(rest) else held


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
