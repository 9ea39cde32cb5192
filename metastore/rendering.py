"""Rows as a table for people, or as JSON or CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any


class Form(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def render(rows: Sequence[Mapping[str, Any]], form: Form, *, width: int | None = None) -> str:
    r"""Return rows as text in the asked form.

    NaN and infinities are null in JSON, which has no other word for them.

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


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    columns = list(rows[0]) if rows else []
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _flat(_plain(value)) for name, value in row.items()})
    return out.getvalue().rstrip("\r\n")


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _table(rows: Sequence[Mapping[str, Any]], width: int | None) -> str:
    from rich.console import Console  # noqa: PLC0415 - only tables need it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not rows:
        return "nothing found"
    shown = [name for name in rows[0] if any(row[name] not in (None, "", []) for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in shown:
        numeric = all(isinstance(row[name], int | float | None) for row in rows)
        table.add_column(
            name,
            justify="right" if numeric else "left",
            overflow="ellipsis" if name in _CROPPED else "fold",
            no_wrap=name in _CROPPED + _WHOLE,
        )
    for row in rows:
        table.add_row(*(Text(cell(row[name])) for name in shown))
    console = Console(file=io.StringIO(), width=width or _terminal_width(), highlight=False)
    console.print(table)
    written: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in written.rstrip("\n").split("\n"))


_CROPPED = ("config", "error")
_WHOLE = ("run", "dataset", "started", "recommender")


def _terminal_width() -> int:
    import shutil  # noqa: PLC0415

    return max(60, shutil.get_terminal_size((120, 24)).columns)


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
        return " ".join(f"{name}={item}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return str(value)


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
