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
        return f"coalesce(try_cast({cell} AS TIMESTAMP), {moment})"
    if kind == "DOUBLE":
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    if kind == "BIGINT" and given not in _WHOLE:
        return f"CASE WHEN {number} = trunc({number}) THEN try_cast({cell} AS BIGINT) END"
    return f"try_cast({cell} AS {kind})"


def problem(columns: Columns, meaning: str) -> tuple[str, str] | None:
    """Return the SQL of when a cell cannot be understood, and of the reason to give.

    What pandas and others write for a missing value is no problem.
    """
    column = columns.known.get(meaning)
    kind = KINDS[meaning]
    if not column or (kind in ("BIGINT", "DOUBLE") and _kind(columns, column) in _SMALL):
        return None
    said = text(columns, meaning)
    missing = f"lower(trim(coalesce({said}, ''))) IN {_MISSING}"
    words = {
        "BIGINT": "integer",
        "DOUBLE": "number",
        "TIMESTAMP": "time",
        "BOOLEAN": "true or false",
    }
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


_SMALL = tuple(kind for kind in _WHOLE if kind not in ("HUGEINT", "UBIGINT"))


def _kind(columns: Columns, column: str) -> str:
    return columns.types[column].split("(", maxsplit=1)[0]
