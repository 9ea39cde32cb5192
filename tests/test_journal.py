"""The write side: whole lines, durably, whatever the disk does."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metastore import journal as module
from metastore.journal import Claim, Journal, NotRecordedWarning, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON), st.none() | st.text())
def test_an_event_is_one_line_of_json(event: dict[str, Any], config: str | None) -> None:
    line = encode(event, config)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    if event:
        wanted = {**event, **({} if config is None else {"config": config})}
        assert json.loads(line) == json.loads(json.dumps(wanted))


def test_what_json_and_utf8_do_not_have_still_makes_a_line() -> None:
    event = {"a": float("nan"), "b": [float("inf"), {"c": float("-inf")}], "d": "x\udc80"}
    assert json.loads(encode(event)) == {"a": "NaN", "b": ["Infinity", {"c": "-Infinity"}],
                                         "d": "x?"}  # fmt: skip


def lines(folder: Path) -> list[bytes]:
    """Return what journals hold, without zeros ahead."""
    text = b"".join(p.read_bytes().rstrip(b"\0") for p in sorted(folder.glob("*.jsonl")))
    return text.splitlines()


def test_lines_are_on_the_disk_when_append_returns(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journals")
    for i in range(100):
        assert journal.append(b"%d\n" % i)
        assert lines(tmp_path / "journals")[-1] == b"%d" % i
    journal.close()
    [file] = (tmp_path / "journals").iterdir()
    assert file.read_bytes() == b"".join(b"%d\n" % i for i in range(100))


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    threads = [
        threading.Thread(
            target=lambda n=n: [journal.append(b"%d-%d\n" % (n, i)) for i in range(40)]
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lines(tmp_path)) == sorted(b"%d-%d" % (n, i) for n in range(8) for i in range(40))


def test_it_goes_on_in_a_new_file_and_never_looks_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 50)
    journal = Journal(tmp_path)
    for i in range(20):
        journal.append(b"line %d\n" % i)
        assert [_alive(p) for p in sorted(tmp_path.iterdir())].count(True) == 1
        assert _alive(max(tmp_path.iterdir()))
    assert len(list(tmp_path.iterdir())) > 2
    assert lines(tmp_path) == [b"line %d" % i for i in range(20)]
    assert {p.stem.rpartition("-")[0] for p in tmp_path.iterdir()} == {journal.identity}


def _alive(path: Path) -> bool:
    claim = Claim(path)
    claim.release()
    return claim.alive


def _append(journal: Journal, text: bytes) -> None:
    journal.append(text)
    journal.append(text)


def test_a_forked_child_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(b"parent\n")
    child = multiprocessing.get_context("fork").Process(target=_append, args=(journal, b"child\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own on fork with threads
        child.start()
    child.join()
    journal.append(b"parent\n")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    assert {frozenset(p.read_bytes().rstrip(b"\0").splitlines()) for p in files} == {
        frozenset({b"parent"}),
        frozenset({b"child"}),
    }
    assert [_alive(p) for p in files].count(True) == 1


def test_a_child_forked_while_another_thread_writes_is_not_stuck(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(b"parent\n")
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with journal.lock:
            held.set()
            go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(target=_append, args=(journal, b"child\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    child.join(10)
    stuck = child.is_alive()
    child.kill()
    child.join()
    go_on.set()
    thread.join()
    assert not stuck
    assert b"child" in lines(tmp_path)


Write = Callable[[int, bytes, int], int]


def _full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the disk hold `after` more bytes."""
    real: Write = os.pwrite
    left = [after]

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        taken = data[: left[0]]
        left[0] -= len(taken)
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, taken, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)


def test_a_full_disk_gives_one_warning_and_no_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    assert journal.append(b"before\n")
    with monkeypatch.context() as patched:
        _full_disk(patched, after=5)
        with pytest.warns(NotRecordedWarning, match="No space left") as caught:
            assert not journal.append(b"x" * module.AHEAD_BYTES + b"\n")
            assert not journal.append(b"lost\n")
        assert len(caught) == 1
        assert journal.lost == 2
    assert journal.append(b"after\n")
    assert lines(tmp_path) == [b"before", b"after"]
    assert all(p.stat().st_size for p in tmp_path.iterdir()), "an empty file was left behind"


def test_what_an_absorber_may_have_read_is_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.append(b"before\n")
    [first] = tmp_path.iterdir()
    with monkeypatch.context() as patched:
        _full_disk(patched, after=4)
        with pytest.warns(NotRecordedWarning):
            journal.append(b"x" * module.AHEAD_BYTES + b"\n")
    journal.append(b"after\n")
    assert first.read_bytes() == b"before\n"
    assert lines(tmp_path) == [b"before", b"after"]


def test_a_nearly_full_disk_still_takes_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    real: Write = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if len(data) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    assert journal.append(b"a\n")
    assert journal.append(b"b\n")
    assert lines(tmp_path) == [b"a", b"b"]


def test_a_folder_that_cannot_be_written_gives_one_warning(tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("a file where the folder should be")
    journal = Journal(tmp_path / "journals")
    with pytest.warns(NotRecordedWarning) as caught:
        assert not any(journal.append(b"x\n") for _ in range(5))
    assert len(caught) == 1


def test_a_file_that_was_deleted_under_the_process_is_made_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(b"a\n")
    next(tmp_path.iterdir()).unlink()
    assert journal.append(b"b\n")
    assert lines(tmp_path) == [b"b"]


def test_without_locks_the_heartbeat_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fcntl", None)
    journal = Journal(tmp_path)
    journal.append(b"a\n")
    [file] = tmp_path.iterdir()
    assert _alive(file)
    old = file.stat().st_mtime - 2 * module.DEAD_AFTER_SECONDS
    os.utime(file, (old, old))
    assert not _alive(file)
    journal.touch()
    assert _alive(file)


def test_the_heart_beats_while_the_journal_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    journal = Journal(tmp_path)
    journal.append(b"a\n")
    [file] = tmp_path.iterdir()
    os.utime(file, (1, 1))
    waited = threading.Event()
    for _ in range(200):
        if file.stat().st_mtime > 1:
            break
        waited.wait(0.02)
    assert file.stat().st_mtime > 1
    heart = journal._heart
    journal.close()
    assert heart is not None
    heart.join(5)
    assert not heart.is_alive()
