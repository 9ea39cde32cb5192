"""Which start a fine-tuning begins from: the one that was named, or the recommended one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from metastore.errors import InvalidInputError, MissingDependencyError, UnknownNameError
from metastore.start_checks import fault
from recommenders.starts.fitted import VOTE
from recommenders.starts.inputs import misfit
from recommenders.starts.plain_classifiers import PLAIN
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import Tuning

if TYPE_CHECKING:
    from torch import nn

    from metastore.starts import Start
    from metastore.store import MetaStore
    from recommenders.starts.advice import Part, StartAdvice
    from recommenders.starts.cross_validation import HeldOut
    from recommenders.starts.inputs import Preparation

AUTO = "auto"
FROM_SCRATCH = "from scratch"
OF_NO_STORE = (AUTO, VOTE, FROM_SCRATCH, *PLAIN)
"""What can be asked for where no store keeps starts."""
CHOOSING_SECONDS = 20.0
"""Candidates are tried no longer than so many processor seconds before one is taken."""
_EVERY = 10_000


@dataclass(frozen=True)
class Settings:
    """How a fine-tuning is done.

    Args:
        start: a start's name or id, "from scratch", one of `PLAIN`, "vote" for the best candidates
            together, or "auto" for what `recommenders.starts.recommend` puts first.
        tuning: the settings; None for what the store's past fine-tunings recommend.
        trials: tunings to try and to record; the best by held-out rows is kept.
        device: "auto", "cpu" or "cuda".
        seed: of whatever is left to chance; on how many rows slow candidates are tried goes by
            the time they take.
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
        if not isinstance(self.modules, Mapping):
            raise InvalidInputError(
                "modules: expected your own torch modules by the name of their start, such as "
                f"modules={{'mine': module}}, got {type(self.modules).__name__}"
            )
        if self.start == VOTE and not self.may_vote:
            raise InvalidInputError(
                "each part of a vote is fitted by its own rule: leave out tuning and trials, or "
                "name one start"
            )

    @property
    def may_vote(self) -> bool:
        """Whether nothing is asked for that a vote does not have: a tuning, or several."""
        return self.tuning is None and self.trials == 1


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
        InvalidInputError: if the named start does not take the support set, or there are not two
            candidates that could vote.
    """
    name = asked.start
    if name in (AUTO, VOTE):
        return _recommended(store, support, asked)
    if name in (*PLAIN, FROM_SCRATCH):
        return Chosen(name, None, "as asked for")
    try:
        start = store.start(name)
    except UnknownNameError as error:
        raise no_start(str(error)) from error
    if reason := fault(start) or misfit(start, support):
        raise InvalidInputError(
            f"start {start.name!r} cannot be fine-tuned on {support.name or 'this'}: {reason}"
        )
    return Chosen(start.name, start, "as asked for")


def no_start(why: str) -> UnknownNameError:
    """Return the error for a start that there is not."""
    others = ", ".join(map(repr, (FROM_SCRATCH, *PLAIN, VOTE)))
    return UnknownNameError(f"{why}. Besides starts there are: {others}")


def _recommended(store: MetaStore, support: SupportSet, asked: Settings) -> Chosen:
    if find_spec("torch") is None:
        if asked.start == VOTE:
            raise MissingDependencyError("a vote needs torch: pip install 'headstart[learners]'")
        return Chosen("logistic regression", None, "without torch there are no starts")
    from recommenders.starts.recommending import Asked, answer  # noqa: PLC0415 - only where nobody chose

    question = Asked(_EVERY, asked.modules, asked.seed, CHOOSING_SECONDS, by_vote=asked.may_vote)
    ranked = answer(store, support, question).ranked
    best = _the_vote(ranked, support) if asked.start == VOTE else ranked[0]
    return Chosen(
        best.choice, best.start, best.reason, best.tuning, best.preparation, best.parts, best.held
    )


def _the_vote(ranked: Sequence[StartAdvice], support: SupportSet) -> StartAdvice:
    for one in ranked:
        if one.choice == VOTE:
            return one
    raise InvalidInputError(
        f"nothing can vote on {support.name or 'this'}: that takes two candidates at least that "
        "are fitted quickly and were held out; ask for auto, or give it more time"
    )
