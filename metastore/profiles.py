"""Profiles: what is told of a dataset to know it again under another name.

A profile holds, for each column, a few numbers that do not change when the column is renamed,
shifted, scaled or mirrored, or its categories are spelled otherwise, and no cell of it:

    0       share of missing cells
    1       ln of the number of distinct values d
    2       ln of the share of distinct values among those present
    3..10   shares of the 8 commonest values, sorted
    11..16  |Re|, |Im| of the characteristic function of u / (1 + |u|) at 3, 6 and 12, where
            u = (x - mean) / (mean absolute deviation): the shape of a numeric column, of which
            one far value is no great part; absent for text and for two values
    17      mutual information of the column's values and the target, in nats; absent where
            there are too many values for it to say anything
    18      the same for a numeric column cut at fixed multiples of its deviation
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError

if TYPE_CHECKING:
    from pandas import Series

    from metastore.row_sketch import RowSketch
    from metastore.tabular import Table

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_COLUMNS = 64
"""A profile keeps the columns that say most about the target, at most this many."""

VERSION = 1
"""Moves when any table would get another profile."""

WIDTH = 19
INFORMATION = 17  # what follows needs a target
_TOP = 8
_TIMES = (3.0, 6.0, 12.0)
_CUTS = np.array([-2.5, -1.5, -0.75, 0.0, 0.75, 1.5, 2.5])


@dataclass(frozen=True, eq=False)
class Profile:
    """A parsed profile.

    Args:
        n_rows: number of rows.
        n_columns: number of columns without the target.
        columns: `(k, 19)` numbers of the columns kept, NaN where absent.
        target: `(19,)` numbers of the target, None where there is none.
        rows: what tells a part of the table from another table, see `metastore.row_sketch`; None
            where nothing does, and of profiles made before there was any.
    """

    n_rows: int
    n_columns: int
    columns: FloatArray
    target: FloatArray | None
    rows: RowSketch | None = None


def profile(table: Table) -> str:
    """Return the profile of a table as JSON text, a few kilobytes without any cell's value."""
    from metastore.row_sketch import sketch  # noqa: PLC0415 - it imports fingerprints, they this

    rows = sketch(table)
    classes = None if table.target is None else _classes(table.target)
    features = table.features
    numbers = np.array(
        [_column(features.iloc[:, i], classes) for i in range(features.shape[1])]
    ).reshape(-1, WIDTH)
    numbers = np.round(numbers, 6)
    told = np.nanmax(np.nan_to_num(numbers[:, INFORMATION:]), axis=1)
    order = np.lexsort((*np.nan_to_num(numbers[:, ::-1]).T, -told))[:MAX_COLUMNS]
    target = None if table.target is None else np.round(_column(table.target, None), 6)
    return json.dumps(
        {
            "version": VERSION,
            "rows": len(features),
            "columns": features.shape[1],
            "target": None if target is None else _plain(target),
            "numbers": [_plain(row) for row in numbers[order]],
            "sketch": None if rows is None else rows.to_json(),
        },
        separators=(",", ":"),
    )


def parse(text: str) -> Profile:
    """Read a profile.

    Raises:
        InvalidInputError: if the text is no profile, or one of another version.
    """
    from metastore.row_sketch import RowSketch  # noqa: PLC0415 - as above

    try:
        data = json.loads(text)
        version = data["version"]
        if version == VERSION:
            columns = np.array(data["numbers"], dtype=np.float64).reshape(-1, WIDTH)
            target = data["target"]
            return Profile(
                int(data["rows"]),
                int(data["columns"]),
                columns,
                None if target is None else np.array(target, dtype=np.float64).reshape(WIDTH),
                RowSketch.from_json(data.get("sketch")),
            )
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(f"expected a dataset profile, got {text[:60]!r}") from error
    raise InvalidInputError(
        f"a dataset profile of version {version}, expected {VERSION}: profile the dataset again"
    )


def _column(column: Series[Any], classes: IntArray | None) -> FloatArray:
    """Return the 19 numbers of a column."""
    codes, counts = _codes(column)
    out = np.full(WIDTH, np.nan)
    present = int(counts.sum())
    out[0] = 1 - present / max(1, len(codes))
    out[1] = np.log(max(1, len(counts)))
    out[2] = np.log(max(1, len(counts)) / max(1, present))
    top = np.sort(counts)[::-1][:_TOP] / max(1, present)
    out[3:11] = 0.0
    out[3 : 3 + len(top)] = top
    if len(counts) < 2:
        return out
    if classes is not None and len(counts) <= 2 * np.sqrt(present):
        out[17] = _information(codes, classes)
    scaled = _scaled(column)
    if scaled is not None:
        if len(counts) > 2:
            known = scaled[np.isfinite(scaled)]
            angles = np.outer(_TIMES, known / (1 + np.abs(known)))
            out[11:14] = np.abs(np.cos(angles).mean(axis=1))
            out[14:17] = np.abs(np.sin(angles).mean(axis=1))
        if classes is not None:
            out[18] = _information(_cut(scaled), classes)
    return out


def _codes(column: Series[Any]) -> tuple[IntArray, IntArray]:
    """Return level codes, -1 where missing, and the count of each level."""
    import pandas as pd  # noqa: PLC0415 - importing this module needs no pandas

    codes, levels = pd.factorize(column)
    return codes.astype(np.int64), np.bincount(codes[codes >= 0], minlength=len(levels))


def _scaled(column: Series[Any]) -> FloatArray | None:
    """Return (x - mean) / (mean absolute deviation), NaN where missing; None for text."""
    from metastore.metafeatures.sample import as_numbers, is_categorical  # noqa: PLC0415

    if is_categorical(column) and column.dtype != bool:
        return None
    values = as_numbers(column)
    known = np.isfinite(values)
    if not known.any():
        return None
    values = values / max(np.abs(values[known]).max(), 1e-300)  # sums of huge numbers overflow
    centred = values - values[known].mean()
    deviation = np.abs(centred[known]).mean()
    return centred / deviation if deviation > 1e-12 else None


def _cut(scaled: FloatArray) -> IntArray:
    """Cut at fixed multiples of the deviation; missing is a bin of its own."""
    return np.where(np.isfinite(scaled), np.searchsorted(_CUTS, scaled), -1)


def _classes(target: Series[Any]) -> IntArray:
    codes, counts = _codes(target)
    scaled = _scaled(target) if len(counts) > 100 else None
    return codes if scaled is None else _cut(scaled)


def _information(codes: IntArray, classes: IntArray) -> float:
    """Mutual information of two code vectors over rows where both are known, in nats."""
    known = (codes >= 0) & (classes >= 0)
    n = int(known.sum())
    if n == 0:
        return 0.0
    width = int(classes.max()) + 1
    joint = (codes[known] * width + classes[known]).astype(np.int64)
    parts = (joint, codes[known], classes[known])
    entropies = [np.log(n) - float((c * np.log(c)).sum()) / n for c in map(_counts, parts)]
    return float(max(0.0, entropies[1] + entropies[2] - entropies[0]))


def _counts(codes: IntArray) -> FloatArray:
    counts = (
        np.bincount(codes) if codes.max() < 10_000_000 else np.unique(codes, return_counts=True)[1]
    )
    return np.asarray(counts[counts > 0], dtype=np.float64)


def _plain(row: FloatArray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in row]
