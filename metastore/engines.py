"""Where the tables live: an embedded DuckDB file, held only while an operation lasts.

DuckDB lets one process open a file to write, and then no other, not even to read. So nothing
here keeps a connection: each operation opens, works, and closes, and another process waits a
bounded time. A reader that would wait longer reads a snapshot of the file and says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from metastore.errors import HeadstartError, StoreBusyError, StoreFullError, StoreReadOnlyError
from metastore.migrations import migrate, missing
from metastore.paths import StorePaths

STORAGE_VERSION = "v1.5.0"
"""Read by DuckDB 1.5 and 2.x alike; without it 2.x writes files that 1.5 cannot read."""

JUST_NOW_SECONDS = 1.0

OLD_COPY_SECONDS = 3600.0

SNAPSHOT_SECONDS = 60.0
"""A snapshot is made anew after a change once it is older than this."""

SAID_SECONDS = 1.0
"""Who waits longer than this is told so."""

_locks: dict[str, threading.RLock] = {}


def _forget_locks() -> None:
    """In a forked child nobody holds what other threads of the parent held."""
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


class StaleReadWarning(UserWarning):
    """The answer was read from a snapshot, because another process holds the store."""


class WaitedWarning(UserWarning):
    """The answer is fresh, but another process held the store and had to be waited for."""


class FileEngine:
    """Tables in one DuckDB file.

    Args:
        paths: where the file and its snapshot lie.
        wait_seconds: how long to wait for another process that holds the file.
    """

    def __init__(self, paths: StorePaths, wait_seconds: float = 10.0) -> None:
        self.paths = paths
        self.wait_seconds = wait_seconds
        self._gave_up = -1.0
        # One file under two names is one file: to close it once lets go of every lock that this
        # process has on it.
        self._key = os.path.realpath(paths.database)

    @property
    def _lock(self) -> threading.RLock:
        return _locks.setdefault(self._key, threading.RLock())

    def create(self, wait_seconds: float | None = None) -> None:
        """Make the file, or bring its tables up to this version.

        Args:
            wait_seconds: how long to wait here; by default as long as everywhere.

        Raises:
            StoreBusyError: if another process holds the file for longer than `wait_seconds`.
            StoreReadOnlyError: if it would have to be changed and cannot be.
            StoreFullError: if there is no room for it.
            StoreVersionError: if a newer Headstart wrote the store.
            InvalidInputError: if the file is another program's database.
        """
        with self._lock:
            if not self.paths.database.exists():
                self._make()
            if self._lacks_migrations(wait_seconds):
                _migrate(self.paths.database, self._attach(write=True, wait_seconds=wait_seconds))

    def _make(self) -> None:
        """Make the file whole beside its place, so that no half of one is ever there."""
        database = self.paths.database
        fresh = database.with_name(f".{database.name}.new.{os.getpid()}")
        try:
            _remove_old_copies(fresh)
            _migrate(database, _attach(fresh, write=True))
            _put(fresh, database)
        except duckdb.Error as error:
            raise _cannot_open(database, error) from error
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
                fresh.with_name(f"{fresh.name}.wal").unlink(missing_ok=True)

    def _lacks_migrations(self, wait_seconds: float | None) -> bool:
        """Look without writing: several processes may look at once."""
        con = self._attach(write=False, wait_seconds=wait_seconds)
        try:
            return bool(missing(con))
        finally:
            con.close()

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that may write; what it wrote is checkpointed before it closes.

        Raises:
            StoreBusyError: if another process holds the file for longer than `wait_seconds`.
            StoreFullError: if there is no room for what is written.
        """
        with self._lock:
            con = self._attach(write=True)
            try:
                yield con
                con.execute("CHECKPOINT store")
            except BaseException as error:
                _stop(con, error)
                if (full := _full(self.paths.database, error)) is not None:
                    raise full from error
                raise
            finally:
                con.close()
            self._refresh_snapshot()

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that only reads: the file, or else its last snapshot.

        Raises:
            StoreBusyError: if another process holds the file and there is no snapshot.
        """
        with self._lock:
            con = self._attach_to_read()
            try:
                yield con
            except BaseException as error:
                _stop(con, error)
                raise
            finally:
                con.close()

    def _attach_to_read(self) -> duckdb.DuckDBPyConnection:
        # Who has just waited in vain to absorb does not wait again to read.
        in_vain = time.monotonic() - self._gave_up < JUST_NOW_SECONDS
        try:
            return self._attach(write=False, wait_seconds=0.0 if in_vain else None)
        except StoreBusyError as busy:
            if not self.paths.snapshot.exists():
                raise
            age = time.time() - self.paths.snapshot.stat().st_mtime
            warnings.warn(
                f"{busy}; reading the snapshot of {age:.0f} seconds ago instead",
                StaleReadWarning,
                stacklevel=4,
            )
            return _attach(self.paths.snapshot, write=False)

    def _attach(
        self, *, write: bool, wait_seconds: float | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Attach the file, waiting for other processes with growing pauses."""
        seconds = self.wait_seconds if wait_seconds is None else wait_seconds
        began = time.monotonic()
        deadline = began + seconds
        pause, refused = 0.005, False
        while True:
            try:
                con = _attach(self.paths.database, write=write)
            except duckdb.Error as error:
                if _LOCKED not in str(error):
                    raise _cannot_open(self.paths.database, error) from error
                if time.monotonic() + pause > deadline:
                    self._gave_up = time.monotonic() if seconds else self._gave_up
                    raise StoreBusyError(
                        f"another process holds {self.paths.database} (waited {seconds:g} seconds)"
                    ) from error
            else:
                if refused:
                    _say_if_long(time.monotonic() - began)
                return con
            refused = True
            time.sleep(pause)
            pause = min(2 * pause, 0.25)

    def _refresh_snapshot(self) -> None:
        """Copy the checkpointed file, at most every `SNAPSHOT_SECONDS`.

        An attachment that only reads keeps writers of other processes out meanwhile.
        """
        snapshot = self.paths.snapshot
        fresh = snapshot.with_name(f".{snapshot.name}.{os.getpid()}")
        try:
            if snapshot.exists() and time.time() - snapshot.stat().st_mtime < SNAPSHOT_SECONDS:
                return
            _remove_old_copies(fresh)
            con = _attach(self.paths.database, write=False)
            try:
                shutil.copyfile(self.paths.database, fresh)
            finally:
                con.close()
            fresh.replace(snapshot)
        except (OSError, duckdb.Error):
            # A snapshot is a convenience for readers; the next writer makes it.
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)


def _remove_old_copies(fresh: Path) -> None:
    """Remove copies that a process was killed over; none takes this long to make."""
    for copy in fresh.parent.glob(f"{fresh.stem}.*"):
        if time.time() - copy.stat().st_mtime > OLD_COPY_SECONDS:
            copy.unlink(missing_ok=True)


def _migrate(path: Path, con: duckdb.DuckDBPyConnection) -> None:
    """Bring the tables of a connection up to this version, and close it.

    Raises:
        StoreFullError: if there is no room for them.
    """
    try:
        if migrate(con):
            con.execute("CHECKPOINT store")
    except duckdb.Error as error:
        raise _full(path, error) or error from error
    finally:
        con.close()


def _put(fresh: Path, place: Path) -> None:
    """Give a file its place unless another process was quicker."""
    try:
        os.link(fresh, place)
    except FileExistsError:
        return
    except OSError:  # no links on this file system
        if not place.exists():
            fresh.replace(place)


_LOCKED = "Could not set lock on file"
_FULL = ("No space left on device", "File too large", "Disk quota exceeded")
_READ_ONLY = ("Permission denied", "Read-only file system", "Operation not permitted")


def _full(path: Path, error: BaseException) -> StoreFullError | None:
    """Return what to say where there is no room left; None where something else went wrong."""
    words = next((words for words in _FULL if words in str(error)), "")
    if not isinstance(error, duckdb.Error) or not words:
        return None
    return StoreFullError(f"cannot write {path}: {words.lower()}; make room and try again")


def _cannot_open(path: Path, error: duckdb.Error) -> HeadstartError:
    reason = str(error).splitlines()[0]
    if (full := _full(path, error)) is not None:
        return full
    if any(words in reason for words in _READ_ONLY):
        return StoreReadOnlyError(f"cannot open {path} to write: {reason}")
    if "not a valid DuckDB database" in reason:
        return HeadstartError(
            f"{path} is no Headstart store: it is not a DuckDB database; name a new path, or move "
            "the file away"
        )
    return HeadstartError(f"cannot open the store: {reason}")


def _stop(con: duckdb.DuckDBPyConnection, error: BaseException) -> None:
    """Give up what a connection is still at: closing it would wait for that.

    Raises:
        KeyboardInterrupt: if the error is DuckDB's word for one.
    """
    con.interrupt()
    if isinstance(error, RuntimeError) and "Query interrupted" in str(error):
        raise KeyboardInterrupt from error


def _say_if_long(waited: float) -> None:
    if waited > SAID_SECONDS:
        warnings.warn(
            f"waited {waited:.1f} seconds for another process that held the store",
            WaitedWarning,
            stacklevel=6,
        )


def _attach(path: Path, *, write: bool) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    try:
        options = f"STORAGE_VERSION '{STORAGE_VERSION}'" if write else "READ_ONLY"
        con.execute(f"ATTACH '{str(path).replace(chr(39), chr(39) * 2)}' AS store ({options})")
        con.execute("USE store")
        con.execute("SET enable_progress_bar = false")
        con.execute("SET TimeZone = 'UTC'")
    except BaseException:
        con.close()
        raise
    return con
