"""From runs to journal lines: what a training process writes, and when.

A run that is known whole is one line. A run that is open while it trains is a `run` line at
its start, a `values` line for each `log`, and an `end` line. A dataset, a task, a search space,
an environment and a config are written the first time a journal speaks of them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import lru_cache
from typing import Any
from uuid import UUID

from metastore.environment import code_version, environment_text
from metastore.errors import InvalidInputError
from metastore.journal import Journal, encode
from metastore.metrics import known_direction
from metastore.records import Storable, checked
from metastore.types import (
    DatasetRef,
    MetricValue,
    RunRecord,
    RunStatus,
    canonical_json,
    content_hex,
    dataset_id,
    uuid7,
    uuid7_hex,
)

BATCH_LINES = 500

MAX_LINE_BYTES = 32 * 1024 * 1024
"""What absorbers read as one line; some millions of points of a learning curve."""


class Recorder:
    """Writes runs to this process's journal; safe for threads."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._seen: set[tuple[object, ...]] = set()
        self._seen_in = ""

    def write(self, compose: Callable[[], bytes]) -> bool:
        """Compose lines and append them; return whether that worked.

        What lines refer to is only taken for written once they are: after a failure the next
        line says it again.

        Args:
            compose: returns whole lines, made by the methods below.
        """
        with self.journal.lock:
            try:
                if self.journal.append(compose()):
                    return True
            except BaseException:
                self._seen.clear()
                raise
            self._seen.clear()
            return False

    def add(self, records: Iterable[RunRecord]) -> int:
        """Write finished runs and return how many were written durably.

        Raises:
            InvalidInputError: if some cannot be stored; all others are.
        """
        written = count = 0
        batch: list[tuple[int, Storable]] = []
        refused: list[tuple[int, InvalidInputError]] = []
        try:
            for count, record in enumerate(records, start=1):
                try:
                    batch.append((count, checked(record)))
                except InvalidInputError as error:
                    refused.append((count, error))
                if len(batch) >= BATCH_LINES:
                    written += self._add_batch(batch, refused)
                    batch = []
        finally:
            written += self._add_batch(batch, refused)
        if refused:
            raise _refusal(refused, count)
        return written

    def _add_batch(
        self, batch: list[tuple[int, Storable]], refused: list[tuple[int, InvalidInputError]]
    ) -> int:
        """Write runs, and say with their numbers which are too long to be written."""
        if not batch:
            return 0
        too_long: list[tuple[int, InvalidInputError]] = []

        def compose() -> bytes:
            lines = []
            for number, storable in batch:
                try:
                    lines.append(self.run_lines(storable))
                except InvalidInputError as error:
                    self._seen.clear()  # what its line would have said first is to be said yet
                    too_long.append((number, error))
            return b"".join(lines)

        done = self.write(compose)
        refused += too_long
        return len(batch) - len(too_long) if done else 0

    def run_lines(self, storable: Storable) -> bytes:
        """Return the lines of a run: what it refers to for the first time, then the run.

        Raises:
            InvalidInputError: if the run is too long.
        """
        record, config = storable.record, storable.config
        config_hex = content_hex(config)
        dataset = _dataset_text(record.dataset)
        lines = [self._dataset_line(record.dataset, dataset)]
        lines += [self._task_line(record, dataset, value) for value in record.values]
        space = content_hex(record.space) if record.space else None
        if space is not None and self._first(("space", space, record.algorithm)):
            said = {"event": "space", "id": space, "algorithm": record.algorithm}
            lines.append(encode({**said, "text": record.space, "written_at": time.time()}))
        environment, environment_hex = environment_text()
        if self._first(("environment", environment_hex)):
            said = {"event": "environment", "id": environment_hex, "text": environment}
            lines.append(encode(said))
        event: dict[str, Any] = {
            "event": "run",
            "run_id": str(record.run_id) if record.run_id else _uuid_text(uuid7_hex()),
            "dataset_id": dataset,
            "algorithm": record.algorithm,
            "config_id": config_hex,
            "environment_id": environment_hex,
            "status": record.status.value,
            "written_at": time.time(),
            "values": [_value(value) for value in record.values],
        }
        _say(event, record)
        if space:
            event["space_id"] = space
        if record.status is RunStatus.RUNNING:  # whose death would end it
            event["journal"] = self.journal.identity
        line = encode(event, config if self._first(("config", config_hex)) else None)
        if len(line) > MAX_LINE_BYTES:
            raise InvalidInputError(
                f"a run of {len(line):,} bytes, at most {MAX_LINE_BYTES:,} can be stored; it has "
                f"{len(record.values):,} values: record fewer points of its curves"
            )
        lines.append(line)
        return b"".join(lines)

    def dataset_lines(self, dataset: DatasetRef) -> bytes:
        """Return the line of a dataset, when first seen."""
        return self._dataset_line(dataset, str(dataset_id(dataset)))

    def values_line(self, run_id: UUID, values: Iterable[MetricValue]) -> bytes:
        """Return the line of values of an open run."""
        event = {"event": "values", "run_id": str(run_id), "written_at": time.time()}
        return encode({**event, "values": [_value(value) for value in values]})

    def end_line(self, run_id: UUID, status: RunStatus, seconds: float, error: str = "") -> bytes:
        """Return the line of a run's end."""
        event: dict[str, Any] = {"event": "end", "run_id": str(run_id), "status": status.value}
        event |= {"seconds": seconds, "written_at": time.time()}
        return encode(event | ({"error": error} if error else {}))

    def task_lines(self, record: RunRecord, values: Iterable[MetricValue]) -> bytes:
        """Return the lines of tasks that an open run's values belong to, when first seen."""
        dataset = str(dataset_id(record.dataset))
        return b"".join(self._task_line(record, dataset, value) for value in values)

    def metafeature_lines(self, dataset: DatasetRef, features: Iterable[Any]) -> bytes:
        """Return one line with the meta-features of a dataset."""
        rows = [
            {
                "name": f.name,
                "family": f.group,
                "value": f.value,
                "status": str(f.status),
                "seconds": f.seconds,
                "extractor": f.extractor,
                "version": f.version,
                "message": f.message or None,
            }
            for f in features
        ]
        number = str(dataset_id(dataset))
        event = {"event": "metafeatures", "dataset_id": number, "written_at": time.time()}
        return self._dataset_line(dataset, number) + encode({**event, "features": rows})

    def recommendation_line(
        self, dataset: str, metric: str, place: int, recommendation: Any
    ) -> bytes:
        """Return the line of one recommendation.

        Args:
            dataset: the dataset's id.
            metric: the metric.
            place: 1 for the config to run first.
            recommendation: a `recommenders.Recommendation`.
        """
        config = canonical_json(recommendation.config)
        event = {
            "event": "recommendation",
            "id": str(uuid7()),
            "dataset_id": dataset,
            "algorithm": recommendation.algorithm,
            "config_id": content_hex(config),
            "written_at": time.time(),
            "recommendation": {
                "metric": metric,
                "position": place,
                "value": _or_none(recommendation.value),
                "low": _or_none(recommendation.interval[0]),
                "high": _or_none(recommendation.interval[1]),
                "seconds": _or_none(recommendation.seconds),
                "method": recommendation.evidence.method,
                "abstained": recommendation.evidence.abstained,
                "evidence": json.dumps(asdict(recommendation.evidence), default=str),
            },
        }
        first = self._first(("config", content_hex(config)))
        return encode(event, config if first else None)

    def _dataset_line(self, dataset: DatasetRef, number: str) -> bytes:
        if not self._first(("dataset", dataset)):
            return b""
        event: dict[str, Any] = {
            "event": "dataset",
            "id": number,
            "name": dataset.name,
            "source_id": dataset.source_id or None,
            "fingerprint": dataset.fingerprint or None,
            "profile": dataset.profile or None,
            "target": dataset.target or None,
            "n_rows": dataset.n_rows,
            "n_columns": dataset.n_columns,
            "written_at": time.time(),
        }
        return encode({k: v for k, v in event.items() if v is not None})

    def _task_line(self, record: RunRecord, dataset: str, value: MetricValue) -> bytes:
        direction = _direction(value)
        target, split = record.dataset.target, record.split
        if not self._first(("task", dataset, target, value.metric, direction, split)):
            return b""
        event = {
            "event": "task",
            "id": task_hex(dataset, target, value.metric, direction, split),
            "dataset_id": dataset,
            "target": target,
            "metric": value.metric,
            "higher_is_better": direction,
            "split": split,
            "written_at": time.time(),
        }
        return encode(event)

    def _first(self, what: tuple[object, ...]) -> bool:
        """Whether this journal has not spoken of something yet; after this call it has.

        Asked by what composes lines, while `write` holds the journal's lock.
        """
        if self._seen_in != self.journal.identity:
            self._seen, self._seen_in = set(), self.journal.identity
        if what in self._seen:
            return False
        self._seen.add(what)
        return True


def _refusal(refused: list[tuple[int, InvalidInputError]], count: int) -> InvalidInputError:
    """Return one error that says which of `count` runs were not stored, and why."""
    number, error = refused[0]
    if count == 1:
        return error
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return InvalidInputError(
        f"{len(refused)} of {count} runs cannot be stored, the others were: run {number}{more}: "
        f"{error}"
    )


@lru_cache(maxsize=256)
def _dataset_text(dataset: DatasetRef) -> str:
    return str(dataset_id(dataset))


def _uuid_text(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def task_hex(
    dataset: str, target: str, metric: str, higher_is_better: bool | None, split: str
) -> str:
    """Return the id of a task; `dataset` is the id of its dataset."""
    direction = {None: "", True: "higher", False: "lower"}[higher_is_better]
    return content_hex(dataset, target, metric, direction, split)


def _say(event: dict[str, Any], record: RunRecord) -> None:
    """Add what is known of a run beyond what every run has."""
    if record.dataset.target:
        event["target"] = record.dataset.target
    for name in ("split", "error", "tags"):
        if said := getattr(record, name):
            event[name] = said
    for name in ("seed", "fidelity", "started_at", "seconds"):
        if (said := getattr(record, name)) is not None:
            event[name] = said
    if record.parent is not None:
        event["parent_id"] = str(record.parent)
    if (version := code_version()) is not None:
        event["code_version"] = version


def _direction(value: MetricValue) -> bool | None:
    if value.higher_is_better is not None:
        return value.higher_is_better
    return known_direction(value.metric)


def _or_none(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _value(value: MetricValue) -> dict[str, Any]:
    row: dict[str, Any] = {"metric": value.metric, "value": value.value}
    if value.step is not None:
        row["step"] = value.step
    if value.fold is not None:
        row["fold"] = value.fold
    if (direction := _direction(value)) is not None:
        row["higher_is_better"] = direction
    return row
