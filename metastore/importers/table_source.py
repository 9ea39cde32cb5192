"""The SQL that reads a table file: CSV and its kin, JSON lines, Parquet, packed or not.

A log of JSON lines may hold a list or a number between its objects, and DuckDB reads none of such
a file. Those lines become `{}` in a copy, which an import then refuses by their lines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb

from metastore.errors import InvalidInputError
from metastore.importers.table_columns import literal
from metastore.packed import check_whole, file_kind, is_packed, opened

# A line may hold a config that is too large to be stored: it is refused by name, not unread.
_CSV = (
    "read_csv({file}, header = true, all_varchar = true, store_rejects = true, "
    "max_line_size = 33554432, quote = '\"', delim = '{delimiter}')"
)
# Depth 1: a config keeps its own keys, and no text is taken for a date or an UUID.
_JSON_LINES = (
    "read_json({file}, format = 'newline_delimited', maximum_depth = 1, records = true, "
    "sample_size = -1, ignore_errors = true)"
)
READERS = {
    ".parquet": "read_parquet({file}, file_row_number = true)",
    ".pq": "read_parquet({file}, file_row_number = true)",
    ".csv": _CSV,
    ".tsv": _CSV,
    ".jsonl": _JSON_LINES,
    ".ndjson": _JSON_LINES,
    ".json": "read_json({file}, maximum_depth = 1, records = true)",
}
_BINARY = (".parquet", ".pq")
_LINES = (".jsonl", ".ndjson")


@contextmanager
def readable(
    con: duckdb.DuckDBPyConnection, file: Path
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the SQL that reads a file, and `(name, SQL type)` of its columns.

    Raises:
        InvalidInputError: if the file is absent, empty, a folder, of another kind, or no table.
    """
    source = reader(file)
    with ExitStack() as copies:
        try:
            columns = _described(con, source, file)
        except InvalidInputError as error:
            if file_kind(file) not in _LINES or "non-record" not in str(error.__cause__):
                raise
            source = reader(copies.enter_context(_objects_only(file)))
            columns = _described(con, source, file)
        yield source, columns


def unreadable(file: Path, error: duckdb.Error) -> InvalidInputError:
    """Return what to say of a file that DuckDB cannot read."""
    reason = str(error).splitlines()[0]
    return InvalidInputError(f"{str(file)!r} cannot be read as a table: {reason}")


def reader(file: Path) -> str:
    """Return the SQL that reads a file, by its suffix; `.gz` after that of a text is unpacked.

    Raises:
        InvalidInputError: if the file is absent, empty, a folder, or of another kind.
    """
    if not file.exists():
        raise InvalidInputError(f"no file {str(file)!r}")
    if file.is_dir():
        raise InvalidInputError(f"{str(file)!r} is a folder; name one table file")
    if file.stat().st_size == 0:
        raise InvalidInputError(f"{str(file)!r} is empty: no header and no rows")
    suffix = file_kind(file)
    if suffix not in READERS or (is_packed(file) and suffix in _BINARY):
        raise InvalidInputError(
            f"{str(file)!r}: expected a table ending in {', '.join(READERS)} (.gz may follow that "
            f"of a text); got {''.join(file.suffixes[-2:]) or 'no suffix'!r}"
        )
    check_whole(file)  # DuckDB takes for data what a damaged one seems to say
    delimiter = "\t" if suffix == ".tsv" else _delimiter(file)
    source = READERS[suffix].format(file=literal(str(file)), delimiter=delimiter)
    # DuckDB 1.5 does not take `.GZ` for a packed file.
    return f"{source[:-1]}, compression = 'gzip')" if is_packed(file) else source


def _delimiter(file: Path) -> str:
    """Return the separator that a file's first line has most of, a comma where it has none."""
    with opened(file) as lines:
        header = lines.readline(1 << 20)
    if header.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInputError(
            f"{str(file)!r} is UTF-16 text, expected UTF-8; convert it, for example with iconv"
        )
    return max(",\t;|", key=lambda mark: header.count(mark.encode()))


def _described(con: duckdb.DuckDBPyConnection, source: str, file: Path) -> list[tuple[str, str]]:
    try:
        rows = con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    except duckdb.Error as error:
        raise unreadable(file, error) from error
    return [(row[0], row[1]) for row in rows]


@contextmanager
def _objects_only(file: Path) -> Iterator[Path]:
    """Yield a copy in which every line that does not begin an object is an empty object."""
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        copy = Path(folder) / f"lines{file_kind(file)}"
        with opened(file) as source, copy.open("wb") as out:
            for line in source:
                bare = line.lstrip(b"\xef\xbb\xbf \t\r\n")
                out.write(line if not bare or bare.startswith(b"{") else b"{}\n")
        yield copy
