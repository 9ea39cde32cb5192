"""Rows as dictionaries by column name, and the columns also where there is no row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]


class Rows(list[Row]):
    """A list of rows that knows its columns when it is empty.

    Args:
        columns: names of the columns.
        rows: the rows, as dictionaries that have these names.

    >>> Rows(["a"]), Rows(["a"]).columns
    ([], ('a',))
    """

    def __init__(self, columns: Sequence[str], rows: Iterable[Row] = ()) -> None:
        super().__init__(rows)
        self.columns = tuple(columns)
