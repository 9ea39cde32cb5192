"""Runs as they may be stored: what a person gave, made plain, or refused by name.

A journal line that absorbers cannot read would be a lost run, so everything that goes into one
is looked at before training starts.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import is_
from typing import Any

from metastore.errors import InvalidInputError
from metastore.types import DatasetRef, MetricValue, RunRecord, RunStatus, canonical_json

MAX_INTEGER = 2**63 - 1
MAX_NAME = 1000
MAX_ERROR = 2000
MOMENTS = (-6e10, 2e11)
"""Seconds since 1970 that a calendar has, as `queries/moment.sql` takes them."""


@dataclass(frozen=True, slots=True)
class Storable:
    """A run that can be stored.

    Args:
        record: the run, with plain numbers and texts in it.
        config: canonical JSON of its config, as it was when the run was looked at.
    """

    record: RunRecord
    config: str


def checked(record: RunRecord) -> Storable:
    """Return a run with plain numbers and texts in it, and its config's canonical JSON.

    NumPy's numbers become Python's, tags become text, a long error message is cut to
    `MAX_ERROR` characters.

    Raises:
        InvalidInputError: if the dataset, the config, the seed or something else of it cannot be
            stored.
    """
    config = canonical_json(record.config)
    _check_dataset(record.dataset)
    try:
        status = RunStatus(record.status)
    except ValueError as error:
        known = ", ".join(RunStatus)
        raise InvalidInputError(
            f"status: expected one of {known}; got {record.status!r}"
        ) from error
    if not isinstance(record.tags, Mapping):
        raise InvalidInputError(f"tags: expected texts by name, got {record.tags!r}")
    algorithm, split = _name("algorithm", record.algorithm), str(record.split)
    seed, fidelity = integer("seed", record.seed), real("fidelity", record.fidelity)
    started_at, seconds = real("started_at", record.started_at), real("seconds", record.seconds)
    _check_times(started_at, seconds)
    message = str(record.error)[:MAX_ERROR]
    values = tuple([_plain(value) for value in record.values])
    # A run that is plain already, as most are, is spared the copy.
    if (
        not record.tags
        and all(map(is_, values, record.values))
        and algorithm is record.algorithm
        and status is record.status
        and split is record.split
        and seed is record.seed
        and fidelity is record.fidelity
        and started_at is record.started_at
        and seconds is record.seconds
        and message is record.error
    ):
        return Storable(record, config)
    plain = replace(
        record,
        algorithm=algorithm,
        values=values,
        status=status,
        split=split,
        seed=seed,
        fidelity=fidelity,
        started_at=started_at,
        seconds=seconds,
        error=message,
        tags={str(name): str(value) for name, value in record.tags.items()},
    )
    return Storable(plain, config)


def integer(what: str, value: Any) -> int | None:
    """Return a whole number that fits 64 bits, or None for none.

    Raises:
        InvalidInputError: if it is no such number; the message calls it `what`.
    """
    if value is None:
        return None
    if type(value) is not int and (
        isinstance(value, bool) or not isinstance(value, numbers.Integral)
    ):
        raise InvalidInputError(f"{what}: expected an integer, got {value!r}")
    if not -MAX_INTEGER <= int(value) <= MAX_INTEGER:
        raise InvalidInputError(
            f"{what}: {value} does not fit 64 bits; store a smaller one, for example its "
            f"remainder: {int(value) % 2**32}"
        )
    return int(value)


def real(what: str, value: Any) -> float | None:
    """Return a finite number, or None for none and for NaN.

    Raises:
        InvalidInputError: if it is no number, or infinite; the message calls it `what`.
    """
    if value is None:
        return None
    if type(value) is not float and (
        isinstance(value, bool) or not isinstance(value, numbers.Real)
    ):
        raise InvalidInputError(f"{what}: expected a number, got {value!r}")
    number = float(value)
    if math.isinf(number):
        raise InvalidInputError(f"{what}: expected a finite number, got {number}")
    return None if math.isnan(number) else number


def _check_times(started_at: float | None, seconds: float | None) -> None:
    """Refuse a duration below zero, and a start that no calendar of seconds has."""
    if seconds is not None and seconds < 0:
        raise InvalidInputError(f"seconds: expected the run's duration, 0 or more, got {seconds}")
    if started_at is not None and not MOMENTS[0] <= started_at <= MOMENTS[1]:
        raise InvalidInputError(
            f"started_at: expected seconds since 1970, got {started_at:.0f}; milliseconds are "
            "divided by 1000"
        )


def text(what: str, value: Any) -> str:
    """Return a name of at most `MAX_NAME` characters.

    Raises:
        InvalidInputError: if it is empty, too long, or no text that a file can hold.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{what}: expected a name, got {value!r}")
    if len(value) > MAX_NAME or "\0" in value:
        raise InvalidInputError(f"{what}: a name has at most {MAX_NAME} characters, and no NUL")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{what}: {value!r} holds half of a surrogate pair, which is no text; decode the "
            "name with the encoding that it was written in"
        ) from error
    return value


def _check_dataset(dataset: DatasetRef) -> None:
    if not isinstance(dataset, DatasetRef):
        raise InvalidInputError(
            f"dataset: expected a DatasetRef such as store.dataset(...) returns, got "
            f"{type(dataset).__name__}"
        )
    _check_names(dataset.name, dataset.target)


@lru_cache(maxsize=256)
def _check_names(name: str, target: str) -> None:
    text("dataset", name)
    if target:
        text("target", target)


def _name(what: str, value: Any) -> str:
    return _known_name(what, value) if type(value) is str else text(what, value)


@lru_cache(maxsize=256)
def _known_name(what: str, value: str) -> str:
    return text(what, value)


def _plain(value: MetricValue) -> MetricValue:
    """Return a value with plain numbers in it: the same one if it has."""
    if type(value.value) is float and value.step is value.fold is value.higher_is_better is None:
        _name("metric", value.metric)
        return value
    if isinstance(value.value, bool) or not isinstance(value.value, numbers.Real):
        raise InvalidInputError(f"metric {value.metric}: expected a number, got {value.value!r}")
    return MetricValue(
        metric=_name("metric", value.metric),
        value=float(value.value),
        step=integer("step", value.step),
        fold=integer("fold", value.fold),
        higher_is_better=None if value.higher_is_better is None else bool(value.higher_is_better),
    )
