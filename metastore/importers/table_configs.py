"""The configs of a table: canonical JSON for each distinct one.

Most tables were written by a program that sorts its keys and prints shortest floats already.
SQL tells those apart and keeps them as they are; the others go through `canonical_json`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import duckdb

from metastore.errors import InvalidInputError
from metastore.importers.table_cells import plain
from metastore.importers.table_columns import NUMERIC, Columns, name
from metastore.types import MAX_CONFIG_BYTES, canonical_json

# A value as `canonical_json` spells it; strings with a comma, a colon or an escape are left out.
_VALUE = (
    r'(?:"[^"\\,:]*"|true|false|null|-?[1-9][0-9]*|0'
    r"|-?(?:0|[1-9][0-9]*)\.(?:0|[0-9]*[1-9])"
    r"|-?[1-9](?:\.[0-9]*[1-9])?e-(?:0[5-9]|[1-9][0-9]))"
)
# Numbers that match but have more than 17 digits, or are too small or too large to be written
# without an exponent. Those of 17 digits are taken as they are written: nearly every program
# that writes as many writes the shortest that is exact.
_UNUSUAL = r"[:,\[] ?-?(?:0\.0*[1-9][0-9]{17}|[1-9][0-9.]{18}|0\.0000|0\.0[,}]|[0-9]{17})"
_KINDS = 20
_SAMPLE = 2000


@dataclass(frozen=True, slots=True)
class ConfigSql:
    """SQL for a row's config: how to join it, its id, and what is wrong with it."""

    join: str
    id: str
    problem: str


def config_sql(columns: Columns) -> ConfigSql:
    """Return the SQL that looks a row's config up among the staged ones."""
    return ConfigSql(
        join=f"LEFT JOIN staged_configs AS config ON config.raw = {_raw(columns)}",
        id="config.config_id",
        problem="config.problem",
    )


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


def stage_configs(con: duckdb.DuckDBPyConnection, numbered: str, columns: Columns) -> None:
    """Fill `staged_configs` (raw, config, config_id, problem), one row a distinct raw text."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE raw_configs AS "
        f"SELECT DISTINCT {_raw(columns)} AS raw FROM {numbered} AS raw"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE staged_configs AS "
        "SELECT raw, config, md5(config)::UUID AS config_id, NULL::VARCHAR AS problem FROM ("
        "SELECT raw, CASE WHEN coalesce(regexp_full_match(raw, $usual) "
        "AND NOT regexp_matches(raw, $unusual) AND length(raw) <= $limit, false) THEN "
        """replace(replace(raw, '": ', '":'), ', "', ',"') END AS config FROM raw_configs)""",
        {"usual": _usual(con), "unusual": _UNUSUAL, "limit": MAX_CONFIG_BYTES},
    )
    rest = con.execute("SELECT raw FROM staged_configs WHERE config IS NULL").fetchall()
    if rest:
        con.execute("DELETE FROM staged_configs WHERE config IS NULL")
        _append(con, [(raw, *_canonical(raw)) for (raw,) in rest])


def _usual(con: duckdb.DuckDBPyConnection) -> str:
    """Return a pattern of the canonical texts with the commonest sets of hyperparameters."""
    found = con.execute(
        "SELECT keys FROM (SELECT json_keys(raw) AS keys FROM "
        f"(SELECT raw FROM raw_configs LIMIT {_SAMPLE}) WHERE json_valid(raw) AND raw[1] = '{{') "
        f"GROUP BY keys ORDER BY count(*) DESC, keys LIMIT {_KINDS}"
    ).fetchall()
    kinds = [
        ", ?".join(f'"{re.escape(key)}": ?{_VALUE}' for key in keys)
        for (keys,) in found
        if keys == sorted(set(keys)) and not any(re.search(r'["\\,:\x00-\x1f]', k) for k in keys)
    ]
    return rf"\{{(?:{'|'.join(kinds)})\}}"


def _append(con: duckdb.DuckDBPyConnection, rows: list[tuple[str, str | None, str | None]]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - only tables with unusual configs need it

    raw, config, problem = (list(column) for column in zip(*rows, strict=True))
    fixed = pa.table(
        {
            "raw": pa.array(raw, pa.string()),
            "config": pa.array(config, pa.string()),
            "problem": pa.array(problem, pa.string()),
        }
    )
    con.register("fixed_configs", fixed)
    con.execute(
        "INSERT INTO staged_configs SELECT raw, config, md5(config)::UUID, problem "
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
