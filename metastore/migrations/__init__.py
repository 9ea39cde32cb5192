"""Numbered .sql files that make and change the tables, each applied once.

A migration and its record are one transaction. A released migration is never edited; a store
whose record holds a number that this Headstart does not know was made by a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from metastore.bound import execute
from metastore.errors import InvalidInputError, StoreVersionError

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """Return all migrations that this Headstart knows, in order."""
    found = []
    for file in files(__package__).iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql"):
            found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def applied(con: duckdb.DuckDBPyConnection) -> set[int]:
    """Return the numbers of the migrations that the store has.

    Raises:
        InvalidInputError: if the file has tables or views, but none of Headstart's migrations.
    """
    numbered = con.execute(
        "SELECT count(*) FROM duckdb_columns() WHERE database_name = 'store' "
        "AND schema_name = 'main' AND table_name = 'migrations' "
        "AND column_name IN ('number', 'name', 'applied_at')"
    ).fetchone()
    if numbered == (3,):
        have = con.execute("SELECT number FROM store.main.migrations").fetchall()
        return {row[0] for row in have}
    _check_empty(con)
    return set()


def _check_empty(con: duckdb.DuckDBPyConnection) -> None:
    """Raise InvalidInputError if the file holds what is not Headstart's."""
    others = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'store' UNION ALL "
        "SELECT view_name FROM duckdb_views() WHERE database_name = 'store' AND NOT internal "
        "ORDER BY ALL"
    ).fetchall()
    if not others:
        return
    path = con.execute("SELECT path FROM duckdb_databases() WHERE database_name = 'store'")
    names = ", ".join(name for (name,) in others[:5]) + (", ..." if len(others) > 5 else "")
    raise InvalidInputError(
        f"{(path.fetchone() or ('the file',))[0]} is no Headstart store: it is a DuckDB database "
        f"with tables of its own ({names}); name a new path"
    )


def missing(con: duckdb.DuckDBPyConnection) -> list[Migration]:
    """Return the migrations that the store lacks, in order.

    Raises:
        StoreVersionError: if the store has a migration that this Headstart does not know.
        InvalidInputError: if the file is another program's database.
    """
    known = migrations()
    have = applied(con)
    unknown = have - {migration.number for migration in known}
    if unknown:
        raise StoreVersionError(
            f"the store was made by a newer Headstart (it has migration {max(unknown)}, this "
            f"one knows {known[-1].number}); upgrade with: pip install --upgrade headstart"
        )
    return [migration for migration in known if migration.number not in have]


def migrate(con: duckdb.DuckDBPyConnection) -> int:
    """Apply what the store lacks and return how many migrations that were.

    Raises:
        StoreVersionError: if the store has a migration that this Headstart does not know.
    """
    todo = missing(con)
    for migration in todo:
        con.execute("BEGIN")
        try:
            con.execute(
                "CREATE TABLE IF NOT EXISTS store.migrations "
                "(number INTEGER NOT NULL, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)"
            )
            con.execute(migration.sql)
            execute(
                con,
                "INSERT INTO store.migrations VALUES ($number, $name, now()::TIMESTAMP)",
                {"number": migration.number, "name": migration.name},
            )
        except BaseException:
            con.execute("ROLLBACK")
            raise
        con.execute("COMMIT")
    return len(todo)
