"""How the columns of a table of runs are read: names, meanings, and the SQL of each.

A *long* table has a column `metric` and a column `value`. A *wide* one has neither, but a
column for each metric, named like a familiar one. Hyperparameters are one column `config` of
JSON, or columns `config.NAME`, or, in a wide table, every column that means nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metastore.errors import InvalidInputError
from metastore.metrics import known_direction

LINE = "headstart_line"
"""The column that numbers a file's rows, by a name that no file has."""

REQUIRED = ("dataset",)
OPTIONAL = (
    "dataset_source_id", "target", "split", "algorithm", "config", "metric", "value",
    "higher_is_better", "seed", "step", "fold", "fidelity", "runtime_s", "status", "error",
    "started_at", "ended_at", "source",
)  # fmt: skip
IGNORED = ("config_id",)
ALIASES = {
    "dataset_name": "dataset",
    "task": "dataset",
    "source_id": "dataset_source_id",
    "algo": "algorithm",
    "model": "algorithm",
    "repeat": "seed",
    "seconds": "runtime_s",
    "duration_s": "runtime_s",
    "timestamp": "started_at",
}
STATUSES = {
    "completed": ("completed", "complete", "ok", "success", "finished", "done"),
    "failed": ("failed", "fail", "failure", "error", "memout", "oom"),
    "pruned": ("pruned", "stopped_early"),
    "crashed": ("crashed", "crash"),
    "timeout": ("timeout", "timed_out", "time_out"),
    "interrupted": ("interrupted", "killed", "cancelled", "canceled", "aborted"),
}
NUMERIC = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
    "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL",
)  # fmt: skip


def literal(text: str) -> str:
    """Return text as an SQL string; for the few places that take no bound parameter."""
    return "'" + text.replace("'", "''") + "'"


def name(column: str) -> str:
    """Return a column's name as an SQL identifier."""
    return '"' + column.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a table mean.

    Args:
        known: column in the file by meaning (`dataset`, `value`, ...).
        config: hyperparameter columns in the file by hyperparameter, unless there is one
            column `config`.
        metrics: metric columns of a wide table; empty for a long one.
        ignored: columns that mean nothing here.
        types: SQL type by column.
    """

    known: dict[str, str]
    config: dict[str, str]
    metrics: tuple[str, ...]
    ignored: tuple[str, ...]
    types: dict[str, str]

    def has(self, meaning: str) -> bool:
        """Whether the table says something of this meaning."""
        return meaning in self.known

    @classmethod
    def of(
        cls, described: list[tuple[str, str]], file: Path, words: frozenset[str] = frozenset()
    ) -> Columns:
        """Find out what the columns mean.

        Args:
            described: `(name, SQL type)` of each column.
            file: for the error message.
            words: columns that hold no number, whatever their name.

        Raises:
            InvalidInputError: if the datasets, metrics or values cannot be found.
        """
        types = {column: kind for column, kind in described if column != "file_row_number"}
        known: dict[str, str] = {}
        for column in types:
            meaning = column.strip().lower()
            if meaning in REQUIRED + OPTIONAL:
                known[meaning] = column
        for column in types:
            meaning = ALIASES.get(column.strip().lower(), "")
            if meaning and meaning not in known:
                known[meaning] = column
        rest = [c for c in types if c not in known.values() and c not in IGNORED]
        config = {c[len("config.") :]: c for c in rest if c.startswith("config.")}
        rest = [c for c in rest if c not in config.values()]
        metrics: tuple[str, ...] = ()
        if "metric" not in known and "value" not in known:
            metrics = tuple(
                c
                for c in rest
                if known_direction(c) is not None and _may_be_number(types[c]) and c not in words
            )
            rest = [c for c in rest if c not in metrics]
            if not config and "config" not in known:
                config = {c: c for c in rest}
                rest = []
        if "config" in known and config:
            rest += config.values()
            config = {}
        _check(known, config, metrics, list(types), file)
        ignored = tuple(rest) + tuple(c for c in types if c in IGNORED)
        return cls(known, config, metrics, ignored, types)


def _may_be_number(kind: str) -> bool:
    return kind.split("(", maxsplit=1)[0] in (*NUMERIC, "VARCHAR", "JSON")


def _check(
    known: dict[str, str],
    config: dict[str, str],
    metrics: tuple[str, ...],
    columns: list[str],
    file: Path,
) -> None:
    missing = [meaning for meaning in REQUIRED if meaning not in known]
    if not metrics:
        missing += [meaning for meaning in ("metric", "value") if meaning not in known]
    if "config" not in known and not config:
        missing.append("config (JSON, or config.NAME columns)")
    if missing:
        raise InvalidInputError(
            f"{str(file)!r} is no table of runs: no column {', '.join(missing)}; it has "
            f"{', '.join(columns[:20])}{' ...' if len(columns) > 20 else ''}. A table of runs has "
            "dataset, algorithm, config, metric, value, higher_is_better"
        )
