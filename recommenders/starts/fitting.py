"""Fits a start, an untrained network or a plain classifier to a support set.

How long gradient steps go on is settled before the first one. Where every class has a dozen
examples, a quarter of each is held out, the best step by their loss is found, and as many steps
are taken again on all rows. Where rows are given to hold out, the best step by them is kept.
Where neither is so, all steps are taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from learners.embedding import EmbeddingLearner
from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.learner import Learner, State
from learners.networks import MLP, Conv4, Network
from learners.protonet import ProtoNet
from learners.shifted import Shifted
from metastore.errors import InvalidInputError
from recommenders.starts.choice import FROM_SCRATCH
from recommenders.starts.evidence import compares
from recommenders.starts.fitted import Fitted, Model
from recommenders.starts.gradient_tuning import Chunks, Descent, Point
from recommenders.starts.heads import FIXED, Tunable, modes_of, resized, tunable
from recommenders.starts.inputs import Preparation, prepare
from recommenders.starts.linear_heads import linear_head
from recommenders.starts.neural_models import LearnerModel, NetworkModel
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import GRADIENT, SCRATCH, Tuning

if TYPE_CHECKING:
    from recommenders.starts.loading import LoadedStart

LEAST_TO_HOLD_OUT = 12
"""Examples that every class needs before a part of them is held out: few rows stop too early."""
HELD_OUT = 4
"""One in so many is held out."""


@dataclass(frozen=True)
class _Fit:
    """What came of fitting: a model, and how it went."""

    model: Model
    rule: str
    curve: tuple[Point, ...] = ()
    notes: tuple[str, ...] = ()


def usual_tuning(learner: Learner, n_classes: int) -> Tuning:
    """Return what a learner gets where nothing is known: its own rule if it has room."""
    return Tuning() if "adapt" in modes_of(learner, n_classes) else GRADIENT


def fit_start(  # noqa: PLR0913 - what a fit can be told
    loaded: LoadedStart,
    preparation: Preparation,
    support: SupportSet,
    tuning: Tuning | None = None,
    *,
    device: str = "cpu",
    seed: int = 0,
    held_out: SupportSet | None = None,
) -> Fitted:
    """Return a start fitted to a support set.

    Args:
        loaded: the start with its weights.
        preparation: how rows become its inputs, as `prepare` gives.
        support: the labelled rows.
        tuning: the settings; None for the learner's own rule, or gradient steps where it has
            no room for so many classes.
        device: "cpu" or "cuda".
        seed: of augmentation and of what is held out.
        held_out: rows to stop gradient steps by; None holds some of the support set out where
            there are enough.

    Raises:
        InvalidInputError: if the start does not have the mode or the views, or training
            diverges.
    """
    n_classes = len(support.classes)
    chosen = usual_tuning(loaded.learner, n_classes) if tuning is None else tuning
    _check_mode(loaded, chosen, n_classes)
    _check_views(loaded, chosen, preparation)
    began = time.perf_counter()
    state = {name: value.to(device) for name, value in loaded.state.items()}
    examples = preparation.tensors(support).to(device)
    if chosen.mode == "adapt":
        fit = _adapted(loaded.learner, state, examples, chosen, (n_classes, seed))
    elif chosen.mode == "linear":
        fit = _regressed(loaded.learner, state, examples, chosen, n_classes)
    else:
        held = None if held_out is None else preparation.tensors(held_out).to(device)
        begin = partial(tunable, loaded.learner, state, n_classes=n_classes)
        fit = _descended(begin, chosen, examples, seed, held)
    made = Fitted(loaded.start.name, fit.model, preparation, support.classes, chosen)
    return _told(made, fit, began)


def fit_scratch(  # noqa: PLR0913 - what a fit can be told
    support: SupportSet,
    tuning: Tuning = SCRATCH,
    *,
    like: LoadedStart | None = None,
    preparation: Preparation | None = None,
    device: str = "cpu",
    seed: int = 0,
    held_out: SupportSet | None = None,
) -> Fitted:
    """Return an untrained network fitted to a support set.

    Args:
        support: the labelled rows.
        tuning: gradient steps; "adapt" makes no sense here.
        like: a start whose architecture to take; None takes four convolutions for images and
            two layers of 64 for tables.
        preparation: how rows become inputs; by default what `like` takes.
        device: "cpu" or "cuda".
        seed: of the network, of augmentation and of what is held out.
        held_out: rows to stop by; as for `fit_start`.

    Raises:
        InvalidInputError: if the tuning is no gradient steps, or training diverges.
    """
    if tuning.mode != "gradient":
        raise InvalidInputError("an untrained network learns by gradient steps: mode='gradient'")
    began = time.perf_counter()
    if preparation is None:
        preparation = prepare(like.start if like is not None else None, support)
    learner = _untrained(like, preparation)
    state = {name: value.to(device) for name, value in learner.init(seed).items()}
    examples = preparation.tensors(support).to(device)
    held = None if held_out is None else preparation.tensors(held_out).to(device)
    begin = partial(tunable, learner, state, n_classes=len(support.classes))
    fit = _descended(begin, tuning, examples, seed, held)
    made = Fitted(FROM_SCRATCH, fit.model, preparation, support.classes, tuning)
    return _told(made, fit, began)


def _told(made: Fitted, fit: _Fit, began: float) -> Fitted:
    return replace(
        made,
        rule=fit.rule,
        curve=fit.curve,
        notes=(*made.preparation.notes, *fit.notes),
        seconds=time.perf_counter() - began,
    )


def _check_mode(loaded: LoadedStart, tuning: Tuning, n_classes: int) -> None:
    modes = modes_of(loaded.learner, n_classes)
    if tuning.mode not in modes:
        raise InvalidInputError(
            f"start {loaded.start.name!r} cannot be fine-tuned by {tuning.mode!r} for "
            f"{n_classes} classes; it can by: {', '.join(modes) or 'nothing'}"
        )


def _check_views(loaded: LoadedStart, tuning: Tuning, preparation: Preparation) -> None:
    if tuning.views == "one":
        return
    if preparation.kind != "images" or (tuning.mode == "adapt" and not compares(loaded.learner)):
        raise InvalidInputError(
            f"start {loaded.start.name!r} cannot see rows shifted by {tuning.mode!r}: views are "
            "of images, and of starts that embed and compare, or of gradient steps"
        )


def _seeing(learner: Learner, tuning: Tuning) -> Any:
    """Return a learner whose network sees an image as often as a tuning says."""
    if tuning.views == "one":
        return learner
    whole: Any = learner
    return replace(whole, network=Shifted(whole.network))


def _untrained(like: LoadedStart | None, preparation: Preparation) -> Learner:
    network = getattr(like.learner, "network", None) if like is not None else None
    if network is not None and like is not None:
        return like.learner
    if preparation.kind == "images":
        return ProtoNet(Conv4(0, preparation.shape[0], side=preparation.shape[1]))
    return ProtoNet(MLP((preparation.shape[0], 64, 64)))


def _adapted(
    learner: Learner, state: State, examples: Examples, tuning: Tuning, drawn: tuple[int, int]
) -> _Fit:
    """Return a learner after its own rule, for so many classes and by a seed."""
    n_classes, seed = drawn
    learner, state = resized(learner, state, n_classes)
    if learner.ordered:
        # Sorted by class, the place in the sequence would tell the label.
        order = np.random.default_rng(seed).permutation(len(examples.y))
        examples = _rows(examples, order)
    state = _measured(learner, state, examples, n_classes)
    learner = _seeing(learner, tuning)
    try:
        predictor = learner.adapt(state, examples, n_classes)
    except LearnerError as error:
        raise InvalidInputError(f"the start cannot adapt to this: {error}") from error
    model = LearnerModel(learner, state, predictor.context, n_classes)
    return _Fit(model, "adapted by the learner's own rule")


def _measured(learner: Learner, state: State, examples: Examples, n_classes: int) -> State:
    """Return a state with statistics: a prediction must not depend on other queries."""
    if not isinstance(learner, EmbeddingLearner) or any(name.endswith(FIXED) for name in state):
        return state
    alone = Examples(*(values[None] for values in examples))
    return learner.finish(state, Episodes(alone, alone, n_classes))


def _regressed(
    learner: Learner, state: State, examples: Examples, tuning: Tuning, n_classes: int
) -> _Fit:
    """Return a network with a linear head; its normalisations stay as they were measured."""
    state = _measured(learner, state, examples, n_classes)
    made = linear_head(_seeing(learner, tuning), state, examples, n_classes)
    model = NetworkModel(made.network, made.params, made.head)
    return _Fit(model, "a linear head on its embeddings")


def _descended(
    begin: Callable[..., Tunable],
    tuning: Tuning,
    examples: Examples,
    seed: int,
    held: Examples | None,
) -> _Fit:
    """Return a network after gradient steps, as many as held-out rows say."""
    chunks = Chunks()
    whole = chunks.size
    steps, rule = tuning.steps, f"{tuning.steps} steps: too few examples a class to hold any out"
    curve: list[Point] = []
    counts = torch.bincount(examples.y)
    if held is None and int(counts[counts > 0].min()) >= LEAST_TO_HOLD_OUT:
        inner, outer = _split(examples, seed)
        # The head begins at the prototypes of the rows that it may see.
        first = Descent(begin(x=inner.x, y=inner.y), tuning, inner, seed, chunks)
        _, steps = first.run(tuning.steps, outer)
        curve = first.curve
        rule = (
            f"stopped at step {steps} of {tuning.steps}, where the loss of "
            f"{len(outer.y)} held-out rows was least, and trained again on all rows"
        )
    last = Descent(begin(x=examples.x, y=examples.y), tuning, examples, seed, chunks)
    params, at = last.run(steps, held)
    if held is not None:
        rule = f"stopped at step {at} of {steps}, where the loss of the given rows was least"
    start = last.tunable
    note = f"memory ran out: {chunks.size} rows at once instead of {whole}"
    return _Fit(
        NetworkModel(_network(start.network, tuning), params, start.head),
        rule,
        tuple(curve or last.curve),
        (note,) if chunks.halved else (),
    )


def _network(network: Network, tuning: Tuning) -> Network:
    return network if tuning.views == "one" else Shifted(network)


def _split(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    """Return three quarters of each class to learn from and the rest to hold out."""
    labels = examples.y.cpu().numpy()
    random = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        held[rows[: len(rows) // HELD_OUT]] = True
    return _rows(examples, np.flatnonzero(~held)), _rows(examples, np.flatnonzero(held))


def _rows(examples: Examples, rows: NDArray[np.int64]) -> Examples:
    index = torch.from_numpy(rows).to(examples.y.device)
    return Examples(*(values[index] for values in examples))
