"""What is said of starts for a support set: the advice, what speaks for it, and who was refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metastore.starts import Start

if TYPE_CHECKING:
    from recommenders.starts.cross_validation import HeldOut
    from recommenders.starts.inputs import Preparation
    from recommenders.starts.tuning import Tuning


@dataclass(frozen=True)
class StartEvidence:
    """What speaks for a candidate; NaN and 0 where there is nothing.

    Args:
        validation: accuracy that its validation says for so many classes and examples.
        held_out: accuracy on rows of the support set that were held out.
        held_out_interval: 80%, of `held_out` alone.
        log_loss: of those rows, in nats, at the best temperature.
        n_held: how many rows could be held out.
        novelty: distance to the tasks it was trained on, over the distance among those.
        scores: LogME, H-score, and LEEP where there is a source head; larger is better.
        past_tasks: earlier tasks in the store that it was fine-tuned on.
        notes: what a person should know.
    """

    validation: float = math.nan
    held_out: float = math.nan
    held_out_interval: tuple[float, float] = (math.nan, math.nan)
    log_loss: float = math.nan
    n_held: int = 0
    novelty: float = math.nan
    scores: Mapping[str, float] = field(default_factory=dict, hash=False)
    past_tasks: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """One that votes.

    Args:
        choice: a start's name, or the name of a plain classifier.
        start: the start; None for the others.
        tuning: how it is fitted; None where there is nothing to choose.
        preparation: how rows become a start's inputs; None for the others.
        temperature: what its log-odds are divided by before the probabilities are averaged.
    """

    choice: str
    start: Start | None
    tuning: Tuning | None
    preparation: Preparation | None = field(default=None, repr=False, compare=False)
    temperature: float = 1.0

    @property
    def label(self) -> str:
        """The choice, and how a start is fitted where that is not its own rule."""
        if self.start is None or self.tuning is None or self.tuning.mode == "adapt":
            return self.choice
        if self.tuning.mode == "linear":
            return f"{self.choice}, by a linear head"
        return f"{self.choice}, by {self.tuning.steps} gradient steps"


@dataclass(frozen=True)
class StartAdvice:
    """One candidate, what to expect of it, and why.

    Args:
        choice: a start's name, "from scratch", or the name of a plain classifier.
        start: the start; None for the others.
        accuracy: expected on new rows of the same classes, after adapting to the whole set.
        interval: 80%.
        seconds: of adapting, measured here; NaN where it was not tried.
        tuning: how to fine-tune; None for a plain classifier.
        evidence: what speaks for it.
        reason: in a sentence.
        preparation: how images became the start's inputs, light and dark the right way round;
            None where there is nothing to choose.
        parts: those that vote; empty where it is no vote.
        held: its held-out answers; None where there are none.
    """

    choice: str
    start: Start | None
    accuracy: float
    interval: tuple[float, float]
    seconds: float
    tuning: Tuning | None
    evidence: StartEvidence
    reason: str
    preparation: Preparation | None = field(default=None, repr=False, compare=False)

    parts: tuple[Part, ...] = ()
    held: HeldOut | None = field(default=None, repr=False, compare=False)

    @property
    def label(self) -> str:
        """The choice, and how a start is fitted where that is not its own rule."""
        return Part(self.choice, self.start, self.tuning).label


@dataclass(frozen=True)
class StartsAnswer:
    """The advice for one support set.

    Args:
        support: what it is called.
        n_way: its classes.
        counts: rows of each class.
        ranked: the advice, the best first.
        refused: starts that cannot be used, by name, with the reason.
        tied: names of candidates that cannot be told from the first.
        notes: what a person should know of the set as a whole.
        seconds: how long the answer took.
    """

    support: str
    n_way: int
    counts: tuple[int, ...]
    ranked: tuple[StartAdvice, ...]
    refused: tuple[tuple[str, str], ...] = ()
    tied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = math.nan

    @property
    def best(self) -> StartAdvice:
        """The first of the ranking."""
        return self.ranked[0]

    def text(self, width: int = 100) -> str:
        """Return the answer in words."""
        from recommenders.starts.words import text  # noqa: PLC0415 - it needs this module

        return text(self, width)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON values; what is not known is null."""
        return {
            "support": self.support,
            "n_way": self.n_way,
            "counts": list(self.counts),
            "ranked": [_entry(one) for one in self.ranked],
            "tied": list(self.tied),
            "refused": [{"start": name, "reason": reason} for name, reason in self.refused],
            "notes": list(self.notes),
            "seconds": _known(self.seconds),
        }


def _entry(advice: StartAdvice) -> dict[str, Any]:
    evidence = advice.evidence
    return {
        "choice": advice.choice,
        "start_id": None if advice.start is None else str(advice.start.start_id),
        "accuracy": _known(advice.accuracy),
        "interval": [_known(end) for end in advice.interval],
        "seconds": _known(advice.seconds),
        "tuning": None if advice.tuning is None else advice.tuning.config(),
        "votes": [part.label for part in advice.parts],
        "reason": advice.reason,
        "evidence": {
            "validation": _known(evidence.validation),
            "held_out": _known(evidence.held_out),
            "held_out_interval": [_known(end) for end in evidence.held_out_interval],
            "log_loss": _known(evidence.log_loss),
            "n_held": evidence.n_held,
            "novelty": _known(evidence.novelty),
            "scores": {name: _known(value) for name, value in evidence.scores.items()},
            "past_tasks": evidence.past_tasks,
            "notes": list(evidence.notes),
        },
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
