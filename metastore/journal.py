"""The write side: an append-only file of JSON lines, one a process, that training writes to.

A line is on the disk (fdatasync) before `append` returns. The file is filled with zeros some
way ahead: to overwrite what is there costs the disk one write, while to grow a file costs it a
commit of its file system as well (8,300 against 270 lines a second where this was measured).

Nothing here raises into training: when the disk is full or the folder cannot be written, one
warning says what was not recorded and training goes on. A process holds a lock on its journal
for as long as it lives, so whoever absorbs journals can tell a live process from a dead one;
where locks do not work, the file's time of change, which a heartbeat thread renews, tells.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
import warnings
import weakref
from pathlib import Path
from typing import Any

from metastore.types import uuid7

try:
    import fcntl
except ImportError:  # Windows has no fcntl; the heartbeat alone tells there
    fcntl = None  # type: ignore[assignment]

SEGMENT_BYTES = 64 * 1024 * 1024
"""A journal goes on in a new file past this size, so that absorbed ones can be deleted."""

AHEAD_BYTES = 256 * 1024
"""How far ahead a journal is filled with zeros."""

HEARTBEAT_SECONDS = 10.0
DEAD_AFTER_SECONDS = 120.0
SUFFIX = ".jsonl"
NEW = ".new"
"""Suffix of a journal that is not locked yet."""


class NotRecordedWarning(UserWarning):
    """Something could not be written down; training went on."""


_quoted = json.encoder.encode_basestring

# Made once: `json.dumps` makes an encoder a call.
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def encode(event: dict[str, Any], config_text: str | None = None) -> bytes:
    """Return an event as one line of JSON, with a config that is JSON text already.

    The config stands there as a string, which no reader spells anew. NaN and infinities, which
    JSON does not have, become the strings DuckDB casts from; half of a surrogate pair, which
    UTF-8 does not have, becomes a question mark.
    """
    try:
        text = _dumps(event)
    except ValueError:
        text = json.dumps(_finite(event), separators=(",", ":"), ensure_ascii=False)
    if config_text is not None:
        text = f'{text[:-1]},"config":{_quoted(config_text)}}}'
    return text.encode("utf-8", "replace") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


class Journal:
    """The journal of this process for one store.

    Args:
        folder: the store's folder of journals; made at the first append.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost = 0
        self.lock = threading.RLock()
        """Held while lines are written; who composes lines from shared state holds it too."""
        self._warned = False
        self._forget()
        _journals.add(self)

    def _forget(self) -> None:
        self._fd: int | None = None
        self._path: Path | None = None
        self._text = ""
        self._size = 0
        self._filled = 0
        self._broken = False
        self._segment = 0
        # Which process's journal this is, over all its files; another one after a fork.
        self.identity = str(uuid7())
        self._pid = os.getpid()
        self._heart: threading.Thread | None = None

    def after_fork(self) -> None:
        """Let go of the parent's file in a forked child, which gets a journal of its own."""
        self.lock = threading.RLock()
        if self._fd is not None:
            os.close(self._fd)
        self._forget()

    @property
    def name(self) -> str:
        """Name of the file this process writes to now, without its suffix."""
        return f"{self.identity}-{self._segment:04d}"

    def append(self, lines: bytes) -> bool:
        """Write whole lines durably and return whether that worked; never raise OSError."""
        with self.lock:
            try:
                self._write(lines)
            except OSError as error:
                self._recover()
                self.lost += lines.count(b"\n")
                self._warn(error)
                return False
            self._warned = False
            return True

    def _write(self, lines: bytes) -> None:
        if self._fd is None or self._size >= SEGMENT_BYTES or self._broken or self._is_gone():
            self._open_segment()
        assert self._fd is not None
        end = self._size + len(lines)
        if end > self._filled:
            self._write_ahead(lines, end)
            os.fsync(self._fd)
        else:
            _write_all(self._fd, lines, self._size)
            _fdatasync(self._fd)
        self._size = end

    def _write_ahead(self, lines: bytes, end: int) -> None:
        """Write lines and zeros after them, or on a disk that is nearly full the lines alone."""
        assert self._fd is not None
        try:
            _write_all(self._fd, lines + bytes(AHEAD_BYTES), self._size)
            self._filled = end + AHEAD_BYTES
        except OSError:
            os.ftruncate(self._fd, self._size)
            _write_all(self._fd, lines, self._size)
            self._filled = end

    def _is_gone(self) -> bool:
        """Whether somebody deleted the file, having taken this process for dead.

        Asked of the name: to ask for the file's state makes the kernel write its time of change
        anew at the next write, which takes as long as half of the write (Linux 6.13 and newer).
        """
        return not os.access(self._text, os.F_OK)

    def _open_segment(self) -> None:
        """Open the next file, locked before it has the name that absorbers look for.

        The old file is let go only then, so that this process never looks dead.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._fd is not None:
            self._segment += 1
        path = self.folder / f"{self.name}{SUFFIX}"
        new = path.with_suffix(NEW)
        fd = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _CLOEXEC, 0o644)
        try:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # without locks the heartbeat tells
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(path)
            _fsync_folder(self.folder)
        except BaseException:
            os.close(fd)
            new.unlink(missing_ok=True)
            raise
        if self._fd is not None:
            self._finish()
        self._fd, self._path, self._size, self._filled = fd, path, 0, 0
        self._text = str(path.absolute())
        self._broken = False
        self._start_heart()

    def _recover(self) -> None:
        """Cut off what a failed write left, and go on in another file.

        Not in this one: an absorber may have read some of what is cut off, and would look for
        more behind it.
        """
        if self._fd is None:
            return
        self._broken = True
        with contextlib.suppress(OSError):  # whoever absorbs it keeps the rest in `rejected`
            os.ftruncate(self._fd, self._size)

    def _finish(self) -> None:
        """Cut off the zeros ahead and close the file; one without a line is not left behind."""
        assert self._fd is not None
        with contextlib.suppress(OSError):  # whoever absorbs it knows zeros
            os.ftruncate(self._fd, self._size)
            if self._size == 0 and self._path is not None:
                self._path.unlink()
        os.close(self._fd)
        self._fd = None

    def _warn(self, error: OSError) -> None:
        if self._warned:
            return
        self._warned = True
        warnings.warn(
            f"Headstart could not record to {self.folder} ({error.strerror or error}); training "
            "goes on, and what it reports is not recorded until this is mended",
            NotRecordedWarning,
            stacklevel=4,
        )

    def _start_heart(self) -> None:
        if self._heart is None or not self._heart.is_alive():
            self._heart = threading.Thread(
                target=_beat, args=(weakref.ref(self),), name="headstart-heartbeat", daemon=True
            )
            self._heart.start()

    def touch(self) -> None:
        """Renew the file's time of change."""
        path = self._path
        if path is not None and self._fd is not None and self._pid == os.getpid():
            with contextlib.suppress(OSError):  # append says so where that matters
                os.utime(path)

    def close(self) -> None:
        """Release the journal; whoever absorbs next may delete it."""
        with self.lock:
            if self._fd is not None:
                self._finish()
            self._forget()


_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in list(_journals):
        journal.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _beat(reference: weakref.ref[Journal]) -> None:
    while True:
        time.sleep(HEARTBEAT_SECONDS)
        journal = reference()
        if journal is None or journal._fd is None:
            return
        journal.touch()
        del journal


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


_fdatasync = getattr(os, "fdatasync", os.fsync)


def _fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # not every file system can sync a folder
            os.fsync(fd)
    finally:
        os.close(fd)


class Claim:
    """A journal that is being absorbed, and whether its process is dead.

    While a claim on a dead process's journal is held no other absorber gets it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | _CLOEXEC)
        except PermissionError:  # another user's; most file systems lock what is read, too
            self._fd = os.open(path, os.O_RDONLY | _CLOEXEC)
        self.alive = self._is_alive()

    def _is_alive(self) -> bool:
        if fcntl is not None:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:
                pass
            else:
                return False
        return time.time() - os.fstat(self._fd).st_mtime < DEAD_AFTER_SECONDS

    def release(self) -> None:
        """Let go of the journal."""
        os.close(self._fd)
