"""Running SQL with values bound to its parameters.

DuckDB imports pandas the first time that it is handed a Python value: 0.4 seconds, a fifth of
what a command on a small store takes. So values become DuckDB's own variables, which are set by
literals; those that no literal spells are handed over as usual.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

Value = str | int | bool | Sequence[str]

_LARGEST = 2**63 - 1


def execute(
    con: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Value]
) -> duckdb.DuckDBPyConnection:
    """Execute a statement with values for its parameters, each `$name` with a name of its own.

    >>> import duckdb
    >>> execute(duckdb.connect(), "SELECT $a || '!', $b", {"a": "it's", "b": 2}).fetchall()
    [("it's!", 2)]
    """
    bound, left = _bound(con, sql, values)
    return con.execute(bound, left) if left else con.execute(bound)


def arrow_table(
    con: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Value] = MappingProxyType({})
) -> Any:
    """Return the rows of a query as an Arrow table, with values for its parameters.

    >>> import duckdb
    >>> arrow_table(duckdb.connect(), "SELECT $a AS a", {"a": 2})["a"].to_pylist()
    [2]
    """
    bound, left = _bound(con, sql, values)
    found = con.sql(bound, params=left) if left else con.sql(bound)
    return found.to_arrow_table()


def _bound(
    con: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Value]
) -> tuple[str, dict[str, Value]]:
    """Return a statement that has its values, and the values that are to be handed over."""
    spelled = {name: _literal(value) for name, value in values.items()}
    if None in spelled.values():
        return sql, dict(values)
    for name, literal in spelled.items():
        con.execute(f"SET VARIABLE headstart_{name} = {literal}")
    if not spelled:
        return sql, {}
    return re.sub(rf"\$({'|'.join(spelled)})\b", r"getvariable('headstart_\1')", sql), {}


def _literal(value: Value) -> str | None:
    """Return a value as SQL; None for one that is better handed over as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}::BIGINT" if -_LARGEST <= value <= _LARGEST else None
    if isinstance(value, str):
        # In a DuckDB literal nothing but the quote means anything but itself.
        return None if "\0" in value else "'" + value.replace("'", "''") + "'"
    parts = [part for one in value if (part := _literal(one)) is not None]
    return f"[{', '.join(parts)}]" if parts and len(parts) == len(value) else None
