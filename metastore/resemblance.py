"""Tells nearly the same dataset again under another name.

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

Two columns are compared in units of sampling noise: each difference is scaled to have a
standard deviation of about 1 if the columns were two independent samples of n rows from one
source (square roots of shares and of mutual information do that), so that
s = exp(-mean z^2 / 0.6^2) is about 0.95 after 2% of the rows were dropped and about 0.01 for a
fresh sample. Only numbers that can differ count. The similarity of two tables is the share of
column weight that is matched, times that of the targets, times one for the numbers of rows.

The same rows with another target are the same dataset in another task. There 17 and 18 tell
nothing, so that the features alone must match, and match better: m^4 for a matched share m.
On 277 tables of the Penn collection pairs of one origin lie above 0.6 and others below 0.5.
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

    from metastore.tabular import Table

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

THRESHOLD = 0.6
"""Similarity from which two datasets count as near-duplicates."""

MAX_COLUMNS = 64
"""A profile keeps the columns that say most about the target, at most this many."""

_VERSION = 1
_WIDTH = 19
_INFORMATION = 17  # what follows needs a target
_TOP = 8
_TIMES = (3.0, 6.0, 12.0)
_CUTS = np.array([-2.5, -1.5, -0.75, 0.0, 0.75, 1.5, 2.5])
_NOISE = 0.6
_NOTHING = 0.01
_ROWS_TOLERANCE = 0.1
_DISTINCT_TOLERANCE = 0.05
_MAX_ROWS = 20_000  # rounding and cleaning, not sampling, make the difference beyond
_COMMON = 0.02  # a commonest value rarer than this tells nothing


@dataclass(frozen=True, eq=False)
class Profile:
    """A parsed profile.

    Args:
        n_rows: number of rows.
        n_columns: number of columns without the target.
        columns: `(k, 19)` numbers of the columns kept, NaN where absent.
        target: `(19,)` numbers of the target, None where there is none.
    """

    n_rows: int
    n_columns: int
    columns: FloatArray
    target: FloatArray | None


def profile(table: Table) -> str:
    """Return the profile of a table as JSON text, a few kilobytes without any cell's value."""
    classes = None if table.target is None else _classes(table.target)
    features = table.features
    numbers = np.array(
        [_column(features.iloc[:, i], classes) for i in range(features.shape[1])]
    ).reshape(-1, _WIDTH)
    numbers = np.round(numbers, 6)
    told = np.nanmax(np.nan_to_num(numbers[:, _INFORMATION:]), axis=1)
    order = np.lexsort((*np.nan_to_num(numbers[:, ::-1]).T, -told))[:MAX_COLUMNS]
    target = None if table.target is None else np.round(_column(table.target, None), 6)
    return json.dumps(
        {
            "version": _VERSION,
            "rows": len(features),
            "columns": features.shape[1],
            "target": None if target is None else _plain(target),
            "numbers": [_plain(row) for row in numbers[order]],
        },
        separators=(",", ":"),
    )


def parse(text: str) -> Profile:
    """Read a profile.

    Raises:
        InvalidInputError: if the text is no profile, or one of another version.
    """
    try:
        data = json.loads(text)
        version = data["version"]
        if version == _VERSION:
            columns = np.array(data["numbers"], dtype=np.float64).reshape(-1, _WIDTH)
            target = data["target"]
            return Profile(
                int(data["rows"]),
                int(data["columns"]),
                columns,
                None if target is None else np.array(target, dtype=np.float64).reshape(_WIDTH),
            )
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(f"expected a dataset profile, got {text[:60]!r}") from error
    raise InvalidInputError(
        f"a dataset profile of version {version}, expected {_VERSION}: profile the dataset again"
    )


def similarity(profile_a: str, profile_b: str) -> float:
    """Return how far two profiles are of the same data, in [0, 1]; symmetric, 1 for itself.

    Raises:
        InvalidInputError: if one is not a profile.
    """
    return compare(parse(profile_a), parse(profile_b))


def compare(a: Profile, b: Profile) -> float:
    """Return the similarity of two parsed profiles, in [0, 1]."""
    rows = _rows_alike(np.array(a.n_rows), np.array(b.n_rows))
    if rows < _NOTHING:
        return 0.0
    n = min(a.n_rows, b.n_rows)
    features = _matched(a.columns[:, :_INFORMATION], b.columns[:, :_INFORMATION], n, least=15.0)
    columns = _with_target(a, b, n)
    if max(a.n_columns, b.n_columns) > MAX_COLUMNS:
        columns *= min(a.n_columns, b.n_columns) / max(a.n_columns, b.n_columns)
        features *= min(a.n_columns, b.n_columns) / max(a.n_columns, b.n_columns)
    return float(rows * max(columns, features**4))


def _with_target(a: Profile, b: Profile, n: int) -> float:
    """Return the similarity of columns and targets, what they tell of each other included."""
    left, right = a.columns, b.columns
    if a.target is not None and b.target is not None:
        target = float(_alike(a.target[None], b.target[None], n)[0, 0])
        return target * _matched(left, right, n) if target > _NOTHING else 0.0
    if a.target is not None:  # what is the target here may be a column there
        left = np.vstack([left, a.target])
    elif b.target is not None:
        right = np.vstack([right, b.target])
    return _matched(left, right, n)


def may_resemble(profiles: list[Profile], threshold: float) -> IntArray:
    """Return the pairs `(k, 2)` whose numbers of rows and columns let them be alike at all."""
    rows = np.array([p.n_rows for p in profiles])
    columns = np.array([p.n_columns for p in profiles])
    near = _rows_alike(rows[:, None], rows[None, :]) >= threshold
    near &= np.minimum(columns[:, None], columns) >= 0.4 * np.maximum(columns[:, None], columns)
    return np.argwhere(np.triu(near, 1))


def _rows_alike(a: Any, b: Any) -> Any:
    ratio = np.log(np.maximum(a, 1) / np.maximum(b, 1))
    return np.exp(-((ratio / _ROWS_TOLERANCE) ** 2))


def _matched(left: FloatArray, right: FloatArray, n: int, least: float = 0.0) -> float:
    """Match columns one to one, the most alike first; return the share of weight matched.

    A column weighs log2(d + 1), at most 6; where the mean weight of a table's columns adds up
    to less than `least` there is nothing to go by, and the share is 0.
    """
    alike = _alike(left, right, n)
    known = np.isfinite(alike)
    weigh = [np.minimum(6.0, np.log2(np.exp(part[:, 1]) + 1)) for part in (left, right)]
    # a column that cannot be compared with any other, such as a constant one, weighs nothing
    weigh = [np.where(known.any(axis=1 - side), weight, 0.0) for side, weight in enumerate(weigh)]
    total = float(weigh[0].sum() + weigh[1].sum())
    if total <= 2 * least:
        return 0.0
    alike = np.nan_to_num(alike)
    matched = 0.0
    order = np.argsort(-alike, axis=None, kind="stable")[: int((alike > _NOTHING).sum())]
    free = [np.ones(len(part), dtype=bool) for part in (left, right)]
    for flat in order:
        i, j = divmod(int(flat), alike.shape[1])
        if free[0][i] and free[1][j]:
            free[0][i] = free[1][j] = False
            matched += alike[i, j] * (weigh[0][i] + weigh[1][j])
    return float(matched / total)


def _alike(left: FloatArray, right: FloatArray, n: int) -> FloatArray:
    """Return `(k, l)` similarities of columns in [0, 1], NaN where nothing can be compared."""
    a, b = left[:, None, :], right[None, :, :]
    n = min(n, _MAX_ROWS)
    z = np.sqrt(n) * (a - b)
    larger = np.maximum(a, b)
    roots = 2 * np.sqrt(n) * (np.sqrt(np.maximum(a, 0)) - np.sqrt(np.maximum(b, 0)))
    z[..., 0] = np.where(larger[..., 0] > 0, roots[..., 0], np.nan)
    z[..., 1] = np.abs(a - b)[..., 1:3].min(axis=-1) / _DISTINCT_TOLERANCE
    z[..., 2] = np.nan
    common = (larger[..., 3:4] > _COMMON) & (larger[..., 3:11] > 0)
    z[..., 3:11] = np.where(common, roots[..., 3:11], np.nan)
    z[..., _INFORMATION:] = roots[..., _INFORMATION:] / np.sqrt(2)
    known = np.isfinite(z)
    told = known[..., 0] | known[..., 3:].any(axis=-1)
    mean = (np.where(known, z, 0.0) ** 2).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return np.where(told, np.exp(-mean / _NOISE**2), np.nan)


def _column(column: Series[Any], classes: IntArray | None) -> FloatArray:
    """Return the 19 numbers of a column."""
    codes, counts = _codes(column)
    out = np.full(_WIDTH, np.nan)
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
