"""Describing a table file in another process, while this one reads the store.

What describes cells (pandas, scikit-learn, pymfe) takes longer to import than most tables take
to describe, and on two processors all of it can happen beside what does not need it. The other
process is no more than a way to be quicker: whatever goes wrong there, or is to be said, it says
nothing, and who asked describes the file by himself.

It is started as a command of its own, so that nothing of this process (threads, locks, DuckDB) is
copied into it; it ends with this process, however this one ends, because it holds the other end
of a pipe.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from metastore.metafeatures import MetaFeature
    from metastore.types import DatasetRef

MOST_BYTES = 64_000_000
"""A file above this is read by one process alone."""

_CODE = (
    "import json, sys\n"
    "asked = json.loads(sys.argv[1])\n"
    "sys.path[:] = asked['path']\n"
    "from metastore.describing import serve\n"
    "serve(asked['file'], asked['target'])\n"
)


class Describing:
    """A table file that another process describes; to be left with `close` or a `with` block.

    Args:
        file: path of the table file.
        target: name of its target column.
    """

    def __init__(self, file: str, target: str | None) -> None:
        self.file = file
        self.target = target
        asked = json.dumps({"path": sys.path, "file": file, "target": target})
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Describing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def result(self) -> tuple[DatasetRef, list[MetaFeature]] | None:
        """Wait for the dataset and its meta-features; None where it has to be described here."""
        from metastore.metafeatures import MetaFeature, Status  # noqa: PLC0415 - not to start
        from metastore.types import DatasetRef  # noqa: PLC0415

        assert self._process.stdout is not None
        said = self._process.stdout.read()
        self.close()
        try:
            found = json.loads(said)
        except ValueError:
            return None
        features = [MetaFeature(**{**one, "status": Status(one["status"])}) for one in found[1]]
        return DatasetRef(**found[0]), features

    def close(self) -> None:
        """End the other process, whatever it is at."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def begin(file: str, target: str | None, folder: Path) -> Describing | None:
    """Begin to describe a table file in another process, where that pays.

    That is not so for a file that the store has seen, on one processor, and where this process
    has imported already what takes long to import.

    Args:
        file: what may be the path of a table file.
        target: name of its target column.
        folder: the store's.
    """
    if "sklearn" in sys.modules or getattr(sys, "frozen", False) or not sys.executable:
        return None
    mark = mark_of(file, target, folder)
    if mark is None or processors() < 2 or recall(file, target, folder) is not None:
        return None
    try:
        return Describing(file, target)
    except OSError:  # no more processes may be started: there is another way
        return None


def mark_of(file: str, target: str | None, folder: Path) -> Path | None:
    """Return the file by which a store knows a table file again; None for one too large."""
    path = Path(file)
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        content = path.read_bytes()
    except (OSError, ValueError):  # who describes it says what is wrong
        return None
    said = json.dumps([path.name, target]).encode()
    digest = hashlib.blake2b(said + b"\0" + content, digest_size=16).hexdigest()
    return folder / "described" / f"file-{digest}"


def remember(file: str, target: str | None, folder: Path, ref: DatasetRef) -> None:
    """Let a store know a table file again as a dataset, where it can be written to."""
    mark = mark_of(file, target, folder)
    if mark is not None:
        with contextlib.suppress(OSError):
            mark.parent.mkdir(parents=True, exist_ok=True)
            written = mark.with_name(f"{mark.name}.{os.getpid()}")
            written.write_text(json.dumps({"versions": _versions(), "dataset": asdict(ref)}))
            written.replace(mark)


def recall(file: str, target: str | None, folder: Path) -> DatasetRef | None:
    """Return what a table file was described as; None where it has to be described.

    That is so of a file whose bytes or name are others than before, and of one that an earlier
    version described otherwise, or whose meta-features an earlier extractor computed.
    """
    from metastore.types import DatasetRef, dataset_id  # noqa: PLC0415 - not to start a process

    mark = mark_of(file, target, folder)
    if mark is None:
        return None
    try:
        said = json.loads(mark.read_text())
        ref = DatasetRef(**said["dataset"])
        if said["versions"] != _versions() or not isinstance(ref.name, str):
            return None
        return ref if metafeatures_mark(folder, dataset_id(ref)).exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def metafeatures_mark(folder: Path, dataset: UUID) -> Path:
    """Return the file that says that a dataset's meta-features are recorded as of this version."""
    from metastore.metafeatures.feature import VERSION  # noqa: PLC0415 - few processes need it

    return folder / "described" / f"{dataset}-{VERSION}"


def _versions() -> list[str | int]:
    """Return the versions of how a table file is described."""
    from metastore import profiles  # noqa: PLC0415 - not to start a process
    from metastore.fingerprint import SCHEME  # noqa: PLC0415
    from metastore.metafeatures.feature import VERSION  # noqa: PLC0415

    return [SCHEME, profiles.VERSION, VERSION]


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve(file: str, target: str | None) -> None:
    """Describe a file and print what came of it: all that the other process does."""
    import gc  # noqa: PLC0415 - for the other process alone
    import signal  # noqa: PLC0415
    import threading  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked hears of it, and ends this
    threading.Thread(target=_end_with_input, daemon=True).start()
    gc.set_threshold(100_000, 50, 100)
    out, sys.stdout = sys.stdout, sys.stderr
    said = _described(file, target)
    if said is not None:
        out.write(json.dumps(said))
        out.flush()
    os._exit(0)  # taking a million objects apart takes its time


def _end_with_input() -> None:
    """End this process when nobody can want anything of it any more."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _described(file: str, target: str | None) -> Any:
    """Return a file's dataset and meta-features as JSON; None where there is more to be said."""
    import warnings  # noqa: PLC0415 - for the other process alone

    from metastore.datasets import describe  # noqa: PLC0415
    from metastore.metafeatures import extract  # noqa: PLC0415

    with warnings.catch_warnings(record=True) as caught:
        ref, table = describe(file, target)
        if table is None:
            return None
        features = extract(table)
    return None if caught else [asdict(ref), [asdict(feature) for feature in features]]
