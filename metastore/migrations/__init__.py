"""Numbered .sql files that make and change the tables, each applied once.

A migration and its record are one transaction. A released migration is never edited; a store
whose record holds a number that this Headstart does not know was made by a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from metastore.bound import execute
from metastore.errors import StoreVersionError

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
    """Return the numbers of the migrations that the store has."""
    exists = con.execute(
        "SELECT count(*) FROM duckdb_tables() "
        "WHERE database_name = 'store' AND table_name = 'migrations'"
    ).fetchone()
    if not exists or not exists[0]:
        return set()
    return {row[0] for row in con.execute("SELECT number FROM store.migrations").fetchall()}


def missing(con: duckdb.DuckDBPyConnection) -> list[Migration]:
    """Return the migrations that the store lacks, in order.

    Raises:
        StoreVersionError: if the store has a migration that this Headstart does not know.
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
