"""From runs to journal lines: what a training process writes, and when.

A run that is known whole is one line. A run that is open while it trains is a `run` line at
its start, a `values` line for each `log`, and an `end` line. A dataset, a task, a search space,
an environment and a config are written the first time a journal speaks of them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any
from uuid import UUID

from metastore.environment import code_version, environment_json
from metastore.errors import InvalidInputError
from metastore.journal import Journal, encode
from metastore.metrics import known_direction
from metastore.records import checked
from metastore.types import (
    DatasetRef,
    MetricValue,
    RunRecord,
    RunStatus,
    canonical_json,
    content_hex,
    dataset_id,
    uuid7,
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
            InvalidInputError: at the first run that cannot be stored; those before it are.
        """
        written, batch = 0, []
        try:
            for record in records:
                batch.append(checked(record))
                if len(batch) >= BATCH_LINES:
                    written += self._add_batch(batch)
                    batch = []
        finally:
            written += self._add_batch(batch)
        return written

    def _add_batch(self, records: list[RunRecord]) -> int:
        if not records:
            return 0
        done = self.write(lambda: b"".join(self.run_lines(record) for record in records))
        return len(records) if done else 0

    def run_lines(self, record: RunRecord) -> bytes:
        """Return the lines of a run: what it refers to for the first time, then the run.

        Raises:
            InvalidInputError: if the config cannot be stored.
        """
        config = canonical_json(record.config)
        config_hex = content_hex(config)
        dataset = _dataset_text(record.dataset)
        lines = [self._dataset_line(record.dataset, dataset)]
        lines += [self._task_line(record, dataset, value) for value in record.values]
        space = content_hex(record.space) if record.space else None
        if space is not None and self._first(("space", space)):
            event = {"event": "space", "id": space, "algorithm": record.algorithm}
            lines.append(encode({**event, "text": record.space}))
        environment = environment_json()
        environment_hex = _environment_hex(environment)
        if self._first(("environment", environment_hex)):
            event = {"event": "environment", "id": environment_hex, "text": environment}
            lines.append(encode(event))
        line = encode(
            {
                "event": "run",
                "run_id": str(record.run_id or uuid7()),
                "dataset_id": dataset,
                "algorithm": record.algorithm,
                "config_id": config_hex,
                "environment_id": environment_hex,
                "status": record.status.value,
                "written_at": time.time(),
                **_said(record),
                **({"space_id": space} if space else {}),
                **self._open(record),
                "values": [_value(value) for value in record.values],
            },
            config if self._first(("config", config_hex)) else None,
        )
        if len(line) > MAX_LINE_BYTES:
            raise InvalidInputError(
                f"a run of {len(line):,} bytes, at most {MAX_LINE_BYTES:,} can be stored; it has "
                f"{len(record.values):,} values: record fewer points of its curves"
            )
        return b"".join([*lines, line])

    def _open(self, record: RunRecord) -> dict[str, str]:
        """Say whose death would end a run that is open."""
        if record.status is not RunStatus.RUNNING:
            return {}
        return {"journal": self.journal.identity}

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
        """Whether this journal has not spoken of something yet; after this call it has."""
        with self.journal.lock:
            if self._seen_in != self.journal.identity:
                self._seen, self._seen_in = set(), self.journal.identity
            if what in self._seen:
                return False
            self._seen.add(what)
            return True


@lru_cache(maxsize=256)
def _dataset_text(dataset: DatasetRef) -> str:
    return str(dataset_id(dataset))


@lru_cache(maxsize=8)
def _environment_hex(environment: str) -> str:
    return content_hex(environment)


def task_hex(
    dataset: str, target: str, metric: str, higher_is_better: bool | None, split: str
) -> str:
    """Return the id of a task; `dataset` is the id of its dataset."""
    direction = {None: "", True: "higher", False: "lower"}[higher_is_better]
    return content_hex(dataset, target, metric, direction, split)


def _said(record: RunRecord) -> dict[str, Any]:
    """Return what is known of a run beyond what every run has."""
    said = {
        "target": record.dataset.target,
        "split": record.split,
        "seed": record.seed,
        "fidelity": record.fidelity,
        "started_at": record.started_at,
        "seconds": record.seconds,
        "error": record.error,
        "parent_id": None if record.parent is None else str(record.parent),
        "code_version": code_version(),
        "tags": dict(record.tags),
    }
    return {name: value for name, value in said.items() if value not in (None, "", {})}


def _direction(value: MetricValue) -> bool | None:
    if value.higher_is_better is not None:
        return value.higher_is_better
    return known_direction(value.metric)


def _or_none(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _value(value: MetricValue) -> dict[str, Any]:
    row: Mapping[str, Any] = {
        "metric": value.metric,
        "value": float(value.value),
        "step": value.step,
        "fold": value.fold,
        "higher_is_better": _direction(value),
    }
    return {name: item for name, item in row.items() if item is not None}
