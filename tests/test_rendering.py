"""Tables keep to the width they are given, and say everything where there is room."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from metastore.rendering import Form, cell, render, render_one, sheet, terminal_width

TEXTS = st.text(max_size=60)
ROWS = st.lists(
    st.fixed_dictionaries({"dataset": TEXTS, "config": TEXTS, "runs": st.integers(0, 10**6)}),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(ROWS, st.integers(40, 200))
def test_a_row_is_a_line_and_no_line_is_wider_than_the_terminal(rows: Any, width: int) -> None:
    lines = render(rows, Form.TABLE, width=width).split("\n")
    assert len(lines) == 1 + len(rows)
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() or "\xa0" in line or not line.isascii() for line in lines)


@settings(deadline=None)
@given(ROWS)
def test_csv_gives_back_what_went_in(rows: Any) -> None:
    text = render(rows, Form.CSV)
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    kept = [{name: str(value) for name, value in row.items()} for row in rows]
    assert [
        {k: v.replace("\r\n", "\n").replace("\r", "\n") for k, v in row.items()} for row in found
    ] == [{k: v.replace("\r\n", "\n").replace("\r", "\n") for k, v in row.items()} for row in kept]


@settings(deadline=None)
@given(ROWS)
def test_json_gives_back_what_went_in(rows: Any) -> None:
    assert json.loads(render(rows, Form.JSON)) == rows


def test_json_has_no_nan() -> None:
    text = render_one({"a": [float("nan"), float("-inf")], "t": datetime(2026, 1, 2)})
    assert json.loads(text) == {"a": [None, None], "t": "2026-01-02T00:00:00"}


def test_terminal_commands_in_names_are_shown_not_obeyed() -> None:
    assert cell("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"


def test_what_a_narrow_table_does_without() -> None:
    row = {"run": "1" * 8, "dataset": "d" * 30, "seed": 1, "config": "c" * 90, "results": "r=0.5"}
    wide = render([row], Form.TABLE, width=200)
    assert all(str(value) in wide for value in row.values())
    narrow = render([row], Form.TABLE, width=44)
    assert "seed" not in narrow
    assert "r=0.5" in narrow
    assert "ddd…" in narrow


def test_prose_is_folded_not_cropped() -> None:
    said = "every word of this finding matters to whoever has to mend the store by hand"
    text = render([{"check": "x", "finding": said}], Form.TABLE, width=40)
    assert said in " ".join(text.split())


def test_columns_without_content_are_left_out() -> None:
    assert render([{"a": 1, "b": None, "c": ""}], Form.TABLE).split() == ["a", "1"]


def test_sheet_leaves_unknown_things_out() -> None:
    text = sheet({"name": "iris", "source": None, "best": [{"metric": "m"}], "config": {}})
    assert text == "name  iris\n\nbest\nmetric\nm"


def test_width_is_what_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "93")
    assert terminal_width() == 93
    monkeypatch.setenv("COLUMNS", "wide")
    assert terminal_width() is None  # pytest's stdout is no terminal
