"""Computes meta-features group by group, each within its time limit, each with a status."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from metastore.errors import InvalidInputError
from metastore.metafeatures.catalogue import GROUPS
from metastore.metafeatures.feature import (
    SUMMARIES,
    Deadline,
    FloatVector,
    Measure,
    MetaFeature,
    NotApplicable,
    OutOfTime,
    Status,
)
from metastore.metafeatures.sample import Sample, draw

if TYPE_CHECKING:
    from metastore.tabular import Table

MAX_ROWS = 10_000
"""Rows above this number are sampled, but for simple and missing-value features."""

Outcome = tuple[dict[str, float], Status, str]


def extract(
    table: Table,
    *,
    limit_seconds: float = 10.0,
    groups: Iterable[str] | None = None,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
) -> list[MetaFeature]:
    """Compute the meta-features of a table.

    The same table, seed and version give the same values, unless time runs out. Nothing goes
    on in the background after the return.

    Args:
        table: what `metastore.tabular.as_table` gives.
        limit_seconds: time for each group; what is left undone then is `timed_out`.
        groups: which groups, None for all: simple, missing, categorical, statistical,
            information, landmarking.
        max_rows: rows above this number are sampled.
        seed: seed of the samples, the folds and the landmarkers.

    Returns:
        A value for each name of each group asked for, in the order of `GROUPS`.

    Raises:
        InvalidInputError: if a group is unknown, or a limit is not positive.

    >>> from metastore.tabular import as_table
    >>> table = as_table(([[1.0], [2.0], [3.0], [None]], ["a", "b", "a", "b"]))
    >>> [(f.name, f.value) for f in extract(table, groups=["missing"])][:2]
    [('missing_cells', 0.25), ('missing_rows', 0.25)]
    """
    chosen = list(GROUPS) if groups is None else list(groups)
    unknown = [group for group in chosen if group not in GROUPS]
    if unknown:
        raise InvalidInputError(
            f"no group of meta-features named {unknown[0]!r}; there are {', '.join(GROUPS)}"
        )
    if not limit_seconds >= 0 or max_rows < 1:
        raise InvalidInputError(
            f"expected limit_seconds >= 0 and max_rows >= 1, got {limit_seconds} and {max_rows}"
        )
    sample = draw(table, max_rows=max_rows, seed=seed, deadline=Deadline(limit_seconds))
    out: list[MetaFeature] = []
    for group in GROUPS:
        if group in chosen:
            sample.deadline = Deadline(limit_seconds)
            for measure in GROUPS[group]:
                out.extend(_measured(group, measure, sample))
    return out


def _measured(group: str, measure: Measure, sample: Sample) -> Iterator[MetaFeature]:
    """Compute one measure and give all its names a value or a reason."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values, status, message = _outcome(measure, sample)
    seconds = (time.perf_counter() - start) / len(measure.names)
    if not message and caught:
        message = "; ".join(dict.fromkeys(str(w.message).split("\n")[0][:200] for w in caught))
    for name in measure.names:
        value = values.get(name)
        own, why = status, message
        if status is Status.COMPUTED and (value is None or not np.isfinite(value)):
            value, own = None, Status.FAILED
            why = f"the result is not finite; {message}".rstrip("; ")
        yield MetaFeature(name, group, value, own, seconds, message=why)


def _outcome(measure: Measure, sample: Sample) -> Outcome:
    """Compute a measure; what goes wrong becomes a status with its reason, never a crash."""
    if sample.deadline.passed:
        return {}, Status.TIMED_OUT, _limit(sample)
    try:
        result = measure.compute(sample)
        return _summarised(measure, result), Status.COMPUTED, ""
    except NotApplicable as reason:
        return {}, Status.NOT_APPLICABLE, str(reason)
    except OutOfTime:
        return {}, Status.TIMED_OUT, _limit(sample)
    except (ArithmeticError, ValueError, TypeError, LookupError, MemoryError) as error:
        return {}, Status.FAILED, f"{type(error).__name__}: {error}"[:500]


def _limit(sample: Sample) -> str:
    return f"the group's limit of {sample.deadline.seconds:g} s was reached"


def _summarised(measure: Measure, result: float | FloatVector) -> dict[str, float]:
    if not measure.summaries:
        return {measure.name: float(result)}
    values = np.atleast_1d(np.asarray(result, dtype=np.float64))
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return {}
    return {f"{measure.name}.{s}": SUMMARIES[s](values) for s in measure.summaries}
