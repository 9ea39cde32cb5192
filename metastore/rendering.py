"""Rows as a table for people, or as JSON or CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len, set_cell_size

from metastore.harmless import harmless
from metastore.rows import Rows


class Form(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def render(rows: Sequence[Mapping[str, Any]], form: Form, *, width: int | None = None) -> str:
    r"""Return rows as text in the asked form.

    NaN and infinities are null in JSON, which has no other word for them. Of `Rows` without a row
    CSV has the header.

    >>> print(render([{"a": 1, "b": float("nan")}], Form.JSON))
    [
      {
        "a": 1,
        "b": null
      }
    ]
    >>> render([{"a": 1, "b": "x,y"}], Form.CSV)
    'a,b\r\n1,"x,y"'
    """
    if form is Form.JSON:
        return json.dumps(_plain(list(rows)), indent=2, ensure_ascii=False)
    if form is Form.CSV:
        return _csv(rows)
    return _table(rows, width)


def render_one(thing: Mapping[str, Any]) -> str:
    r"""Return one thing as a JSON object.

    >>> render_one({"a": float("inf")})
    '{\n  "a": null\n}'
    """
    return json.dumps(_plain(thing), indent=2, ensure_ascii=False)


def sheet(thing: Mapping[str, Any], width: int | None = None) -> str:
    """Return one thing for people: its plain values, then a table for each list or mapping.

    What is unknown is left out.
    """
    plain = [
        {"name": name, "value": cell(value)}
        for name, value in thing.items()
        if not isinstance(value, list | dict) and cell(value) and not _is_text(value)
    ]
    parts = [_table(plain, width).partition("\n")[2]]
    for name, value in thing.items():
        rows = value if isinstance(value, list) else []
        if isinstance(value, dict):
            rows = [{"name": key, "value": item} for key, item in value.items()]
        if rows:
            parts.append(f"{name}\n{_table(rows, width)}")
        elif _is_text(value):
            parts.append(f"{name}\n{value}")
    return "\n\n".join(parts)


def _is_text(value: Any) -> bool:
    """Whether a value has lines of its own, such as a table."""
    return isinstance(value, str) and "\n" in value


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    columns = list(rows[0]) if rows else list(rows.columns) if isinstance(rows, Rows) else []
    if not columns:
        return ""
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _flat(_plain(value)) for name, value in row.items()})
    return out.getvalue().rstrip("\r\n")


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _table(rows: Sequence[Mapping[str, Any]], width: int | None) -> str:
    """Return one line a row; only columns of prose are folded, the others are cropped."""
    if not rows:
        return "nothing found"
    shown = [name for name in rows[0] if any(row[name] not in (None, "", [], {}) for row in rows)]
    columns = [_Column.of(name, [row[name] for row in rows]) for name in shown or list(rows[0])]
    columns = _fit(columns, width or terminal_width())
    lines = [_line(column.header() for column in columns)]
    for number in range(len(rows)):
        parts = [column.lines(number) for column in columns]
        lines += map(_line, zip_longest(*parts, fillvalue=""))
    return "\n".join(lines)


def _line(parts: Iterable[str]) -> str:
    return "  ".join(parts).rstrip()


_EXPENDABLE = ("seed", "started", "fingerprint", "config", "source_id", "seconds", "columns")
"""Columns that a narrow table does without, the first one first; JSON and CSV have all."""

_PROSE = ("finding", "value")
"""Columns that are folded, because their end matters."""

_ENDS = ("algorithm", "source_id")
"""Columns whose end tells more than their beginning."""

_READABLE = {"run": 36, "status": 9, "results": 28, "recommender": 20, "check": 20}
"""Characters below which a cropped column says nothing, where that is not 12."""


_BARE = 8
"""Characters that a column keeps where a table still does not fit."""


@dataclass(slots=True)
class _Column:
    """One column: its name, its cells as text, and the characters it gets."""

    name: str
    cells: list[str]
    numeric: bool
    width: int

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> _Column:
        """Return a column as wide as its widest cell."""
        numeric = all(
            isinstance(value, int | float | None) and not isinstance(value, bool)
            for value in values
        )
        cells = [cell(value) for value in values]
        return cls(name, cells, numeric, max(map(cell_len, [name, *cells])))

    @property
    def least(self) -> int:
        """The fewest characters it can be read in."""
        if self.numeric:
            return self.width
        return min(self.width, max(_READABLE.get(self.name, 12), cell_len(self.name)))

    def header(self) -> str:
        """Return the column's name, as wide as the column."""
        return self._padded(self.name)

    def lines(self, row: int) -> list[str]:
        """Return the lines of one cell, each as wide as the column."""
        text = self.cells[row]
        if cell_len(text) <= self.width:
            return [self._padded(text)]
        if self.name in _PROSE:
            return [self._padded(line) for line in textwrap.wrap(text, self.width)]
        if self.name in _ENDS:
            return [self._padded("…" + _last(text, self.width - 1))]
        return [self._padded(set_cell_size(text, self.width - 1).rstrip() + "…")]

    def _padded(self, text: str) -> str:
        space = " " * (self.width - cell_len(text))
        return space + text if self.numeric else text + space


def _last(text: str, width: int) -> str:
    """Return as much of the end of a text as `width` characters of a terminal hold."""
    while cell_len(text) > width:
        text = text[1:]
    return text


def _fit(columns: list[_Column], width: int | None) -> list[_Column]:
    """Return the columns that fit the width, cropped as little as that takes.

    Columns that cannot be cropped further make the table wider than the terminal.
    """
    if width is None:
        return columns
    width -= 2 * (len(columns) - 1)
    for name in _EXPENDABLE:
        if sum(column.least for column in columns) <= width:
            break
        if any(column.name == name for column in columns):
            columns = [column for column in columns if column.name != name]
            width += 2
    for floor in (None, _BARE):
        while sum(column.width for column in columns) > width:
            soft = [
                column
                for column in columns
                if column.width > (column.least if floor is None or column.numeric else floor)
            ]
            if not soft:
                break
            max(soft, key=lambda column: column.width).width -= 1
    return columns


def terminal_width() -> int | None:
    """Return how many characters a line has: what COLUMNS says, or the terminal; else None.

    A pipe or a file has no width, and nothing is cropped in it.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def cell(value: Any) -> str:
    """Return a value as a person reads it in a table.

    >>> cell(0.123456789), cell(None), cell({"C": 1.0}), cell(["a=1", "b=2"])
    ('0.123457', '', 'C=1.0', 'a=1 b=2')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Mapping):
        return _one_line(" ".join(f"{name}={item}" for name, item in value.items()))
    if isinstance(value, list | tuple):
        return _one_line(" ".join(str(item) for item in value))
    return _one_line(str(value))


_LINE_ENDS = re.compile(r"[\t\n\r]")


def _one_line(text: str) -> str:
    """Return a text without line ends, and without what would command a terminal."""
    return _LINE_ENDS.sub(lambda found: repr(found.group())[1:-1], harmless(text))


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or isinstance(value, str | int):
        return value
    return str(value)
