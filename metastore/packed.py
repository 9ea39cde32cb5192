"""Files that may be packed with gzip: `runs.csv.gz` is a table of the kind `.csv`."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import IO, cast

from metastore.errors import InvalidInputError

_AT_ONCE = 1 << 20


def is_packed(file: Path) -> bool:
    """Whether a file's name says that it is packed."""
    return file.suffix.lower() == ".gz"


def file_kind(file: Path) -> str:
    """Return a file's suffix in lower case, without the `.gz` of a packed one.

    >>> [file_kind(Path(name)) for name in ("runs.CSV", "runs.jsonl.gz", "runs")]
    ['.csv', '.jsonl', '']
    """
    return _bare(file).suffix.lower()


def file_stem(file: Path) -> str:
    """Return a file's name without its suffix, and without the `.gz` of a packed one."""
    return _bare(file).stem


def opened(file: Path) -> IO[bytes]:
    """Open a file to read its bytes, unpacked."""
    return cast(IO[bytes], gzip.open(file, "rb")) if is_packed(file) else file.open("rb")


def opened_text(file: Path) -> IO[str]:
    """Open a UTF-8 file, with a byte order mark or without, to read its text, unpacked."""
    return io.TextIOWrapper(opened(file), encoding="utf-8-sig", newline="")


def check_whole(file: Path) -> None:
    """Unpack a packed file once to see that it is whole.

    Raises:
        InvalidInputError: if it was cut off or damaged, or is not packed.
    """
    if not is_packed(file):
        return
    try:
        with opened(file) as packed:
            while packed.read(_AT_ONCE):
                pass
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidInputError(f"{str(file)!r} cannot be unpacked: {error}") from error


def _bare(file: Path) -> Path:
    return file.with_suffix("") if is_packed(file) else file
