"""Fine-tuning from the best start: choose, adapt, check, predict, keep, record.

What is run is recorded as any run is (algorithm "finetune", the start in the config, the learning
curve, accuracy), so that the next choice of a start and of its tuning knows of it.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from metastore.errors import InvalidInputError
from recommenders.starts.choice import Settings, choose
from recommenders.starts.cross_validation import HeldOut
from recommenders.starts.finetuned import FineTuned, skeleton
from recommenders.starts.fitted import Probabilities
from recommenders.starts.support_sets import SupportSet, read_query, read_support
from recommenders.starts.work import Tried, Work, prepared, tried

if TYPE_CHECKING:
    from metastore.store import MetaStore


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a fine-tuning.

    Args:
        model: ready to predict and to be saved.
        reason: why this start, in words.
        tuned: why this tuning, in words.
        held_out: answers for rows of the support set that were held out in turn; None where
            nothing could be, or it would have taken too long.
        query: the rows to predict; None where none were given.
        probabilities: of the query `(n, n_classes)`.
        accuracy: on the query's labelled rows, else on held-out rows; NaN where neither is known.
        run_id: of the recorded run; None where none was recorded.
        seconds: from the call to here.
    """

    model: FineTuned
    reason: str
    tuned: str
    held_out: HeldOut | None
    query: SupportSet | None
    probabilities: Probabilities | None
    accuracy: float
    run_id: UUID | None
    seconds: float


def finetune(
    store: MetaStore,
    support: Any,
    start: str = "auto",
    query: Any = None,
    *,
    target: Any = None,
    **settings: Any,
) -> Outcome:
    """Fine-tune a start, or what beats every start, on a few labelled examples.

    Args:
        store: its registry of starts, and its record of earlier fine-tunings.
        support: the labelled examples: what `recommenders.starts.support_sets.read_support` takes.
        start: as in `Settings`.
        query: rows to predict; None for none. A table's are compared with the target column
            where they have it.
        target: of a table: the column to predict, or its values in the support set.
        settings: the other fields of `Settings`.

    Raises:
        InvalidInputError: if support or query cannot be used, or the start does not fit them.
        UnknownNameError: if there is no such start.
        MissingDependencyError: if torch is not installed.
    """
    began = time.monotonic()
    asked = Settings(start, **settings)
    known = read_support(support, target)
    asks = None if query is None else read_query(query, known)
    chosen = choose(store, known, asked)
    work = prepared(store, known, chosen, asked)
    found: list[Tried] = []
    failures: list[InvalidInputError] = []
    for advice in work.tunings:
        try:
            found.append(tried(store, work, advice, asks))
        except InvalidInputError as error:  # a diverged trial is recorded; others may do better
            failures.append(error)
    if not found:
        raise failures[0]
    best = max(found, key=lambda one: one.score)
    return _told(best, work, asks, time.monotonic() - began)


def _told(best: Tried, work: Work, query: SupportSet | None, seconds: float) -> Outcome:
    fitted = best.fitted
    about = {
        "start": work.chosen.name,
        "reason": work.chosen.reason,
        "tuned": best.advice.why,
        "support": work.support.name,
        "rows_of_each_class": work.support.counts.tolist(),
        "fingerprint": work.support.fingerprint,
        "held_out_accuracy": None if best.held_out is None else best.held_out.accuracy,
        "fit_seconds": fitted.seconds,
        "curve": [asdict(point) for point in fitted.curve],
    }
    return Outcome(
        FineTuned(fitted, skeleton(work.support), about),
        work.chosen.reason,
        best.advice.why,
        best.held_out,
        query,
        None if query is None else fitted.probabilities(query),
        best.accuracy,
        best.run_id,
        seconds,
    )
