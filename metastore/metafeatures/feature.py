"""What a meta-feature is: its definition, its value with a status, and its time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from metastore.metafeatures.sample import Sample

EXTRACTOR = "headstart"
"""Who computed a value; other extractors may live beside this one in the same store."""

VERSION = "1"
"""Moves when any value would come out different for the same table."""

FloatVector = NDArray[np.float64]

SUMMARIES: dict[str, Callable[[FloatVector], float]] = {
    "mean": lambda values: float(values.mean()),
    "sd": lambda values: float(values.std()),
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
}
"""How a value a column becomes one value a table; non-finite entries are left out first."""

ALL = tuple(SUMMARIES)


class Status(StrEnum):
    """What became of a meta-feature."""

    COMPUTED = "computed"
    TIMED_OUT = "timed_out"
    NOT_APPLICABLE = "not_applicable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class MetaFeature:
    """One meta-feature of one table.

    Args:
        name: stable name, see `docs/metafeatures.md`.
        group: the family it belongs to.
        value: a finite number where `status` is computed, else None.
        status: what became of it.
        seconds: what it cost; features computed together share the cost evenly.
        extractor: who computed it.
        version: version of the extractor.
        message: why there is no value, or what was warned about; empty where all is well.
    """

    name: str
    group: str
    value: float | None
    status: Status
    seconds: float
    extractor: str = EXTRACTOR
    version: str = VERSION
    message: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """A definition: how one number, or one number a column, is computed from a sample.

    Args:
        name: stable name; a summary's name follows after a dot.
        meaning: what it measures, in one sentence.
        source: where it comes from: a paper, a package, or `headstart`.
        compute: takes a `Sample`, returns a number, or an array if there are summaries.
        summaries: names in `SUMMARIES` that turn the array into numbers.
    """

    name: str
    meaning: str
    source: str
    compute: Callable[[Sample], float | FloatVector] = field(compare=False)
    summaries: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features that it gives."""
        return tuple(f"{self.name}.{s}" for s in self.summaries) or (self.name,)


class NotApplicable(Exception):  # noqa: N818 - an outcome, not an error
    """A feature has no meaning for this table; the message says why."""


class OutOfTime(Exception):  # noqa: N818 - an outcome, not an error
    """The group's time was used up within a measure."""


class Deadline:
    """A time limit that starts when it is made.

    Args:
        seconds: how long, at least 0; infinity for no limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end

    def check(self) -> None:
        """Return while there is time.

        Raises:
            OutOfTime: once there is none.
        """
        if self.passed:
            raise OutOfTime
