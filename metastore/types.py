"""The words of Headstart as immutable values.

Identity
    A *dataset* is a name, and a content fingerprint where its cells were seen. A *task* is a
    dataset, a target, a metric with its direction, and a split (OpenML's word). A *config* is
    an algorithm's hyperparameters, identified by the hash of its canonical JSON. A *run* is
    one config of one algorithm evaluated on one task: a failed run is a run.

Values in these types stand in the metric's own direction; only `metastore.view.View` turns
them into larger-is-better scores, once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID

from metastore.errors import InvalidInputError

ConfigValue = Any
"""A hyperparameter's value: None, bool, int, float, str, or lists and dicts of those."""

Config = Mapping[str, ConfigValue]

MAX_CONFIG_BYTES = 1_000_000


class RunStatus(StrEnum):
    """What became of a run."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    PRUNED = "pruned"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Task:
    """A dataset, its target, a metric with its direction, and a split."""

    dataset: str
    metric: str
    higher_is_better: bool
    target: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """One evaluated configuration of the task at hand, as `recommend` takes it.

    Args:
        algorithm: name of the algorithm that ran.
        config: its hyperparameters.
        value: the metric, in the metric's own direction; None for a run that gave no value.
        status: `completed`, or what else became of it.
        seconds: how long it took, where that is known.
    """

    algorithm: str
    config: Config = field(hash=False)
    value: float | None
    status: RunStatus = RunStatus.COMPLETED
    seconds: float | None = None

    @property
    def usable(self) -> bool:
        """Whether there is a finite value to learn from."""
        return self.value is not None and math.isfinite(self.value)

    @property
    def failed(self) -> bool:
        """Whether the run ended of itself and gave no finite value."""
        return not self.usable and self.status in ENDED_BADLY


ENDED_BADLY = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.TIMEOUT})
"""Statuses that speak against a config where there is no finite value. A run that was stopped
or pruned, or whose process died, says nothing."""


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A dataset as a run names it.

    Args:
        name: what people call it; every other field may be unknown.
        target: name of the target column, empty where there is none.
        source_id: where it came from, such as `openml:31`, empty where unknown.
        fingerprint: hash of its cells (`metastore.fingerprint`), empty where cells were not seen.
        profile: JSON text for near-duplicate detection; holds no raw cell value.
        n_rows: number of rows, None where unknown.
        n_columns: number of columns without the target, None where unknown.
    """

    name: str
    target: str = ""
    source_id: str = ""
    fingerprint: str = ""
    profile: str = ""
    n_rows: int | None = None
    n_columns: int | None = None


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One value of a metric: a final result (`step` None) or a point of a learning curve.

    `fold` numbers a cross-validation fold from 0; None is the value over all folds.
    `higher_is_better` is None where nobody said.
    """

    metric: str
    value: float
    step: int | None = None
    higher_is_better: bool | None = None
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One finished run, whole, as importers make it and the store takes it.

    Args:
        dataset: the dataset it ran on.
        algorithm: name of the algorithm, a dotted path where it is an importable class.
        config: its hyperparameters.
        values: final results and curves.
        status: what became of it.
        run_id: its id; a content hash where importing twice must change nothing.
        split: how training and test rows were split, in words, such as `5-fold`.
        seed: the random seed.
        fidelity: share or amount of budget it was given, such as epochs; None for all of it.
        started_at: start, seconds since 1970 UTC.
        seconds: duration.
        error: message of the failure.
        parent: id of the run or search it belongs to.
        tags: free text by name.
        space: the search space it was drawn from, as `SearchSpace.to_json()`, empty if unknown.
    """

    dataset: DatasetRef
    algorithm: str
    config: Config = field(hash=False)
    values: tuple[MetricValue, ...] = ()
    status: RunStatus = RunStatus.COMPLETED
    run_id: UUID | None = None
    split: str = ""
    seed: int | None = None
    fidelity: float | None = None
    started_at: float | None = None
    seconds: float | None = None
    error: str = ""
    parent: UUID | None = None
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    space: str = ""


def canonical_json(config: Config) -> str:
    """Return the one spelling of a config: sorted keys, no spaces, Python's float repr.

    Integers and floats stay apart (`max_features=1` and `max_features=1.0` mean different
    things to scikit-learn), and so do `True` and `1`. NumPy scalars become Python numbers.

    Args:
        config: hyperparameters by name.

    Returns:
        JSON text, at most `MAX_CONFIG_BYTES` bytes long.

    Raises:
        InvalidInputError: if a value has no JSON form (a function, an object, NaN or
            infinity), a name is not a string, or the text is too long; it names the parameter.

    >>> canonical_json({"b": 1, "a": 0.1})
    '{"a":0.1,"b":1}'
    """
    if not isinstance(config, Mapping):
        raise InvalidInputError(
            f"config: expected a mapping of hyperparameter names to values, got "
            f"{type(config).__name__}: {str(config)[:80]!r}"
        )
    for name in config:
        if not isinstance(name, str):
            raise InvalidInputError(
                f"config: hyperparameter names must be strings, got {name!r} "
                f"({type(name).__name__})"
            )
    try:
        text = _dumps(config)
        text.encode()  # half of a surrogate pair is no text
    except (TypeError, ValueError, RecursionError) as error:
        raise _name_the_culprit(config) from error
    if len(text) > MAX_CONFIG_BYTES:
        name = max(config, key=lambda key: len(_dumps(config[key])))
        raise InvalidInputError(
            f"config: {len(text):,} characters of JSON, at most {MAX_CONFIG_BYTES:,} can be "
            f"stored; the longest value is {name!r}. Record a name or a hash of it instead"
        )
    return text


def _plain(value: object) -> object:
    """Turn NumPy scalars and arrays, mappings and tuples into what JSON knows."""
    for method in ("item", "tolist"):
        convert = getattr(value, method, None)
        if callable(convert) and type(value).__module__.split(".")[0] == "numpy":
            shape = getattr(value, "shape", ())
            return value.tolist() if shape else convert()  # type: ignore[attr-defined]
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


# Made once: `json.dumps` makes an encoder a call.
_dumps = json.JSONEncoder(
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=False,
    allow_nan=False,
    default=_plain,
).encode


def _name_the_culprit(config: Config) -> InvalidInputError:
    for name, value in config.items():
        try:
            _dumps({name: value}).encode()
        except (TypeError, ValueError, RecursionError):
            return InvalidInputError(
                f"config: {name}={str(value)[:80]!r} ({type(value).__name__}) cannot be stored. "
                "A hyperparameter is a finite number, a string, a boolean, None, or a list or "
                "dict of those; record a name for anything else, for example "
                f"{name}={getattr(value, '__name__', type(value).__name__)!r}"
            )
    return InvalidInputError("config: cannot be written as JSON")


def content_id(*parts: str) -> UUID:
    """Return a UUID that is a hash of `parts`: the same parts, the same id, on any machine.

    MD5 with U+001F between the parts, so that SQL computes the same id as
    `md5(concat_ws(chr(31), ...))::UUID`. It tells contents apart; it guards nothing.
    """
    return UUID(content_hex(*parts))


def content_hex(*parts: str) -> str:
    """Return `content_id` as 32 hexadecimal digits."""
    return hashlib.md5("\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()


def config_id(config_text: str) -> UUID:
    """Return the id of a config from its canonical JSON."""
    return content_id(config_text)


@lru_cache(maxsize=4096)
def dataset_id(dataset: DatasetRef) -> UUID:
    """Return the id of a dataset: its name and, where its cells were seen, their fingerprint."""
    return content_id(dataset.name, dataset.fingerprint)


def uuid7() -> UUID:
    """Return a version 7 UUID (RFC 9562, section 5.7): 48 bits of milliseconds, then random.

    Ids sort by the time they were made, to the millisecond.
    """
    return UUID(hex=uuid7_hex())


def uuid7_hex() -> str:
    """Return `uuid7` as 32 hexadecimal digits."""
    milliseconds = time.time_ns() // 1_000_000
    random = os.urandom(10).hex()
    variant = "89ab"[int(random[3], 16) & 3]
    return f"{milliseconds & (2**48 - 1):012x}7{random[:3]}{variant}{random[4:19]}"
