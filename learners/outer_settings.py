"""How long and how a learner is meta-trained, and what comes of it; `learners.training` does it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from learners.checkpoint import Report
from learners.episode import Examples
from learners.errors import LearnerError
from learners.execution import Execution
from learners.learner import Learner, Predictor, State

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1 - done,
}
"""What is left of the outer rate, by the share of the budget that is spent."""


@dataclass(frozen=True)
class Budget:
    """How long to train; the first bound that is reached ends it.

    Args:
        iterations: meta-iterations; the schedule of the outer rate spans them.
        seconds: wall-clock seconds of this call, None for no bound.
        patience: validations without a better score; 0 for no early stopping.
        by_time: whether the schedule spans the seconds of this call, too: it is as far as the
            bound that is nearer. What is cut and resumed then ends in other bits.

    Raises:
        LearnerError: if a bound is below 0, or the schedule is to span seconds that there are
            none of.
    """

    iterations: int
    seconds: float | None = None
    patience: int = 0
    by_time: bool = False

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise LearnerError(f"iterations is 0 or more, got {self.iterations}")
        if self.patience < 0 or (self.seconds is not None and not self.seconds >= 0):
            raise LearnerError(
                f"patience and seconds are 0 or more; got {self.patience} and {self.seconds}"
            )
        if self.by_time and not self.seconds:
            raise LearnerError("by_time needs seconds to span: Budget(..., seconds=...)")


@dataclass(frozen=True)
class Training:
    """Settings of the outer loop.

    Args:
        meta_batch: episodes an iteration.
        rate: outer learning rate.
        optimizer: "adam" or "sgd".
        schedule: "constant", "cosine" or "linear", the latter two down to 0.
        clip: largest absolute value of a gradient's entry; None for no clipping.
        seed: of the initial state.
        validate_every: iterations between validations.
        validation_episodes: episodes of one validation.
        checkpoint: path of the JSON file, a `Path` or its text; None keeps no checkpoint.
        checkpoint_every: iterations between checkpoints.
        progress: whether to show a progress bar.
        execution: how batches run.
        about: JSON values to keep in the checkpoint's sidecar, such as how inputs were scaled.
        start: values to begin with instead of the learner's fresh ones, by their names in its
            state: an embedding `net.*` that another method trained, say, or the whole state of a
            training that ended. What that measured at its end is measured anew.
        watch: called with every line of the learning curve as it is written.
    """

    meta_batch: int = 32
    rate: float = 1e-3
    optimizer: str = "adam"
    schedule: str = "constant"
    clip: float | None = None
    seed: int = 0
    validate_every: int = 500
    validation_episodes: int = 200
    checkpoint: Path | None = None
    checkpoint_every: int = 500
    progress: bool = True
    execution: Execution = field(default_factory=Execution)
    about: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    watch: tuple[Callable[[Report], None], ...] = ()

    def __post_init__(self) -> None:
        if self.optimizer not in ("adam", "sgd") or self.schedule not in SCHEDULES:
            raise LearnerError(
                "optimizer is 'adam' or 'sgd', schedule one of "
                f"{sorted(SCHEDULES)}; got {self.optimizer!r} and {self.schedule!r}"
            )
        for name in ("meta_batch", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise LearnerError(f"{name} is 1 or more, got {getattr(self, name)}")
        if isinstance(self.checkpoint, str):
            object.__setattr__(self, "checkpoint", Path(self.checkpoint))
        try:
            json.dumps(dict(self.about))
        except (TypeError, ValueError) as error:
            raise LearnerError(f"about holds JSON values, to be kept as such: {error}") from error
        if not self.rate >= 0:
            raise LearnerError(f"rate is 0 or more, got {self.rate}")
        if self.clip is not None and not self.clip > 0:
            raise LearnerError(f"clip is above 0, or None; got {self.clip}")


@dataclass(frozen=True)
class Trained:
    """A learner with what it learned.

    Args:
        learner: the method and its network.
        state: the state to predict with: the best validated one where there was validation.
        history: the learning curve.
        iterations: meta-iterations done.
    """

    learner: Learner
    state: State = field(repr=False)
    history: tuple[Report, ...] = ()
    iterations: int = 0

    def adapt(self, support: Examples, n_way: int | None = None) -> Predictor:
        """Learn from support sets; see `Learner.adapt`."""
        return self.learner.adapt(self.state, support, n_way)
