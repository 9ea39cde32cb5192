"""Times with a time zone in what is asked of the store in SQL: they are given as UTC, without one.

DuckDB makes Python values of them only where the package pytz is installed, and the store's own
times are UTC without a zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_ZONED = "TIMESTAMP WITH TIME ZONE"


def without_zones(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return a query that gives the times of the one just executed as UTC; empty for no such time.

    >>> import duckdb
    >>> con = duckdb.connect()
    >>> _ = con.execute(asked := "SELECT 1 AS n, now() AS at; -- now")
    >>> without_zones(con, asked)
    'SELECT #1 AS "n", #2::TIMESTAMP AS "at" FROM (SELECT 1 AS n, now() AS at)'
    """
    columns = [(name, str(kind)) for name, kind, *_ in con.description or ()]
    if all(kind != _ZONED for _, kind in columns):
        return ""
    casts = (
        f"#{place}{'::TIMESTAMP' * (kind == _ZONED)} AS {_quoted(name)}"
        for place, (name, kind) in enumerate(columns, 1)
    )
    return f"SELECT {', '.join(casts)} FROM ({_last_statement(con, sql)})"


def _last_statement(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the last statement without the semicolon and comments that end it."""
    import duckdb  # noqa: PLC0415 - only its words are needed

    statement = con.extract_statements(sql)[-1].query.encode()
    for at, kind in reversed(duckdb.tokenize(statement.decode())):
        if statement[at : at + 1] == b";":
            statement = statement[:at]
        elif kind != duckdb.token_type.comment:
            break
    return statement.decode().strip() + "\n" * (b"--" in statement)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def unread(found: duckdb.DuckDBPyConnection, error: duckdb.Error) -> str:
    """Return why the rows of a result cannot be read, in words that name the column."""
    inner = [name for name, kind, *_ in found.description or () if _ZONED in str(kind)]
    if not inner or "pytz" not in str(error):
        return str(error)
    return (
        f"column {inner[0]!r} holds times with a time zone inside a list or struct; cast them, as "
        "in list_transform(times, lambda time: time::TIMESTAMP)"
    )
