"""The configs of a table: canonical JSON for each distinct one.

SQL keeps those that are canonical already (`metastore.importers.config_spelling`); the others go
through `canonical_json`. Where configs repeat, each is looked at once, and rows find theirs by its
text; where hardly any does, each row's is, and they are found by line: telling a million long
texts apart, and finding them again, takes longer than looking at each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import duckdb

from metastore.errors import InvalidInputError
from metastore.importers.config_spelling import canonical_sql, spellings
from metastore.importers.table_cells import plain
from metastore.importers.table_columns import NUMERIC, Columns, name
from metastore.types import canonical_json

_SAMPLE = 2000
_FIRST = 50_000
"""Rows from which is told whether configs repeat."""

_REPEATED = 0.5

_EXACT_LINE = "file_row_number"
"""What numbers the rows of a file alike however often it is read."""


_NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?"
"""A number of JSON, as a pattern."""

_TEXT, _CONFIG = "headstart_text", "headstart_config"


@dataclass(frozen=True, slots=True)
class ConfigSql:
    """SQL by which staged rows get their configs.

    Args:
        rows: the rows, to be called `raw`.
        join: what is joined to them.
        id: a row's config id.
        problem: what is wrong with its config.
        beside: further columns to be staged, each after a comma.
        values: what the parameters of `rows` stand for.
        table: where configs (config_id, config) are, once rows are staged.
    """

    rows: str
    join: str
    id: str
    problem: str
    beside: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    table: str = "staged_configs"


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
    # A CSV cell: what reads as a JSON number or boolean is one, and so is what others write for a
    # number (` 3`, `+1`, `.5`, `2.`); the rest is text.
    number = rf"regexp_full_match({raw}, '{_NUMBER}')"
    boolean = f"lower({raw}) IN ('true', 'false')"
    bare = f"trim({raw})"
    spelled = f"regexp_replace({bare}, '^[+]', '')"
    spelled = rf"regexp_replace({spelled}, '^(-?)[.]([0-9])', '\10.\2')"
    spelled = rf"regexp_replace({spelled}, '^(-?[0-9]+)[.]($|[eE])', '\1.0\2')"
    return (
        f"CASE WHEN {raw} IS NULL OR {raw} = '' THEN NULL WHEN {number} THEN {raw}::JSON "
        f"WHEN {boolean} THEN lower({raw})::JSON WHEN {bare} = '' THEN NULL "
        rf"WHEN regexp_full_match({spelled}, '{_NUMBER}') THEN ({spelled})::JSON "
        f"WHEN lower({bare}) IN ('true', 'false') THEN lower({bare})::JSON "
        f"ELSE to_json({bare}) END"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def stage_configs(con: duckdb.DuckDBPyConnection, numbered: str, columns: Columns) -> ConfigSql:
    """Return how rows are staged with their configs; afterwards `parse_rest` is called."""
    texts = f"SELECT {_raw(columns)} AS {_TEXT} FROM {numbered} AS raw"
    if _EXACT_LINE in numbered and not columns.metrics and not _repeat(con, texts):
        return _by_row(con, numbered, columns, texts)
    return _by_text(con, numbered, columns, texts)


def _by_row(
    con: duckdb.DuckDBPyConnection, numbered: str, columns: Columns, texts: str
) -> ConfigSql:
    """Return how each row's own config is looked at; `unparsed` is left for Python."""
    with_text = f"SELECT *, {_raw(columns)} AS {_TEXT} FROM {numbered} AS raw"
    return ConfigSql(
        rows=f"(SELECT *, {canonical_sql(_TEXT)} AS {_CONFIG} FROM ({with_text}))",
        join="",
        id=f"md5(raw.{_CONFIG})::UUID",
        problem="NULL::VARCHAR",
        beside=f", {_CONFIG} AS config, CASE WHEN {_CONFIG} IS NULL THEN {_TEXT} END AS unparsed",
        values=_spellings(con, texts),
        table="staged",
    )


def _by_text(
    con: duckdb.DuckDBPyConnection, numbered: str, columns: Columns, texts: str
) -> ConfigSql:
    """Fill `staged_configs` (raw, config, config_id, problem), one row a distinct text."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE raw_configs AS SELECT DISTINCT * FROM ({texts})")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE staged_configs AS "
        "SELECT raw, config, md5(config)::UUID AS config_id, NULL::VARCHAR AS problem "
        f"FROM (SELECT {_TEXT} AS raw, {canonical_sql(_TEXT)} AS config FROM raw_configs)",
        _spellings(con, "SELECT * FROM raw_configs"),
    )
    rest = con.execute("SELECT raw FROM staged_configs WHERE config IS NULL").fetchall()
    if rest:
        _register(con, {"raw": [raw for (raw,) in rest]})
        con.execute(
            "DELETE FROM staged_configs WHERE config IS NULL; INSERT INTO staged_configs "
            "SELECT raw, config, md5(config)::UUID, problem FROM parsed_configs"
        )
        con.unregister("parsed_configs")
    join = f"LEFT JOIN staged_configs AS config ON config.raw = {_raw(columns)}"
    return ConfigSql(numbered, join, "config.config_id", "config.problem")


def parse_rest(con: duckdb.DuckDBPyConnection, configs: ConfigSql) -> None:
    """Give staged rows whose config is left for Python theirs, or say what is wrong with it."""
    if configs.table != "staged":
        return
    rest = con.execute("SELECT unparsed, line FROM staged WHERE unparsed IS NOT NULL").fetchall()
    if not rest:
        return
    raws, lines = map(list, zip(*rest, strict=True))
    _register(con, {"raw": raws, "line": lines})
    con.execute(
        "UPDATE staged SET config = p.config, config_id = md5(p.config)::UUID, "
        "problem = coalesce(staged.problem, p.problem), "
        "run_id = CASE WHEN p.problem IS NULL THEN run_id END "
        "FROM parsed_configs AS p WHERE staged.line = p.line"
    )
    con.unregister("parsed_configs")


def _spellings(con: duckdb.DuckDBPyConnection, texts: str) -> dict[str, Any]:
    return spellings(con, f"(SELECT {_TEXT} AS raw FROM ({texts} LIMIT {_SAMPLE}))")


def _repeat(con: duckdb.DuckDBPyConnection, texts: str) -> bool:
    """Whether many of a file's first rows have a config that another one has."""
    found = con.execute(
        f"SELECT count(DISTINCT hash({_TEXT})) < {_REPEATED} * count(*) "
        f"FROM ({texts} LIMIT {_FIRST})"
    ).fetchone()
    return found is None or bool(found[0])


def _register(con: duckdb.DuckDBPyConnection, rows: dict[str, list[Any]]) -> None:
    """Register `parsed_configs`: these rows, their configs and what is wrong with them."""
    import pyarrow as pa  # noqa: PLC0415 - only tables with unusual configs need it

    parsed = {raw: _canonical(raw) for raw in set(rows["raw"])}
    config, problem = map(list, zip(*(parsed[raw] for raw in rows["raw"]), strict=True))
    said = {name: pa.array(values) for name, values in rows.items()}
    said |= {"config": pa.array(config, pa.string()), "problem": pa.array(problem, pa.string())}
    con.register("parsed_configs", pa.table(said))


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
