"""The part of a store that answers SQL: read-only, and out of reach of any other file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb

from metastore.errors import InvalidInputError
from metastore.reading import rows_of
from metastore.rows import Rows
from metastore.zones import unread, without_zones

if TYPE_CHECKING:
    import pandas as pd


class Querying:
    """What asks in SQL; `MetaStore` brings the connection."""

    reader: Callable[[], Any]

    def query(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> pd.DataFrame:
        """Return the rows of a read-only SQL query as a DataFrame; times with a zone as UTC.

        Raises:
            InvalidInputError: if DuckDB refuses the query.
        """
        with self._asked(sql, parameters) as found:
            return found.df()

    def rows(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> Rows:
        """Return the rows of a read-only SQL query as dictionaries by column name.

        Columns of one name are told apart as in `query`: `value`, `value_1`, ... Times with a zone
        are given as UTC.

        Raises:
            InvalidInputError: if DuckDB refuses the query.
        """
        with self._asked(sql, parameters) as found:
            return rows_of(found)

    @contextmanager
    def _asked(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object]
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield the result of a query that can reach no file but the store."""
        with self.reader() as con:
            con.execute("SET enable_external_access = false")
            try:
                found = _interruptible(con, sql, parameters)
                if zoneless := without_zones(con, sql):
                    found = _interruptible(con, zoneless, parameters)
            except duckdb.Error as error:
                raise InvalidInputError(f"the query failed: {error}") from error
            if found is None or found.description is None:
                raise InvalidInputError(
                    "the query holds no statement; expected one such as SELECT count(*) FROM runs"
                )
            try:
                yield found
            except duckdb.Error as error:
                raise InvalidInputError(f"the query failed: {unread(found, error)}") from error


def _interruptible(
    con: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Sequence[object] | Mapping[str, object],
) -> duckdb.DuckDBPyConnection:
    """Execute in a thread: while DuckDB waits for its own threads it hears of no interrupt."""
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(con.execute, sql, parameters or None)
        try:
            return work.result()
        except KeyboardInterrupt:
            con.interrupt()
            raise
