"""The SQL of a table's cells: as text, as numbers and times, and what is wrong with them."""

from __future__ import annotations

from metastore.importers.table_columns import NUMERIC, Columns, name

KINDS = {
    "higher_is_better": "BOOLEAN",
    "seed": "BIGINT",
    "step": "BIGINT",
    "fold": "BIGINT",
    "fidelity": "DOUBLE",
    "runtime_s": "DOUBLE",
    "started_at": "TIMESTAMP",
    "ended_at": "TIMESTAMP",
}
_WHOLE = tuple(kind for kind in NUMERIC if kind.endswith("INT") or kind == "INTEGER")
_MISSING = "('', 'nan', 'nat', 'none', 'null', 'na')"


def plain(column: str, kind: str) -> str:
    """Return the SQL of a cell; of a JSON text without its quotes."""
    return f"(raw.{name(column)} ->> '$')" if kind == "JSON" else f"raw.{name(column)}"


def text(columns: Columns, meaning: str, wide: str = "") -> str:
    """Return the SQL of a cell as text, NULL where the table has no such column.

    Args:
        columns: the table's columns.
        meaning: which of them.
        wide: the column that a wide table has for it once its metrics are turned into rows.
    """
    column = columns.known.get(meaning)
    if column:
        return f"{plain(column, columns.types[column])}::VARCHAR"
    return f"raw.{name(wide)}::VARCHAR" if wide and columns.metrics else "NULL::VARCHAR"


def cast(columns: Columns, meaning: str) -> str:
    """Return the SQL of a cell as what its meaning needs, NULL where it is not that."""
    column = columns.known.get(meaning)
    kind = KINDS[meaning]
    if not column:
        return f"NULL::{kind}"
    cell, given = plain(column, columns.types[column]), _kind(columns, column)
    number = f"try_cast({cell} AS DOUBLE)"
    if kind == "TIMESTAMP":
        moment = (
            f"make_timestamp(CASE WHEN {number} BETWEEN -6e10 AND 2e11 "
            f"THEN ({number} * 1e6)::BIGINT END)"
        )
        if given in NUMERIC:
            return moment
        return f"coalesce({_time(cell, given)}, {moment})"
    if kind == "DOUBLE":
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    if kind == "BIGINT" and given not in _WHOLE:
        return f"CASE WHEN {number} = trunc({number}) THEN try_cast({cell} AS BIGINT) END"
    return f"try_cast({cell} AS {kind})"


def _time(cell: str, kind: str) -> str:
    """Return the SQL of a cell as a time in UTC; one that names no zone is taken as it is.

    A cast of text to TIMESTAMP passes over an offset, one to TIMESTAMPTZ heeds it, and the
    connection's own zone is UTC.
    """
    if kind not in ("VARCHAR", "JSON"):
        return f"try_cast({cell} AS TIMESTAMP)"
    close = rf"regexp_replace({cell}, '\s+([+-][0-9:]+|Z)\s*$', '\1')"
    return f"try_cast({close} AS TIMESTAMPTZ)::TIMESTAMP"


def problem(columns: Columns, meaning: str) -> tuple[str, str] | None:
    """Return the SQL of when a cell cannot be understood, and of the reason to give.

    What pandas and others write for a missing value is no problem.
    """
    column = columns.known.get(meaning)
    kind = KINDS[meaning]
    if not column or (kind in ("BIGINT", "DOUBLE") and _kind(columns, column) in _SMALL):
        return None
    if kind == "TIMESTAMP":
        return _no_time(columns, meaning)
    said = text(columns, meaning)
    missing = f"lower(trim(coalesce({said}, ''))) IN {_MISSING}"
    words = {"BIGINT": "integer", "DOUBLE": "number", "BOOLEAN": "true or false"}
    expected = words[kind]
    if kind == "DOUBLE":
        wrong = f"try_cast({plain(column, columns.types[column])} AS DOUBLE) IS NULL"
    else:
        wrong = f"{cast(columns, meaning)} IS NULL"
    label = column.replace("'", "''")
    return (
        f"{wrong} AND NOT {missing}",
        f"'{label} ' || left({said}, 40) || ' is not {'' if kind == 'BOOLEAN' else 'a '}{expected}'"
        if kind != "BIGINT"
        else f"'{label} ' || left({said}, 40) || ' is not an integer of 64 bits'",
    )


def _no_time(columns: Columns, meaning: str) -> tuple[str, str]:
    """Return the same for a time; a number too large for seconds is told its likely unit."""
    column = columns.known[meaning]
    said = text(columns, meaning)
    number = f"abs(try_cast({plain(column, columns.types[column])} AS DOUBLE))"
    unit = (
        f"CASE WHEN {number} < 2e14 THEN 'milliseconds' WHEN {number} < 2e17 THEN 'microseconds' "
        "ELSE 'nanoseconds' END"
    )
    label = column.replace("'", "''")
    return (
        f"{cast(columns, meaning)} IS NULL AND NOT lower(trim(coalesce({said}, ''))) IN {_MISSING}",
        f"'{label} ' || left({said}, 40) || ' is not a time' || CASE WHEN {number} >= 6e10 AND "
        f"isfinite({number}) THEN ': it looks like ' || {unit} || ' since 1970, expected seconds, "
        "or a time such as 2024-05-01 12:30:00' ELSE '' END",
    )


def negative_time(columns: Columns) -> dict[str, str]:
    """Return the SQL of when a run took less than no time, and of the reason to give."""
    found = {}
    if columns.has("runtime_s"):
        label = columns.known["runtime_s"].replace("'", "''")
        reason = f"'{label} ' || left({text(columns, 'runtime_s')}, 40) || ' is negative'"
        found[f"{cast(columns, 'runtime_s')} < 0"] = reason
    if columns.has("started_at") and columns.has("ended_at"):
        started, ended = (columns.known[m].replace("'", "''") for m in ("started_at", "ended_at"))
        reason = (
            f"'{ended} ' || left({text(columns, 'ended_at')}, 40) || ' lies before {started} ' || "
            f"left({text(columns, 'started_at')}, 40)"
        )
        found[f"{cast(columns, 'ended_at')} < {cast(columns, 'started_at')}"] = reason
    return found


_SMALL = tuple(kind for kind in _WHOLE if kind not in ("HUGEINT", "UBIGINT"))


def _kind(columns: Columns, column: str) -> str:
    return columns.types[column].split("(", maxsplit=1)[0]
