"""The configs of a table: canonical JSON for each distinct one.

SQL keeps those that are canonical already (`metastore.importers.config_spelling`); the others go
through `canonical_json`. Where configs repeat, each is looked at once, and rows find theirs by its
text; where hardly any does, each row's is, and they are found by line: telling a million long
texts apart, and finding them again, takes longer than looking at each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import duckdb

from metastore.errors import InvalidInputError
from metastore.importers.config_spelling import CANONICAL, spellings
from metastore.importers.table_cells import plain
from metastore.importers.table_columns import LINE, NUMERIC, Columns, name
from metastore.types import canonical_json

_SAMPLE = 2000
_FIRST = 50_000
"""Rows from which is told whether configs repeat."""

_REPEATED = 0.5

_EXACT_LINE = "file_row_number"
"""What numbers the rows of a file alike however often it is read."""


@dataclass(frozen=True, slots=True)
class ConfigSql:
    """SQL for a row's config: how to join it, its id, and what is wrong with it."""

    join: str
    id: str = "config.config_id"
    problem: str = "config.problem"


def _raw(columns: Columns) -> str:
    """Return the SQL of a row's config as text, `{}` where it has none."""
    if columns.has("config"):
        column = columns.known["config"]
        kind = columns.types[column]
        if kind.startswith(("STRUCT", "MAP")):
            return f"coalesce(to_json(raw.{name(column)})::VARCHAR, '{{}}')"
        return f"coalesce(nullif({plain(column, kind)}::VARCHAR, ''), '{{}}')"
    pairs = []
    for parameter in sorted(columns.config):
        column = columns.config[parameter]
        pairs.append(f"{_quoted(parameter)}, {_json_value(column, columns.types[column])}")
    # A cell without a value is a parameter that this config does not have.
    return f"json_merge_patch('{{}}', json_object({', '.join(pairs)}))::VARCHAR"


def _json_value(column: str, kind: str) -> str:
    raw = f"raw.{name(column)}"
    if kind != "VARCHAR" or kind in NUMERIC:
        return f"to_json({raw})"
    # A CSV cell: what reads as a JSON number or boolean is one, the rest is text.
    number = rf"regexp_full_match({raw}, '-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?')"
    boolean = f"lower({raw}) IN ('true', 'false')"
    return (
        f"CASE WHEN {raw} IS NULL OR {raw} = '' THEN NULL WHEN {number} THEN {raw}::JSON "
        f"WHEN {boolean} THEN lower({raw})::JSON ELSE to_json({raw}) END"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def stage_configs(con: duckdb.DuckDBPyConnection, numbered: str, columns: Columns) -> ConfigSql:
    """Fill `staged_configs` (raw, line, config, config_id, problem); return how rows find theirs.

    One row a distinct text, or, where hardly any repeats, one a line of the file; then `raw` is
    kept only of those that had to be parsed.
    """
    texts = f"SELECT {_raw(columns)} AS raw, raw.{LINE} AS line FROM {numbered} AS raw"
    by_line = _EXACT_LINE in numbered and not columns.metrics and not _repeat(con, texts)
    raw, join = "raw", f"config.raw = {_raw(columns)}"
    if by_line:
        raw, join = "CASE WHEN config IS NULL THEN raw END AS raw", f"config.line = raw.{LINE}"
    else:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE raw_configs AS "
            f"SELECT DISTINCT raw, NULL::BIGINT AS line FROM ({texts})"
        )
        texts = "SELECT * FROM raw_configs"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE staged_configs AS "
        f"SELECT {raw}, line, config, md5(config)::UUID AS config_id, NULL::VARCHAR AS problem "
        f"FROM (SELECT raw, line, {CANONICAL} AS config FROM ({texts}))",
        spellings(con, f"({texts} LIMIT {_SAMPLE})"),
    )
    rest = con.execute("SELECT raw, line FROM staged_configs WHERE config IS NULL").fetchall()
    if rest:
        con.execute("DELETE FROM staged_configs WHERE config IS NULL")
        parsed = {text: _canonical(text) for text in {text for text, _ in rest}}
        _append(con, [(text, line, *parsed[text]) for text, line in rest])
    return ConfigSql(f"LEFT JOIN staged_configs AS config ON {join}")


def _repeat(con: duckdb.DuckDBPyConnection, texts: str) -> bool:
    """Whether many of a file's first rows have a config that another one has."""
    found = con.execute(
        f"SELECT count(DISTINCT hash(raw)) < {_REPEATED} * count(*) FROM ({texts} LIMIT {_FIRST})"
    ).fetchone()
    return found is None or bool(found[0])


def _append(
    con: duckdb.DuckDBPyConnection, rows: list[tuple[str, int | None, str | None, str | None]]
) -> None:
    import pyarrow as pa  # noqa: PLC0415 - only tables with unusual configs need it

    raw, line, config, problem = (list(column) for column in zip(*rows, strict=True))
    fixed = pa.table(
        {
            "raw": pa.array(raw, pa.string()),
            "line": pa.array(line, pa.int64()),
            "config": pa.array(config, pa.string()),
            "problem": pa.array(problem, pa.string()),
        }
    )
    con.register("fixed_configs", fixed)
    con.execute(
        "INSERT INTO staged_configs SELECT raw, line, config, md5(config)::UUID, problem "
        "FROM fixed_configs"
    )
    con.unregister("fixed_configs")


def _canonical(raw: str) -> tuple[str | None, str | None]:
    """Return canonical JSON and None, or None and what is wrong."""
    try:
        config = json.loads(raw)
    except (ValueError, RecursionError):
        return None, f"config is no JSON object: {raw[:60]}"
    if not isinstance(config, dict):
        return None, f"config is no JSON object: {raw[:60]}"
    try:
        return canonical_json(config), None
    except InvalidInputError as error:
        return None, str(error)
