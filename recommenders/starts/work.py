"""One fine-tuning: fitted with each tuning, checked on rows that it did not see, recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from metastore.errors import MissingDependencyError
from recommenders.starts.choice import Chosen, Settings
from recommenders.starts.cross_validation import MOST_FOLDS, HeldOut
from recommenders.starts.fit_checks import cross_validated
from recommenders.starts.fitted import Fitted, fitted_vote
from recommenders.starts.inputs import prepare
from recommenders.starts.plain_classifiers import PLAIN, fit_plain
from recommenders.starts.record import ALGORITHM, METRIC, START
from recommenders.starts.superseded_runs import tags_of
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import SCRATCH, Tuning
from recommenders.starts.tuning_advice import TuningAdvice, Wanted, advised
from recommenders.threads import one_thread_of_torch

if TYPE_CHECKING:
    from metastore.run import Run
    from metastore.store import MetaStore
    from recommenders.starts.advice import Part

WORTH_SECONDS = 30.0
"""Holding rows out in turn may take so long, by the time that one fit took."""

_NOTHING = TuningAdvice(Tuning(), "there is nothing to tune")
_GIVEN = "as asked for"
_JUDGED = "as the start was recommended"

Fit = Callable[[SupportSet, Tuning], Fitted]


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be done.

    Args:
        chosen: what to begin from.
        support: the labelled rows.
        fit: fits rows of the support set with a tuning.
        tunings: what to try, at least one.
        asked: how it is done.
    """

    chosen: Chosen
    support: SupportSet
    fit: Fit
    tunings: list[TuningAdvice]
    asked: Settings


@dataclass(frozen=True, eq=False)
class Tried:
    """What one tuning gave.

    Args:
        fitted: to the whole support set, at the temperature that held-out rows ask for.
        advice: the tuning.
        held_out: answers for held-out rows; None where there are none.
        accuracy: on a labelled query, else on held-out rows; NaN where neither is known.
        run_id: of its run; None where none was recorded.
    """

    fitted: Fitted
    advice: TuningAdvice
    held_out: HeldOut | None
    accuracy: float
    run_id: UUID | None

    @property
    def score(self) -> tuple[float, float]:
        """Held-out accuracy, and then likelihood; a query's labels do not choose."""
        if self.held_out is None:
            return (0.0, 0.0)
        return (self.held_out.accuracy, -self.held_out.log_loss)


def prepared(store: MetaStore, support: SupportSet, chosen: Chosen, asked: Settings) -> Work:
    """Return what is to be done: what fits, and with which tunings.

    Raises:
        InvalidInputError: if the start cannot be loaded, or there is no such device.
        MissingDependencyError: if torch is needed and not installed.
    """
    if chosen.parts:
        return Work(chosen, support, _voting(support, chosen.parts, asked), [_NOTHING], asked)
    try:
        fit, usual, modes = _fitting(support, chosen, asked)
    except ImportError as error:
        raise MissingDependencyError(
            f"fine-tuning needs torch, and {error.name} is not there: pip install "
            f"'headstart[learners]', or take one of: {', '.join(PLAIN)}"
        ) from error
    if chosen.name in PLAIN:
        return Work(chosen, support, fit, [_NOTHING], asked)
    if asked.tuning is not None:
        return Work(chosen, support, fit, [TuningAdvice(asked.tuning, _GIVEN)], asked)
    if chosen.tuning is not None and asked.trials == 1:
        # What is fitted is what was held out, and past fine-tunings had their say there.
        return Work(chosen, support, fit, [TuningAdvice(chosen.tuning, _JUDGED)], asked)
    wanted = Wanted(chosen.name, usual, modes, asked.trials, asked.seed)
    tunings = advised(store, support, wanted)
    return Work(chosen, support, fit, tunings, asked)


def tried(store: MetaStore, work: Work, advice: TuningAdvice, query: SupportSet | None) -> Tried:
    """Return what a tuning gives, recorded as a run with its learning curve.

    Raises:
        InvalidInputError: if training diverges; the run is recorded as failed.
    """
    asked, tuning = work.asked, advice.tuning
    config: dict[str, Any] = {START: work.chosen.name}
    if work.chosen.parts:
        config["votes"] = "; ".join(part.label for part in work.chosen.parts)
    elif work.chosen.name not in PLAIN:
        config |= tuning.config()
    known = query is not None and bool((query.labels >= 0).any())
    run: Any = nullcontext()
    if asked.record:
        run = store.run(
            work.support.dataset(),
            ALGORITHM,
            config,
            seed=asked.seed,
            tags=tags_of(work.chosen.start),
            split="labelled query" if known else "held-out rows of the support set",
            higher_is_better={"fit_seconds": False},
        )
    with run as recorded:
        fitted = work.fit(work.support, tuning)
        held = _held_out(work, tuning, fitted)
        if held is not None:
            fitted = fitted.at(held.temperature)
        if query is not None and known:
            accuracy = fitted.accuracy(query)
        else:
            accuracy = float("nan") if held is None else held.accuracy
        if recorded is not None:
            _record(recorded, fitted, accuracy)
    return Tried(fitted, advice, held, accuracy, None if recorded is None else recorded.id)


def _voting(support: SupportSet, parts: Sequence[Part], asked: Settings) -> Fit:
    """Return what fits all that vote, each at its own temperature."""
    fits = [
        _fitting(support, Chosen(one.choice, one.start, "", preparation=one.preparation), asked)[0]
        for one in parts
    ]

    def fit(rows: SupportSet, tuning: Tuning) -> Fitted:
        return fitted_vote(
            [
                one(rows, part.tuning or tuning).at(part.temperature)
                for one, part in zip(fits, parts, strict=True)
            ]
        )

    return fit


def _fitting(
    support: SupportSet, chosen: Chosen, asked: Settings
) -> tuple[Fit, Tuning, tuple[str, ...]]:
    """Return what fits, the usual tuning, and the modes there are."""
    if chosen.name in PLAIN:
        how = prepare(None, support)

        def plain(part: SupportSet, tuning: Tuning) -> Fitted:
            return fit_plain(chosen.name, part, asked.seed, preparation=how)

        return plain, Tuning(), ()
    return _neural(support, chosen, asked)


def _neural(
    support: SupportSet, chosen: Chosen, asked: Settings
) -> tuple[Fit, Tuning, tuple[str, ...]]:
    """Return what fits a network, the usual tuning, and the modes there are."""
    from recommenders.learning import device_of  # noqa: PLC0415
    from recommenders.starts.fitting import fit_scratch, fit_start, usual_tuning  # noqa: PLC0415
    from recommenders.starts.heads import modes_of  # noqa: PLC0415
    from recommenders.starts.image_polarity import suited  # noqa: PLC0415 - torch
    from recommenders.starts.loading import load_start  # noqa: PLC0415

    device = device_of(asked.device)
    if chosen.start is None:
        raw = prepare(None, support)

        def from_nothing(part: SupportSet, tuning: Tuning) -> Fitted:
            with one_thread_of_torch(len(part)):
                return fit_scratch(part, tuning, preparation=raw, device=device, seed=asked.seed)

        return from_nothing, SCRATCH, ("gradient",)
    loaded = load_start(chosen.start, module=asked.modules.get(chosen.name))
    how = chosen.preparation or suited(loaded, support, asked.seed)

    def fit(part: SupportSet, tuning: Tuning) -> Fitted:
        with one_thread_of_torch(len(part)):
            return fit_start(loaded, how, part, tuning, device=device, seed=asked.seed)

    n_classes = len(support.classes)
    usual = chosen.tuning or usual_tuning(loaded.learner, n_classes)
    return fit, usual, modes_of(loaded.learner, n_classes)


def _held_out(work: Work, tuning: Tuning, fitted: Fitted) -> HeldOut | None:
    """Return answers for rows held out in turn; None where there are none, or it takes too long."""
    if work.chosen.held is not None and len(work.tunings) == 1:
        return work.chosen.held
    if work.chosen.parts:  # nothing could be held out when they were chosen
        return None
    folds = min(MOST_FOLDS, int(work.support.counts.max()))
    if len(work.tunings) == 1 and fitted.seconds * folds > WORTH_SECONDS:
        return None
    return cross_validated(lambda part: work.fit(part, tuning), work.support, work.asked.seed)


def _record(run: Run, fitted: Fitted, accuracy: float) -> None:
    for point in fitted.curve:
        values = {name: value for name, value in asdict(point).items() if value is not None}
        run.log(**values)
    run.result(fit_seconds=fitted.seconds)
    if accuracy == accuracy:  # noqa: PLR0124 - NaN: no row could be held out
        run.result(**{METRIC: accuracy})
