"""The file of the tables: shared between processes, read by old and new, never half made."""

from __future__ import annotations

import os
import threading
import time
import warnings
from pathlib import Path

import duckdb
import pytest

import metastore
from metastore import MetaStore, migrations
from metastore.engines import STORAGE_VERSION, FileEngine, StaleReadWarning
from metastore.errors import HeadstartError, InvalidInputError, StoreBusyError, StoreVersionError
from metastore.migrations import Migration
from metastore.paths import StorePaths
from metastore.types import DatasetRef, MetricValue, RunRecord
from tests.commands import RunIt
from tests.folders import unwritable
from tests.processes import running

HOLD = """
import sys, duckdb
con = duckdb.connect()
con.execute(f"ATTACH '{sys.argv[1]}' AS store" + (" (READ_ONLY)" if sys.argv[2:] else ""))
print("held", flush=True)
sys.stdin.read()
"""


def record(i: int = 0) -> RunRecord:
    return RunRecord(DatasetRef("d"), "svc", {"C": i}, (MetricValue("accuracy", 0.5),))


def filled(store: MetaStore) -> MetaStore:
    """Return the store with a run in it, and no journal."""
    store.add(record())
    store.close()
    assert store.absorb().deleted == 1
    return store


def test_a_reader_reads_the_snapshot_and_says_so_while_another_writes(store: MetaStore) -> None:
    filled(store)
    with running(HOLD, store.paths.database):
        store.add(record(1))
        began = time.monotonic()
        with pytest.warns(StaleReadWarning) as caught:
            view = store.view("accuracy")
        assert time.monotonic() - began < 2 * 2.0
    said = [str(w.message) for w in caught]
    assert any("1 journals are not absorbed yet" in text for text in said)
    assert any("snapshot of" in text for text in said)
    assert view.n_cells == 1
    assert store.view("accuracy").n_cells == 2


def test_without_a_snapshot_a_reader_waits_a_bounded_time(store: MetaStore) -> None:
    filled(store)
    store.paths.snapshot.unlink()
    with running(HOLD, store.paths.database):
        began = time.monotonic()
        with pytest.raises(StoreBusyError, match=r"another process holds .* \(waited 2 seconds\)"):
            store.view("accuracy")
        assert 1.5 < time.monotonic() - began < 5


def test_recording_and_opening_never_wait_for_the_tables(store: MetaStore) -> None:
    filled(store)
    with running(HOLD, store.paths.database):
        began = time.monotonic()
        other = metastore.open(store.paths.folder, wait_seconds=30)
        with other.run("d", "svc", {"C": 2}) as run:
            run.result(accuracy=0.7)
        assert time.monotonic() - began < 10
    assert store.view("accuracy").n_cells == 2


def test_a_writer_waits_for_a_reader_that_goes(store: MetaStore) -> None:
    filled(store)
    with running(HOLD, store.paths.database, "read") as process:
        store.add(record(1))
        threading.Timer(0.5, process.kill).start()
        assert store.absorb().lines > 0


def test_two_may_read_at_once(store: MetaStore) -> None:
    filled(store)
    with running(HOLD, store.paths.database, "read"):
        assert metastore.open(store.paths.folder, wait_seconds=0.1).view("accuracy").n_cells == 1


def test_a_path_with_lock_in_it_is_no_reason_to_wait(tmp_path: Path) -> None:
    path = tmp_path / "blocks" / "lock.duckdb"
    path.parent.mkdir()
    path.write_text("this is a text")
    began = time.monotonic()
    with pytest.raises(HeadstartError, match="not a DuckDB database"):
        metastore.open(path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("damage", ["cut", "zeros", "noise"])
def test_a_damaged_file_is_a_clear_error(store: MetaStore, damage: str) -> None:
    filled(store)
    size = store.paths.database.stat().st_size
    content = bytearray(store.paths.database.read_bytes())
    changes = {"cut": content[:5000], "zeros": bytes(size), "noise": os.urandom(size)}
    store.paths.database.write_bytes(changes[damage])
    with pytest.raises(HeadstartError):
        metastore.open(store.paths.folder).view("accuracy")


def test_storage_is_of_the_version_that_both_read(store: MetaStore) -> None:
    engine = FileEngine(store.paths)
    with engine.read() as con:
        tags = con.execute(
            "SELECT tags FROM duckdb_databases() WHERE database_name = 'store'"
        ).fetchall()[0][0]
    assert tags["storage_version"].startswith(STORAGE_VERSION[:4])


FOREIGN = {
    "one of its own": "CREATE TABLE mine AS SELECT 1 AS a",
    "a name that is Headstart's": "CREATE TABLE runs AS SELECT 1 AS a",
    "migrations of its own": "CREATE TABLE migrations AS SELECT 1 AS id, 'first' AS name",
    "a view": "CREATE VIEW seen AS SELECT 1 AS a",
    "another schema": "CREATE SCHEMA s; CREATE TABLE s.migrations (number INT, name VARCHAR, "
    "applied_at TIMESTAMP)",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_database_with_tables_of_its_own_is_no_store_and_stays_as_it_is(
    kind: str, tmp_path: Path, headstart: RunIt
) -> None:
    path = tmp_path / "mine.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(FOREIGN[kind])
    before = path.read_bytes()
    (tmp_path / "runs.csv").write_text("dataset,config,metric,value\nd,{},accuracy,0.5\n")
    for words in (("datasets",), ("query", "SELECT 1"), ("import", "table", "runs.csv")):
        ended = headstart(*words, "--store", path)
        assert ended.status == 2
        assert f"{path} is no Headstart store: it is a DuckDB database with tables" in ended.err
    with pytest.raises(InvalidInputError, match="name a new path"):
        metastore.open(path)
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "runs.csv"]


def test_an_empty_database_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "mine.duckdb"
    with duckdb.connect() as con:  # a file of DuckDB 2's own storage cannot be lowered
        con.execute(f"ATTACH '{path}' AS mine (STORAGE_VERSION '{STORAGE_VERSION}')")
    store = metastore.open(path)
    store.add(record(1))
    assert store.view("accuracy").n_cells == 1


def test_a_newer_store_is_refused(store: MetaStore) -> None:
    with FileEngine(store.paths).write() as con:
        con.execute("INSERT INTO store.migrations VALUES (99, 'future', now()::TIMESTAMP)")
    with pytest.raises(StoreVersionError, match=r"newer Headstart \(it has migration 99"):
        metastore.open(store.paths.folder)


def test_a_migration_that_fails_leaves_nothing(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store)
    bad = Migration(2, "bad", "CREATE TABLE half (a INTEGER); INSERT INTO nowhere VALUES (1);")
    with monkeypatch.context() as patched:
        known = migrations.migrations()
        patched.setattr(migrations, "migrations", lambda: [*known, bad])
        with pytest.raises(duckdb.Error, match="nowhere"):
            metastore.open(store.paths.folder)
    with FileEngine(store.paths).read() as con:
        assert migrations.applied(con) == {1}
        tables = {
            row[0] for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        }
    assert "half" not in tables
    assert metastore.open(store.paths.folder).view("accuracy").n_cells == 1


def test_a_migration_is_applied_once_to_a_store_that_has_runs(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store)
    more = Migration(2, "more", "CREATE TABLE extra (a INTEGER NOT NULL);")
    known = migrations.migrations()
    monkeypatch.setattr(migrations, "migrations", lambda: [*known, more])
    for _ in range(2):
        assert metastore.open(store.paths.folder).view("accuracy").n_cells == 1
    with FileEngine(store.paths).read() as con:
        assert migrations.applied(con) == {1, 2}


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [migration.number for migration in migrations.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_store_that_cannot_be_written_can_be_read(store: MetaStore) -> None:
    filled(store)
    folder = store.paths.folder
    with unwritable(folder):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            other = metastore.open(folder, wait_seconds=0.1)
            assert other.view("accuracy").n_cells == 1
        with pytest.warns(metastore.journal.NotRecordedWarning) as caught:
            for _ in range(3):
                with other.run("d", "svc", {}) as run:
                    run.result(accuracy=1.0)
        assert len(caught) == 1
        with pytest.raises(HeadstartError, match="cannot open"):
            other.set_direction("accuracy", higher_is_better=True)


def test_threads_of_one_process_take_turns(store: MetaStore) -> None:
    failures: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for i in range(3):
                store.add(record(10 * n + i))
                store.view("accuracy")
        except BaseException as error:
            failures.append(error)

    store.add(record())
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert store.query("SELECT count(*) FROM runs").iloc[0, 0] == 13


def test_one_file_under_two_names_is_one_file(tmp_path: Path, store: MetaStore) -> None:
    filled(store)
    (tmp_path / "link").symlink_to(store.paths.folder)
    linked = FileEngine(StorePaths.at(tmp_path / "link"))
    assert linked._lock is FileEngine(store.paths)._lock


def test_copies_that_were_not_finished_are_removed(store: MetaStore) -> None:
    filled(store)
    store.paths.snapshot.unlink()
    left = store.paths.snapshot.with_name(".snapshot.duckdb.1")
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    filled(store)
    assert store.paths.snapshot.exists()
    assert not left.exists()


@pytest.mark.parametrize("bad", ["", "what?/store"])
def test_paths_that_cannot_be_a_store(bad: str) -> None:
    with pytest.raises(InvalidInputError):
        metastore.open(bad)


def test_there_is_no_store_unless_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no store at"):
        metastore.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    file = tmp_path / "file.csv"
    file.write_text("a,b\n")
    with pytest.raises(InvalidInputError, match="is a file"):
        metastore.open(file)
