"""Journals into tables: once, whatever they hold and whoever dies meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pandas as pd
import pytest

import metastore
from metastore import MetaStore, absorb, journal
from metastore.errors import InvalidInputError
from metastore.types import DatasetRef, MetricValue, RunRecord, uuid7
from tests.processes import running

ONE_OPEN_RUN = """
import sys, metastore
store = metastore.open(sys.argv[1])
run = store.run("iris", "svc", {"C": 1.0})
run.__enter__()
run.log(loss=0.5)
print(run.id, flush=True)
sys.stdin.read()
run.__exit__(None, None, None)
"""


def record(i: int, **change: Any) -> RunRecord:
    values = (MetricValue("accuracy", i / 100),)
    return RunRecord(DatasetRef(f"d{i % 3}"), "svc", {"C": float(i)}, values, **change)


def tables(store: MetaStore) -> dict[str, int]:
    names = store.query("SELECT table_name FROM duckdb_tables() WHERE database_name = 'store'")
    return {
        name: int(store.query(f"SELECT count(*) FROM {name}").iloc[0, 0])
        for name in names["table_name"]
        if name != "journals"
    }


def waiting(store: MetaStore) -> list[Path]:
    return sorted(store.paths.journals.glob("*.jsonl"))


def status(store: MetaStore) -> list[str]:
    return list(store.query("SELECT status FROM run_states")["status"])


def write_journal(store: MetaStore, content: bytes, number: int = 0) -> Path:
    """Leave a journal as a process would that is dead by now."""
    store.paths.journals.mkdir(exist_ok=True, parents=True)
    path = store.paths.journals / f"{uuid7()}-{number:04d}.jsonl"
    path.write_bytes(content)
    return path


def lines_of(store: MetaStore, *records: RunRecord) -> bytes:
    other = metastore.open(store.paths.folder.parent / "elsewhere")
    other.add(records)
    other.close()
    [path] = waiting(other)
    content = path.read_bytes()
    shutil.rmtree(other.paths.folder)
    return content


def test_absorbing_twice_changes_nothing(store: MetaStore) -> None:
    store.add(record(i) for i in range(10))
    first = store.absorb()
    assert (first.journals, first.rejected, first.deleted) == (1, 0, 0)
    before = tables(store)
    assert before["runs"] == 10
    assert store.absorb().lines == 0
    assert tables(store) == before


def test_a_live_journal_is_absorbed_in_pieces(store: MetaStore) -> None:
    for i in range(5):
        store.add(record(i))
        store.absorb()
    with store.run("d0", "svc", {}) as run:
        store.absorb()
        run.log(loss=1.0)
        store.absorb()
        run.result(accuracy=0.5)
        store.absorb()
    assert store.query("SELECT count(*) FROM runs").iloc[0, 0] == 6
    assert status(store) == ["completed"] * 6
    assert store.query("SELECT count(*) FROM metric_values WHERE metric = 'loss'").iloc[0, 0] == 2
    assert len(waiting(store)) == 1
    store.close()
    assert store.absorb().deleted == 1
    assert waiting(store) == []


def test_the_same_journal_under_another_name_changes_nothing(store: MetaStore) -> None:
    with store.run("d0", "svc", {"C": 1}) as run:
        run.log(loss=1.0)
        run.result(accuracy=0.5)
    store.add(record(i) for i in range(3))
    store.close()
    [path] = waiting(store)
    content = path.read_bytes()
    store.absorb()
    before = tables(store)
    write_journal(store, content)
    store.absorb()
    assert tables(store) == before
    write_journal(store, content)
    write_journal(store, content)
    store.absorb()
    assert tables(store) == before


def test_a_torn_tail_is_kept_aside_and_the_rest_lands(store: MetaStore) -> None:
    content = lines_of(store, record(1), record(2))
    write_journal(store, content[:-30])
    done = store.absorb()
    assert (done.rejected, done.deleted) == (1, 1)
    assert store.query("SELECT count(*) FROM runs").iloc[0, 0] == 1
    [kept] = store.paths.rejected.iterdir()
    assert content.endswith(kept.read_bytes() + content[-30:])


def test_zeros_ahead_and_in_between_harm_nothing(store: MetaStore) -> None:
    content = lines_of(store, record(1))
    more = lines_of(store, record(2))
    write_journal(store, content + bytes(3 * journal.AHEAD_BYTES))
    write_journal(store, content + bytes(5000) + b"\n" + more + bytes(10))
    write_journal(store, bytes(100_000))
    write_journal(store, b"")
    assert store.absorb().deleted == 4
    assert store.query("SELECT count(*) FROM configs").iloc[0, 0] == 2


GARBAGE = {
    "no JSON": b"}{ \xff\xfe garbage",
    "a list": b"[1, 2]",
    "a text": b'"run"',
    "an unknown event": b'{"event":"teleport","run_id":"1"}',
    "nothing but its kind": b'{"event":"run"}',
    "an id that is none": b'{"event":"values","run_id":"xyz","values":[]}',
    "an end of nothing": b'{"event":"end","written_at":1.0}',
    "a time beyond all": b'{"event":"task","id":"%s","dataset_id":"%s","metric":"m",'
    b'"written_at":1e300}' % (str(uuid7()).encode(), str(uuid7()).encode()),
    "empty": b"{}",
    "a column more": b'{"event":"environment","new":{"a":[1]}}',
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_lines_that_are_no_events_are_kept_as_they_were(store: MetaStore, kind: str) -> None:
    good = lines_of(store, record(1), record(2)).splitlines(keepends=True)
    write_journal(store, b"".join([*good[:-1], GARBAGE[kind] + b"\n", good[-1]]))
    done = store.absorb()
    assert (done.rejected, done.deleted) == (1, 1)
    assert store.query("SELECT count(*) FROM runs").iloc[0, 0] == 2
    [kept] = store.paths.rejected.iterdir()
    assert kept.read_bytes() == GARBAGE[kind] + b"\n"


def test_values_that_are_no_numbers_do_not_stop_the_others(store: MetaStore) -> None:
    good = lines_of(store, record(1)).splitlines(keepends=True)
    run = json.loads(good[-1])
    run["values"] += [{"metric": "f1", "value": "x"}, {"value": 1}, {"metric": "auc"}]
    run |= {"run_id": str(uuid7()), "started_at": 1e300}
    write_journal(store, b"".join(good) + json.dumps(run).encode() + b"\n")
    assert store.absorb().rejected == 0
    assert store.query("SELECT count(*) FROM metric_values").iloc[0, 0] == 2


def test_a_line_longer_than_any_is_set_aside(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absorb, "MAX_LINE_BYTES", 5_000)
    real = absorb.query
    short = {"stage_journals": real("stage_journals").replace("67108864", "10000")}
    monkeypatch.setattr(absorb, "query", lambda name: short.get(name) or real(name))
    write_journal(store, b'{"event":"' + b"x" * 40_000_000 + b'"}\n' + lines_of(store, record(1)))
    done = store.absorb()
    assert (done.rejected, done.deleted) == (1, 1)
    assert store.query("SELECT count(*) FROM runs").iloc[0, 0] == 1


def test_a_run_that_is_too_long_to_be_read_is_refused_when_recorded(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metastore.recorder, "MAX_LINE_BYTES", 5_000)
    curve = tuple(MetricValue("loss", float(i), step=i) for i in range(1000))
    with pytest.raises(InvalidInputError, match="1,000 values"):
        store.add(RunRecord(DatasetRef("d"), "a", {"C": 1.0}, curve))
    store.add(record(1))
    assert store.query("SELECT count(*) FROM runs JOIN configs USING (config_id)").iloc[0, 0] == 1


@pytest.mark.parametrize("end", ["kill", "close input"])
def test_a_run_is_crashed_when_its_process_is_dead(store: MetaStore, end: str) -> None:
    with running(ONE_OPEN_RUN, store.paths.folder) as process:
        assert status(store) == ["running"]
        assert store.absorb().crashed == 0
        if end == "kill":
            process.kill()
            process.wait()
            assert store.absorb().crashed == 1
            assert status(store) == ["crashed"]
            assert "died" in store.query("SELECT error FROM run_states").iloc[0, 0]
        else:
            process.communicate()
            assert store.absorb().crashed == 0
            assert status(store) == ["completed"]
    assert waiting(store) == []
    assert store.absorb().crashed == 0


def test_a_run_taken_for_dead_that_then_ends_is_believed(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.run("d", "svc", {}) as run:
        with monkeypatch.context() as patched:
            patched.setattr(absorb.Claim, "_is_alive", lambda claim: False)
            assert store.absorb().crashed == 1
        assert status(store) == ["crashed"]
        run.result(accuracy=0.5)
    found = store.query("SELECT status, error, seconds FROM run_states").iloc[0]
    assert found["status"] == "completed"
    assert pd.isna(found["error"])
    assert found["seconds"] > 0
    assert store.view("accuracy").n_cells == 1


def test_a_process_with_several_files_is_alive_while_one_of_them_is(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 200)
    with store.run("d", "svc", {"C": 1}) as run:
        for _ in range(5):
            run.log(loss=1.0)
            assert store.absorb().crashed == 0
        assert len(waiting(store)) == 1
    assert status(store) == ["completed"]
    assert store.query("SELECT count(*) FROM metric_values").iloc[0, 0] == 6


def test_without_locks_a_silent_process_is_dead(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "fcntl", None)
    run = store.run("d", "svc", {})
    run.__enter__()
    assert store.absorb().crashed == 0
    [path] = waiting(store)
    os.utime(path, (1, 1))
    assert store.absorb().crashed == 1
    run.__exit__(None, None, None)
    assert status(store) == ["completed"]


class _StopError(Exception):
    pass


def _stop(*_: object, **__: object) -> None:
    raise _StopError


@pytest.mark.parametrize("where", ["before commit", "before checkpoint", "before unlink"])
def test_a_death_in_between_loses_and_doubles_nothing(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    write_journal(store, lines_of(store, *map(record, range(5))) + b"garbage\ntorn")
    with monkeypatch.context() as patched:
        if where == "before commit":
            patched.setattr(absorb, "_mark_crashed", _stop)
        elif where == "before checkpoint":
            take = absorb._take
            patched.setattr(absorb, "_take", lambda *given: _stop(take(*given)))
        else:
            patched.setattr(Path, "unlink", _stop)
        with pytest.raises(_StopError):
            store.absorb()
    assert len(waiting(store)) == 1, "a journal is deleted only after a checkpoint"
    done = store.absorb()
    assert done.deleted == 1
    assert store.query("SELECT count(*), count(DISTINCT run_id) FROM runs").iloc[0].tolist() == [
        5,
        5,
    ]
    assert store.query("SELECT count(*) FROM metric_values").iloc[0, 0] == 5
    kept = sorted(p.read_bytes() for p in store.paths.rejected.iterdir())
    assert kept == [b"garbage\n", b"torn"]


def test_what_killed_absorbers_left_is_swept(store: MetaStore) -> None:
    (store.paths.folder / ".absorb-old").mkdir()
    store.add(record(1))
    old = store.paths.journals / "x-0000.new"
    old.touch()
    os.utime(old, (1, 1))
    store.absorb()
    assert not list(store.paths.folder.glob(".absorb-*"))
    assert not old.exists()


def _record_in_child(path: Path, n: int) -> None:
    store = metastore.open(path)
    for i in range(n):
        store.add(record(i))


def _record_here(store: MetaStore, n: int) -> None:
    for i in range(n):
        store.add(record(i))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_record_into_files_of_their_own(store: MetaStore, method: str) -> None:
    store.add(record(1))
    context = get_context(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        children: list[Any] = []
        for _ in range(3):
            if method == "fork":
                children.append(context.Process(target=_record_here, args=(store, 5)))  # type: ignore[attr-defined]
            else:
                children.append(
                    context.Process(target=_record_in_child, args=(store.paths.folder, 5))  # type: ignore[attr-defined]
                )
            children[-1].start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    done = store.absorb()
    assert (done.journals, done.deleted) == (4, 3)
    joined = "SELECT count(*) FROM runs JOIN configs USING (config_id) JOIN latest_datasets "
    assert store.query(joined + "USING (dataset_id)").iloc[0, 0] == 16


def test_lines_keep_the_order_in_which_they_stand(tmp_path: Path) -> None:
    files, each = [tmp_path / f"{i}.jsonl" for i in range(6)], 20_000
    for i, file in enumerate(files):
        numbers = range(i * each, (i + 1) * each)
        said = f'{{"event":"end","run_id":"{UUID(int=i)}","status":"failed","written_at":'
        file.write_text("".join(f"{said}{number}}}\n" for number in numbers), encoding="utf-8")
    with duckdb.connect() as con:
        absorb._stage_files(con, files)
        found = con.execute("SELECT event, written_at FROM events ORDER BY line").fetchall()
    assert found == [("end", float(number)) for number in range(len(files) * each)]
