"""The part of a table that meta-features are computed on, cleaned once and shared.

Notation: n sampled rows, p sampled columns, of which q are numeric and not constant.

Rows without a target are left out. Above `max_rows` rows a seeded sample is drawn, stratified
by class, each class keeping at least one row; above `MAX_COLUMNS` columns a seeded sample of
columns. That, and not a watchdog, is what keeps a single call into compiled code short, so
that a time limit looked at between calls holds.

pymfe turns most features into NaN when one cell is missing, and refuses DataFrames. What it
gets from here is imputed (median), standardised, and has no constant column.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastore.metafeatures.feature import Deadline, NotApplicable

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from metastore.tabular import Table, TaskType

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_COLUMNS = 256
"""Columns above this number are sampled."""

TARGET_BINS = 8
"""Equal-frequency bins of a numeric target where information theory needs classes."""


@dataclass(eq=False)
class Sample:
    """A cleaned sample of a table.

    Args:
        table: the whole table, for what is cheap on all rows.
        task: classification, regression, or None where there is no target.
        frame: `(n, p)` sampled cells as they came.
        target: `(n,)` sampled target without missing values, None where there is none.
        seed: seed of everything random.
        deadline: time limit of the group at work.
    """

    table: Table
    task: TaskType | None
    frame: DataFrame
    target: Series[Any] | None
    seed: int
    deadline: Deadline

    @cached_property
    def missing(self) -> tuple[IntArray, IntArray]:
        """Missing cells of the whole table: `(n_columns,)` by column and `(n_rows,)` by row."""
        features = self.table.features
        by_row = np.zeros(len(features), dtype=np.int64)
        by_column = np.zeros(features.shape[1], dtype=np.int64)
        for i in range(features.shape[1]):
            self.deadline.check()
            mask = features.iloc[:, i].isna().to_numpy(dtype=bool)
            by_row += mask
            by_column[i] = mask.sum()
        return by_column, by_row

    @cached_property
    def categorical(self) -> list[IntArray]:
        """Level codes of each categorical column, `(n,)` each, -1 where missing."""
        columns = (self.frame.iloc[:, i] for i in range(self.frame.shape[1]))
        return [level_codes(column) for column in columns if is_categorical(column)]

    @cached_property
    def raw_numeric(self) -> FloatArray:
        """Numeric and date columns, `(n, .)`: dates in days, NaN where missing or infinite."""
        columns = (self.frame.iloc[:, i] for i in range(self.frame.shape[1]))
        numbers = [as_numbers(column) for column in columns if not is_categorical(column)]
        return np.column_stack(numbers) if numbers else np.empty((len(self.frame), 0))

    @cached_property
    def numeric(self) -> FloatArray:
        """Numeric columns `(n, q)`: imputed by the median, mean 0, deviation 1, none constant.

        Raises:
            NotApplicable: if there is no such column.
        """
        out = _standardised(self.raw_numeric)
        if out.shape[1] == 0:
            raise NotApplicable("no numeric column that varies")
        if len(out) < 3:
            raise NotApplicable("fewer than 3 rows")
        return out

    @cached_property
    def bins(self) -> IntArray:
        """All columns as codes, `(n, p')`: levels, or equal-frequency bins of numbers.

        Numbers get ceil(n ** (1/3)) bins, at most 16; missing cells are a level of their own.
        """
        n_bins = min(16, int(np.ceil(len(self.frame) ** (1 / 3))))
        numbers = [equal_frequency(column, n_bins) for column in self.raw_numeric.T]
        columns = [*self.categorical, *numbers]
        if not columns:
            raise NotApplicable("no columns")
        return np.column_stack(columns)

    @cached_property
    def classes(self) -> IntArray:
        """The target as class codes `(n,)`; a numeric target in `TARGET_BINS` bins.

        Raises:
            NotApplicable: if there is no target, or it has one value only.
        """
        if self.target is None:
            raise NotApplicable("no target")
        if self.task == "regression":
            codes = equal_frequency(as_numbers(self.target), TARGET_BINS)
        else:
            codes = level_codes(self.target)
        if len(np.unique(codes)) < 2:
            raise NotApplicable("the target has one value only")
        return codes

    @cached_property
    def numbers(self) -> FloatArray:
        """A regression target `(n,)`, mean 0 and deviation 1.

        Raises:
            NotApplicable: if the target is not a number or is constant.
        """
        if self.target is None or self.task != "regression":
            raise NotApplicable("the target is not a number" if self.task else "no target")
        out = _standardised(as_numbers(self.target)[:, None])
        if out.shape[1] == 0:
            raise NotApplicable("the target has one value only")
        return out[:, 0]


def draw(table: Table, *, max_rows: int, seed: int, deadline: Deadline) -> Sample:
    """Draw the sample of a table that meta-features are computed on."""
    from metastore.tabular import task_type  # noqa: PLC0415 - needs pandas

    task = None if table.target is None else task_type(table)
    frame, target = table.features, table.target
    if target is not None:
        rows = np.flatnonzero(target.notna().to_numpy())
        strata = level_codes(target)[rows] if task == "classification" else None
        rows = rows[sample_rows(len(rows), strata, max_rows, seed)]
    else:
        rows = sample_rows(len(frame), None, max_rows, seed)
    if frame.shape[1] > MAX_COLUMNS:
        rng = np.random.default_rng([seed, 1])
        columns = np.sort(rng.choice(frame.shape[1], MAX_COLUMNS, replace=False))
        frame = frame.iloc[:, columns]
    if len(rows) < len(frame):
        frame = frame.iloc[rows]
        target = None if target is None else target.iloc[rows]
    return Sample(table, task, frame.infer_objects(), target, seed, deadline)


def sample_rows(n: int, strata: IntArray | None, max_rows: int, seed: int) -> IntArray:
    """Return at most `max_rows` of n row numbers in order, the same share of each stratum.

    Each stratum keeps at least one row, so that more strata than `max_rows` give one row each.
    """
    if n <= max_rows:
        return np.arange(n)
    rng = np.random.default_rng([seed, 0])
    if strata is None:
        return np.sort(rng.choice(n, max_rows, replace=False))
    order = np.lexsort((rng.random(n), strata))
    _, start, counts = np.unique(strata[order], return_index=True, return_counts=True)
    rank = np.arange(n) - np.repeat(start, counts)
    quota = np.maximum(1, np.floor(counts * (max_rows / n))).astype(np.int64)
    return np.sort(order[rank < np.repeat(quota, counts)])


def is_categorical(column: Series[Any]) -> bool:
    """Whether a column holds levels (text, categories, booleans) rather than numbers or dates."""
    from pandas.api import types  # noqa: PLC0415 - importing this module needs no pandas

    if types.is_bool_dtype(column.dtype):
        return True
    if column.dtype == object and not column.notna().any():
        return False  # all missing: nothing says that these are levels
    return not (
        types.is_numeric_dtype(column.dtype)
        or types.is_datetime64_any_dtype(column.dtype)
        or types.is_timedelta64_dtype(column.dtype)
    )


def level_codes(column: Series[Any]) -> IntArray:
    """Number the levels of a column from 0 in order of their text; -1 where missing.

    Text, not type, tells levels apart, so that a column of mixed types works.
    """
    import pandas as pd  # noqa: PLC0415 - importing this module needs no pandas

    codes, levels = pd.factorize(column)
    texts = np.asarray([str(level) for level in levels], dtype=object)
    _, rank = np.unique(texts, return_inverse=True)
    out = np.full(len(column), -1, dtype=np.int64)
    known = codes >= 0
    out[known] = rank[codes[known]]
    return out


def as_numbers(column: Series[Any]) -> FloatArray:
    """Return a column as floats: dates as days since 1970; NaN where missing or infinite."""
    from pandas.api import types  # noqa: PLC0415 - importing this module needs no pandas

    if types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        if getattr(column.dtype, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        stamps = column.to_numpy()
        kind = "datetime64[us]" if stamps.dtype.kind == "M" else "timedelta64[us]"
        whole = stamps.astype(kind).astype(np.int64)
        return np.where(np.isnat(stamps), np.nan, whole / 86_400e6)
    values = np.array(column.to_numpy(dtype=np.float64, na_value=np.nan))
    values[~np.isfinite(values)] = np.nan
    return values


def equal_frequency(values: FloatArray, n_bins: int) -> IntArray:
    """Cut numbers into at most `n_bins` bins of about equal counts; -1 where missing.

    Equal values share a bin. With `n_bins` distinct values or fewer each has its own.
    """
    known = np.isfinite(values)
    out = np.full(len(values), -1, dtype=np.int64)
    if not known.any():
        return out
    distinct = np.unique(values[known])
    if len(distinct) <= n_bins:
        edges = distinct[1:]
    else:
        share = np.arange(1, n_bins) / n_bins
        edges = np.unique(np.quantile(values[known], share, method="inverted_cdf"))
    out[known] = np.searchsorted(edges, values[known], side="right")
    return out


def _standardised(columns: FloatArray) -> FloatArray:
    """Impute by the median, scale to mean 0 and deviation 1, and drop constant columns."""
    kept = []
    for column in columns.T:
        known = np.isfinite(column)
        if not known.any() or np.ptp(column[known] / max(1.0, np.abs(column[known]).max())) == 0:
            continue
        filled = np.where(known, column, np.median(column[known]))
        filled = filled / np.abs(filled).max()  # squares of huge numbers would overflow
        filled = filled - filled.mean()
        deviation = filled.std()
        if deviation > 1e-12:
            kept.append(filled / deviation)
    return np.column_stack(kept) if kept else np.empty((len(columns), 0))
