"""Journals into the tables: once, idempotently, in bulk; deleted only after a checkpoint.

How far a journal was read is a row in the same transaction as what was read from it, so a
process that dies in between changes nothing. A journal is deleted when its process is dead, all
of it is in the tables, and a checkpoint holds them. What cannot be understood is moved to the
folder `rejected`, as it was.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

from metastore.bound import Value, execute
from metastore.engines import FileEngine
from metastore.journal import AHEAD_BYTES, DEAD_AFTER_SECONDS, NEW, SUFFIX, Claim
from metastore.paths import StorePaths
from metastore.queries import query
from metastore.recorder import MAX_LINE_BYTES

BATCH_BYTES = 512 * 1024 * 1024
WORKING = ".absorb-"
_READ = "INSERT INTO store.journals VALUES ($name, $end, $alive, now()::TIMESTAMP)"


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What one call of `absorb` did.

    Args:
        journals: how many journals had something new.
        lines: how many new lines were read.
        rejected: how many of them could not be understood; they are kept in `rejected`.
        crashed: how many runs were found to have died with their process.
        deleted: how many journals are no longer needed and were deleted.
    """

    journals: int = 0
    lines: int = 0
    rejected: int = 0
    crashed: int = 0
    deleted: int = 0

    def __add__(self, other: Absorbed) -> Absorbed:
        return Absorbed(
            self.journals + other.journals,
            self.lines + other.lines,
            self.rejected + other.rejected,
            self.crashed + other.crashed,
            self.deleted + other.deleted,
        )


@dataclass(slots=True)
class _Part:
    """The unread part of one journal: bytes `start` to `end`, and a torn rest after it."""

    claim: Claim
    start: int
    end: int
    torn: bytes = b""

    @property
    def name(self) -> str:
        return self.claim.path.stem


def waiting(paths: StorePaths) -> list[Path]:
    """Return the journals in a store's folder, oldest first."""
    if not paths.journals.is_dir():
        return []
    return sorted(paths.journals.glob(f"*{SUFFIX}"))


def absorb(engine: FileEngine) -> Absorbed:
    """Take all journals into the store.

    Raises:
        StoreBusyError: if another process holds the store; no journal is touched then.
    """
    total = Absorbed()
    while True:
        done, more = _absorb_batch(engine)
        total += done
        if not more:
            return total


def _absorb_batch(engine: FileEngine) -> tuple[Absorbed, bool]:
    with contextlib.ExitStack() as stack:
        with engine.write() as con:
            _sweep(engine.paths)
            parts, more = _unread(con, engine.paths, stack)
            if not parts:
                return Absorbed(), False
            done = _take(con, parts, engine.paths)
        # The checkpoint of engine.write() holds everything now.
        deleted = 0
        for part in parts:
            if not part.claim.alive:
                with contextlib.suppress(PermissionError):  # another user's, who may
                    part.claim.path.unlink(missing_ok=True)
                    deleted += 1
        return done + Absorbed(deleted=deleted), more


def _sweep(paths: StorePaths) -> None:
    """Remove what absorbers and recorders that were killed left behind.

    Whoever holds the tables is the only absorber, so any working folder is a dead one's.
    """
    for folder in paths.folder.glob(f"{WORKING}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for path in paths.journals.glob(f"*{NEW}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > DEAD_AFTER_SECONDS:
                path.unlink()


def _unread(
    con: duckdb.DuckDBPyConnection, paths: StorePaths, stack: contextlib.ExitStack
) -> tuple[list[_Part], bool]:
    """Claim journals up to `BATCH_BYTES`, and say whether there are more."""
    rows = con.execute("SELECT journal, absorbed_bytes FROM store.latest_journals").fetchall()
    absorbed = dict(rows)
    parts: list[_Part] = []
    size = 0
    for path in waiting(paths):
        if size > BATCH_BYTES:
            return parts, True
        try:
            claim = Claim(path)
        except FileNotFoundError:
            continue  # another process absorbed it meanwhile
        stack.callback(claim.release)
        part = _find_part(claim, absorbed.get(path.stem, 0))
        if part.end > part.start or not claim.alive:
            parts.append(part)
            size += part.end - part.start
    return parts, False


def _find_part(claim: Claim, start: int) -> _Part:
    """Find the last whole line; zeros that were written ahead come after it."""
    with claim.path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        tail = b""
        at = size
        while at > start:
            step = min(2 * AHEAD_BYTES, at - start)
            at -= step
            file.seek(at)
            tail = file.read(step) + tail
            cut = tail.rfind(b"\n")
            if cut >= 0:
                return _Part(claim, start, at + cut + 1, tail[cut + 1 :].rstrip(b"\0"))
    return _Part(claim, start, start, tail.rstrip(b"\0"))


def _take(con: duckdb.DuckDBPyConnection, parts: list[_Part], paths: StorePaths) -> Absorbed:
    with tempfile.TemporaryDirectory(dir=paths.folder, prefix=WORKING) as folder:
        read = [part for part in parts if part.end > part.start]
        files = [_copy(part, Path(folder)) for part in read]
        # What is staged is no part of the transaction: DuckDB reads what a transaction has just
        # written with one thread.
        dropped = _stage(con, read, files, Path(folder)) if files else 0
        con.execute("BEGIN")
        try:
            lines, bad = _insert(con, list(zip(read, files, strict=True)))
            crashed = _mark_crashed(con, parts, paths)
            for part in parts:
                said: dict[str, Value] = {"name": part.name, "end": part.end}
                execute(con, _READ, said | {"alive": part.claim.alive})
        except BaseException:
            con.execute("ROLLBACK")
            raise
        con.execute("COMMIT")
    torn = [part for part in parts if part.torn and not part.claim.alive]
    for part in torn:
        _keep(part, part.torn, part.end, "torn")
    return Absorbed(len(read), lines, dropped + bad + len(torn), crashed)


def _insert(con: duckdb.DuckDBPyConnection, read: list[tuple[_Part, Path]]) -> tuple[int, int]:
    """Insert what is staged; return how many lines that is, and how many of them no events."""
    if not read:
        return 0, 0
    counted = con.execute("SELECT count(*), count(*) FILTER (event IS NULL) FROM events").fetchone()
    assert counted is not None
    lines, bad = counted
    con.execute(query("absorb_journals"))
    return lines, sum(_reject(con, part, file) for part, file in read) if bad else 0


def _copy(part: _Part, folder: Path) -> Path:
    """Return a file of the unread whole lines: the journal itself where it holds nothing else."""
    whole = part.start == 0 and part.end == part.claim.path.stat().st_size
    if whole and not part.claim.alive:
        return part.claim.path
    copy = folder / f"{part.name}{SUFFIX}"
    with part.claim.path.open("rb") as source, copy.open("wb") as out:
        source.seek(part.start)
        left = part.end - part.start
        while left:
            block = source.read(min(left, 1 << 22))
            if not block:
                break  # its process cut off what it failed to write
            out.write(block)
            left -= len(block)
    return copy


def _stage(
    con: duckdb.DuckDBPyConnection, parts: list[_Part], files: list[Path], folder: Path
) -> int:
    """Stage all lines of the files, and return how many were too long to be read at all.

    Args:
        con: the connection.
        parts: what is read.
        files: the file of each part; one without the long lines takes its place.
        folder: for those.
    """
    try:
        _stage_files(con, files)
    except duckdb.InvalidInputException:
        dropped = 0
        for i, part in enumerate(parts):
            files[i], count = _drop_long(part, files[i], folder)
            dropped += count
        if not dropped:
            raise
        _stage_files(con, files)
        return dropped
    return 0


def _stage_files(con: duckdb.DuckDBPyConnection, files: list[Path]) -> None:
    con.execute(query("moment"))
    execute(con, query("stage_journals"), {"files": [str(file) for file in files]})
    # All threads read the files, which they would not if lines were numbered on the way; DuckDB
    # keeps the order of what it reads.
    con.execute(
        "CREATE OR REPLACE TEMP VIEW events AS SELECT rowid AS line, * FROM temp.journal_lines"
    )


def _drop_long(part: _Part, file: Path, folder: Path) -> tuple[Path, int]:
    """Keep lines that are longer than any this program writes, and return a file of the rest."""
    lines = file.read_bytes().splitlines(keepends=True)
    long = [line for line in lines if len(line) > MAX_LINE_BYTES]
    if not long:
        return file, 0
    _keep(part, b"".join(long), part.start, "long")
    rest = folder / f"{part.name}.rest{SUFFIX}"
    rest.write_bytes(b"".join(line for line in lines if len(line) <= MAX_LINE_BYTES))
    return rest, len(long)


def _reject(con: duckdb.DuckDBPyConnection, part: _Part, file: Path) -> int:
    """Keep the lines of a file that are not events, as they were, and count them."""
    _stage_files(con, [file])
    flags = [
        row[0] for row in con.execute("SELECT event IS NULL FROM events ORDER BY line").fetchall()
    ]
    if not any(flags):
        return 0
    lines = file.read_bytes().split(b"\n")
    lines = [line + b"\n" for line in lines if line.strip()]
    if len(lines) == len(flags):
        lines = [line for line, bad in zip(lines, flags, strict=True) if bad]
    _keep(part, b"".join(lines), part.start, "lines")
    return sum(flags)


def _keep(part: _Part, content: bytes, at: int, kind: str) -> None:
    """Write what is rejected under a name of its own, so that doing it again changes nothing."""
    folder = part.claim.path.parent.parent / "rejected"
    folder.mkdir(exist_ok=True)
    with (folder / f"{part.name}.{at}.{kind}").open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _mark_crashed(con: duckdb.DuckDBPyConnection, parts: list[_Part], paths: StorePaths) -> int:
    """End the runs that a dead process left open, and return how many there were.

    A process that went on in a new file closed the old one: it is dead only when none of its
    files is left but the ones that are claimed here as dead.
    """
    claimed = {part.claim.path for part in parts if not part.claim.alive}
    others = {_process(path) for path in waiting(paths) if path not in claimed}
    dead = sorted({_process(path) for path in claimed} - others)
    if not dead:
        return 0
    return len(execute(con, query("mark_crashed"), {"journals": dead}).fetchall())


def _process(journal: Path) -> str:
    return journal.stem.rpartition("-")[0]
