"""Which start a fine-tuning begins from: the one that was named, or the recommended one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from metastore.errors import InvalidInputError, UnknownNameError
from recommenders.starts.inputs import misfit
from recommenders.starts.plain_classifiers import PLAIN
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import Tuning

if TYPE_CHECKING:
    from torch import nn

    from metastore.starts import Start
    from metastore.store import MetaStore
    from recommenders.starts.advice import Part
    from recommenders.starts.cross_validation import HeldOut
    from recommenders.starts.inputs import Preparation

AUTO = "auto"
FROM_SCRATCH = "from scratch"
CHOOSING_SECONDS = 20.0
"""Candidates are tried no longer than this before one is taken."""


@dataclass(frozen=True)
class Settings:
    """How a fine-tuning is done.

    Args:
        start: a start's name or id, "from scratch", one of `PLAIN`, or "auto" for the one that
            `recommenders.starts.recommend` puts first.
        tuning: the settings; None for what the store's past fine-tunings recommend.
        trials: tunings to try and to record; the best by held-out rows is kept.
        device: "auto", "cpu" or "cuda".
        seed: of whatever is left to chance.
        modules: the user's own torch modules by the name of their start.
        record: whether the store gets the runs.
    """

    start: str = AUTO
    tuning: Tuning | None = None
    trials: int = 1
    device: str = AUTO
    seed: int = 0
    modules: Mapping[str, nn.Module] = field(default_factory=dict, hash=False)
    record: bool = True

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise InvalidInputError(
                f"how many tunings to try? Expected 1 or more, got {self.trials}"
            )
        if self.tuning is not None and self.trials > 1:
            raise InvalidInputError("give either a tuning or a number of trials, not both")


@dataclass(frozen=True)
class Chosen:
    """What a fine-tuning begins from.

    Args:
        name: a start's name, "from scratch", "vote", or one of `PLAIN`.
        start: the start; None for the others.
        reason: in words.
        tuning: what comes with the recommendation; None where nothing does.
        preparation: how rows become the start's inputs, where the recommendation says.
        parts: those that vote; empty where it is no vote.
        held: what it answered for rows that were held out when it was chosen; None where it was
            asked for, or none could be.
    """

    name: str
    start: Start | None
    reason: str
    tuning: Tuning | None = None
    preparation: Preparation | None = None
    parts: tuple[Part, ...] = ()
    held: HeldOut | None = None


def choose(store: MetaStore, support: SupportSet, asked: Settings) -> Chosen:
    """Return what to begin from.

    Raises:
        UnknownNameError: if there is no such start.
        InvalidInputError: if the named start does not take the support set.
    """
    name = asked.start
    if name == AUTO:
        return _recommended(store, support, asked)
    if name in (*PLAIN, FROM_SCRATCH):
        return Chosen(name, None, "as asked for")
    try:
        start = store.start(name)
    except UnknownNameError as error:
        others = ", ".join(map(repr, (FROM_SCRATCH, *PLAIN)))
        raise UnknownNameError(f"{error}. Besides starts there are: {others}") from error
    if reason := misfit(start, support):
        raise InvalidInputError(
            f"start {start.name!r} cannot be fine-tuned on {support.name or 'this'}: {reason}"
        )
    return Chosen(start.name, start, "as asked for")


def _recommended(store: MetaStore, support: SupportSet, asked: Settings) -> Chosen:
    if find_spec("torch") is None:
        return Chosen("logistic regression", None, "without torch there are no starts")
    from recommenders.starts.recommending import Asked, answer  # noqa: PLC0415 - only where nobody chose

    # A vote has no tuning: whoever tries several wants one start.
    question = Asked(1, asked.modules, asked.seed, CHOOSING_SECONDS, by_vote=asked.trials == 1)
    best = answer(store, support, question).best
    return Chosen(
        best.choice, best.start, best.reason, best.tuning, best.preparation, best.parts, best.held
    )
