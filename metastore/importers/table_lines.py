"""Where in its file a refused row stands.

Rows are counted as they are read; blank lines and cells of several lines make lines another count.
So a text file of which something was refused is gone through once more, for the lines alone. What
does not agree with what was read is not believed: then rows are counted, and called so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from metastore.packed import file_kind, opened

MAX_REPORTED = 1000

_TEXT = (".csv", ".tsv")
_JSON = (".jsonl", ".ndjson", ".json")
_CELL_CHARACTERS = 1 << 25


@dataclass(frozen=True, slots=True)
class Places:
    """Where refused rows stand.

    Args:
        counted: what is counted from 1: `line` of the file, or `row`, without the header.
        rows: place by number of a row that was read.
        unread: place by DuckDB's number of what could not be split into cells.
        reasons: why that could not be split, by the same numbers.
    """

    counted: str
    rows: Mapping[int, int]
    unread: Mapping[int, int]
    reasons: Mapping[int, str]

    def listed(self, reasons: Iterable[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
        """Return the first reasons in the order of their places, unread rows among them."""
        found = [(self.rows[row], reason) for row, reason in reasons]
        found += [(self.unread[number], reason) for number, reason in self.reasons.items()]
        return tuple(sorted(found)[:MAX_REPORTED])


@dataclass(frozen=True, slots=True)
class _Refused:
    """What was refused of a file.

    Args:
        rows: numbers of refused rows, from 1, among those that were read.
        unread: numbers of what could not be split into cells, as DuckDB counts them: the header of
            a CSV file is 1, blank lines count, and a row of several lines counts once.
        read: how many rows were read.
    """

    rows: frozenset[int]
    unread: frozenset[int]
    read: int


def places(
    con: duckdb.DuckDBPyConnection, file: Path, source: str, rows: Iterable[int], read: int
) -> Places:
    """Return where refused rows of a file stand; where none was refused the file is not opened.

    Args:
        con: a connection that has `refused_lines`.
        file: the file.
        source: the SQL that reads it, or a copy of as many lines.
        rows: numbers of refused rows, from 1, among those that were read.
        read: how many rows were read.
    """
    reasons = dict(con.execute("SELECT line, reason FROM refused_lines").fetchall())
    refused = _Refused(frozenset(rows), frozenset(reasons), read)
    found = None
    if file_kind(file) in _TEXT and (refused.rows or refused.unread):
        found = _in_text(file, _dialect(con, source), refused)
    elif file_kind(file) in _JSON and refused.rows:
        found = _in_json(file, refused)
    if found is None:
        return Places("row", *_numbered(refused), reasons)
    return Places("line", *found, reasons)


_Found = tuple[dict[int, int], dict[int, int]]
"""Place by number of rows, and of what was not read."""


def _numbered(refused: _Refused) -> _Found:
    """Return the rows by their numbers in the file, without the header of a CSV file."""
    unread = sorted(refused.unread)
    rows, before = {}, 0
    for row in sorted(refused.rows):
        while before < len(unread) and unread[before] - 1 <= row + before:
            before += 1
        rows[row] = row + before
    return rows, {line: line - 1 for line in unread}


def _in_json(file: Path, refused: _Refused) -> _Found | None:
    """Return the lines of a file that has a JSON object a line; None of one that has not."""
    rows, count = {}, 0
    with opened(file) as lines:
        for at, line in enumerate(lines, 1):
            if not line.strip():
                continue
            count += 1
            if count == 1 and line.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
                return None
            if count in refused.rows:
                rows[count] = at
    return (rows, {}) if count == refused.read else None


def _dialect(con: duckdb.DuckDBPyConnection, source: str) -> tuple[int, dict[str, Any]] | None:
    """Return how many lines precede the header, and how cells are told apart."""
    sniffed = source.replace("read_csv(", "sniff_csv(", 1)
    try:
        row = con.execute(f"SELECT SkipRows, Delimiter, Quote, Escape FROM {sniffed}").fetchone()
    except duckdb.Error:
        return None
    if row is None:
        return None
    skipped, delimiter, quote, escape = row
    kind = {"delimiter": delimiter, "quotechar": quote}
    if escape == "\\":
        kind |= {"escapechar": escape, "doublequote": False}
    return skipped, kind


def _in_text(
    file: Path, dialect: tuple[int, dict[str, Any]] | None, refused: _Refused
) -> _Found | None:
    """Return the first lines of refused rows; None where the rows are not those that were read."""
    if dialect is None:
        return None
    skipped, kind = dialect
    rows: dict[int, int] = {}
    others: dict[int, int] = {}
    read, width = -1, 0  # the header is no row
    try:
        for counted, line, cells in _records(file, skipped, kind):
            width = width or cells
            if counted in refused.unread:
                others[counted] = line
                continue
            read += 1
            if cells != width:
                return None
            if read in refused.rows:
                rows[read] = line
    except csv.Error:
        return None
    is_all = (read, len(others)) == (refused.read, len(refused.unread))
    return (rows, others) if is_all else None


def _records(file: Path, skipped: int, kind: dict[str, Any]) -> Iterator[tuple[int, int, int]]:
    """Yield of each record its number as DuckDB counts, its first line, and its cells."""
    before = csv.field_size_limit(_CELL_CHARACTERS)
    try:
        with io.TextIOWrapper(
            opened(file), encoding="utf-8-sig", errors="replace", newline=""
        ) as lines:
            for _ in islice(lines, skipped):
                pass
            reader = csv.reader(lines, **kind)
            line = skipped
            for counted, cells in enumerate(reader, skipped + 1):
                if cells:
                    yield counted, line + 1, len(cells)
                line = skipped + reader.line_num
    finally:
        csv.field_size_limit(before)
