"""Where the tables live: an embedded DuckDB file, held only while an operation lasts.

DuckDB lets one process open a file to write, and then no other, not even to read. So nothing
here keeps a connection: each operation opens, works, and closes, and another process waits a
bounded time. A reader that would wait longer reads a snapshot of the file and says so.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from metastore.errors import HeadstartError, StoreBusyError
from metastore.migrations import migrate
from metastore.paths import StorePaths

STORAGE_VERSION = "v1.5.0"
"""Read by DuckDB 1.5 and 2.x alike; without it 2.x writes files that 1.5 cannot read."""

SNAPSHOT_SECONDS = 60.0
"""A snapshot is made anew after a change once it is older than this."""

SAID_SECONDS = 1.0
"""Who waits longer than this is told so."""

_locks: dict[Path, threading.RLock] = {}
_locks_guard = threading.Lock()


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
        with _locks_guard:
            self._lock = _locks.setdefault(paths.database, threading.RLock())

    def create(self) -> None:
        """Make the file, or bring its tables up to this version.

        Raises:
            StoreBusyError: if another process holds the file for longer than `wait_seconds`.
            StoreVersionError: if a newer Headstart wrote the store.
        """
        with self._lock:
            con = self._attach(write=True)
            try:
                if migrate(con):
                    con.execute("CHECKPOINT store")
            finally:
                con.close()

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that may write; what it wrote is checkpointed before it closes.

        Raises:
            StoreBusyError: if another process holds the file for longer than `wait_seconds`.
        """
        with self._lock:
            con = self._attach(write=True)
            try:
                yield con
                con.execute("CHECKPOINT store")
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
            finally:
                con.close()

    def _attach_to_read(self) -> duckdb.DuckDBPyConnection:
        try:
            return self._attach(write=False)
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

    def _attach(self, *, write: bool) -> duckdb.DuckDBPyConnection:
        """Attach the file, waiting for other processes with growing pauses."""
        began = time.monotonic()
        deadline = began + self.wait_seconds
        pause = 0.005
        while True:
            try:
                con = _attach(self.paths.database, write=write)
            except duckdb.IOException as error:
                if "lock" not in str(error).lower():
                    raise HeadstartError(f"cannot open the store: {error}") from error
                if time.monotonic() + pause > deadline:
                    raise StoreBusyError(
                        f"another process holds {self.paths.database} "
                        f"(waited {self.wait_seconds:g} seconds)"
                    ) from error
            else:
                _say_if_long(time.monotonic() - began)
                return con
            time.sleep(pause)
            pause = min(2 * pause, 0.25)

    def _refresh_snapshot(self) -> None:
        """Copy the checkpointed file, at most every `SNAPSHOT_SECONDS`.

        An attachment that only reads keeps writers of other processes out meanwhile.
        """
        snapshot = self.paths.snapshot
        try:
            if snapshot.exists() and time.time() - snapshot.stat().st_mtime < SNAPSHOT_SECONDS:
                return
            fresh = snapshot.with_name(f".{snapshot.name}.{os.getpid()}")
            con = _attach(self.paths.database, write=False)
            try:
                shutil.copyfile(self.paths.database, fresh)
            finally:
                con.close()
            fresh.replace(snapshot)
        except (OSError, duckdb.IOException):
            # A snapshot is a convenience for readers; the next writer makes it.
            return


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
