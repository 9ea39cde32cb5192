"""What each candidate for a support set shows: every start that takes it, and what needs none.

Candidates are judged on the same folds. A start that cannot be loaded or does not take the set
is refused with its reason; a candidate for which no time is left keeps what is believed of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from learners.embedding import EmbeddingLearner
from learners.episode import Examples
from learners.errors import LearnerError
from learners.networks import MLP, Conv4, under_net, without_net
from learners.protonet import ProtoNet
from metastore.errors import InvalidInputError
from metastore.starts import Start
from recommenders.cross_validation import Folds, HeldOut, IntArray
from recommenders.start_evidence import embedded, held_out, novelty, without_head
from recommenders.start_inputs import misfit, prepare
from recommenders.start_loading import LoadedStart, load_start
from recommenders.support_set import SupportSet
from recommenders.transferability import h_score, leep, logme

if TYPE_CHECKING:
    from torch import nn

    from recommenders.start_inputs import Preparation

SCRATCH = "from scratch"


@dataclass(frozen=True, eq=False)
class Shown:
    """What a candidate shows on a support set.

    Args:
        choice: a start's name, `SCRATCH`, or the name of a plain classifier.
        start: the start; None for the others.
        held: its held-out answers; None where nothing could be held out, or no time was left.
        seconds: of one adaptation to the whole set; NaN where that is not known.
        tuning: how it was adapted; None where there is nothing to choose.
        novelty: of the task to the start; NaN where unknown.
        scores: transferability scores by name.
        notes: what a person should know, in words.
    """

    choice: str
    start: Start | None = None
    held: HeldOut | None = None
    seconds: float = math.nan
    tuning: Tuning | None = None
    novelty: float = math.nan
    scores: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


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
    began = time.monotonic()
    try:
        loaded = load_start(start, module=module)
        preparation = prepare(start, trial.support)
        return _shown(trial, loaded, preparation, began)
    except (InvalidInputError, LearnerError) as error:
        return str(error)


def _shown(trial: Trial, loaded: LoadedStart, preparation: Preparation, began: float) -> Shown:
    examples = preparation.tensors(trial.support)
    loaded, notes = _wide_enough(loaded, trial.n_way)
    with torch.no_grad():
        loaded.learner.adapt(loaded.state, examples, trial.n_way)
        z = embedded(loaded.learner, loaded.state, examples)
    seconds = time.monotonic() - began
    held = None
    if len(trial.folds) and not trial.late():
        folds = trial.folds
        if not isinstance(loaded.learner, ProtoNet):
            folds = _affordable(folds, seconds, trial)
        held = held_out(loaded.learner, loaded.state, examples, trial.n_way, folds)
    return Shown(
        loaded.start.name,
        loaded.start,
        held,
        seconds,
        _novelty(loaded, z),
        _scores(loaded, examples, z),
        preparation.notes + notes,
    )


def _affordable(folds: Folds, seconds: float, trial: Trial) -> Folds:
    """Return as many repeats as fit into a tenth of what is left, at least one."""
    left = trial.deadline - time.monotonic()
    if math.isinf(left):
        return folds
    per_repeat = max(seconds, 1e-3) * len(folds) / folds.n_repeats
    return folds.repeats(int(0.1 * left / per_repeat))


def _wide_enough(loaded: LoadedStart, n_way: int) -> tuple[LoadedStart, tuple[str, ...]]:
    """Return a start that tells `n_way` classes apart: by prototypes where its head is too small."""
    network = getattr(loaded.learner, "network", None)
    head = network.n_out if isinstance(network, Conv4) else 0
    head = network.sizes[-1] if isinstance(network, MLP) else head
    if isinstance(loaded.learner, EmbeddingLearner) or not head or head >= n_way:
        return loaded, ()
    body, params = without_head(network, without_net(loaded.state))
    said = f"its head tells {head} classes apart and there are {n_way}: judged by prototypes"
    return replace(loaded, learner=ProtoNet(body), state=under_net(params)), (said,)


def _novelty(loaded: LoadedStart, z: Tensor) -> float:
    tasks = None if loaded.tasks is None else loaded.tasks.double().cpu().numpy()
    if tasks is None or tasks.ndim != 2 or tasks.shape[1] != z.shape[1]:
        return math.nan
    return novelty(z.mean(0).double().cpu().numpy(), tasks)


@torch.no_grad()
def _scores(loaded: LoadedStart, examples: Examples, z: Tensor) -> dict[str, float]:
    """Return transferability scores of finite embeddings; LEEP where there is a source head."""
    labels, found = examples.y.cpu().numpy(), {}
    rows = z.double().cpu().numpy()
    if np.isfinite(rows).all() and np.ptp(rows, axis=0).any():
        found = {"logme": logme(rows, labels), "h_score": h_score(rows, labels)}
    network = getattr(loaded.learner, "network", None)
    if loaded.start.method == "pretrained" and loaded.start.n_way and network is not None:
        answers = network(without_net(loaded.state), examples.x, examples.mask)
        if answers.shape == (len(labels), loaded.start.n_way):
            found["leep"] = leep(answers.double().softmax(1).cpu().numpy(), labels)
    return found


Fit = Callable[[SupportSet], Any]
"""From labelled examples to something with `probabilities(query)` `(n, n_classes)`."""


def show_fit(trial: Trial, choice: str, fit: Fit, *, repeats: int = 1) -> Shown:
    """Return what a candidate shows that is fitted from nothing on every fold.

    Args:
        trial: the support set.
        choice: what to call it.
        fit: fits it.
        repeats: of the folds; fewer where the time is spent before.
    """
    if not len(trial.folds) or trial.late():
        return Shown(choice, notes=() if not len(trial.folds) else ("no time was left to try it",))
    folds = trial.folds.repeats(repeats)
    answers: list[Any] = []
    began = time.monotonic()
    for train, held in zip(folds.train, folds.held, strict=True):
        if answers and trial.late():
            break
        fitted = fit(trial.support.take(train))
        answers.append(fitted.probabilities(trial.support.take(held)))
    seconds = (time.monotonic() - began) / len(answers)
    rows = np.concatenate(folds.held[: len(answers)])
    labels: IntArray = trial.support.labels[rows]
    log_odds = np.log(np.maximum(np.concatenate(answers), 1e-12))
    return Shown(choice, held=HeldOut(log_odds, labels, rows), seconds=seconds)
