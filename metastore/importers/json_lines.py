"""JSON lines of which some are no objects: DuckDB reads none of such a file.

A log may hold a list or a number between its objects. Such lines become `{}` in a copy, which an
import then refuses by their lines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metastore.importers.table_columns import file_kind, opened

SUFFIXES = (".jsonl", ".ndjson")


def are_no_records(error: BaseException | None, file: Path) -> bool:
    """Whether reading a file failed because some of its lines are no objects.

    Args:
        error: what DuckDB said.
        file: what was read.
    """
    return file_kind(file) in SUFFIXES and "non-record" in str(error)


@contextmanager
def objects_only(file: Path) -> Iterator[Path]:
    """Yield a copy in which every line that does not begin an object is an empty object."""
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        copy = Path(folder) / f"lines{file_kind(file)}"
        with opened(file) as source, copy.open("wb") as out:
            for line in source:
                bare = line.lstrip(b"\xef\xbb\xbf \t\r\n")
                out.write(line if not bare or bare.startswith(b"{") else b"{}\n")
        yield copy
