"""Tables as numbers by class or by group, ready to be scaled and drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metastore.errors import InvalidInputError


def class_rows(path: Path, target: str) -> dict[str, Tensor]:
    """Return the rows of each class of a table, as float32 `(n, d)` without the target.

    Raises:
        InvalidInputError: if a column is missing, holds no numbers, or has gaps.
    """
    frame = _frame(path, [target])
    numbers = _numbers(path, frame.drop(columns=target))
    return {str(key): numbers[rows] for key, rows in _rows(frame[target]).items()}


def group_tables(path: Path, target: str, group: str) -> dict[str, Tensor]:
    """Return the rows of each group, as float32 `(n, d + 1)` with the target in the last column.

    Raises:
        InvalidInputError: if a column is missing, holds no numbers, or has gaps.
    """
    frame = _frame(path, [target, group])
    ordered = [name for name in frame.columns if name not in (target, group)] + [target]
    numbers = _numbers(path, frame[ordered])
    return {str(key): numbers[rows] for key, rows in _rows(frame[group]).items()}


def input_columns(path: Path, target: str, group: str | None = None) -> list[str]:
    """Return the names of the columns that are inputs, in the order of the numbers above."""
    frame = _frame(path, [target])
    return [str(name) for name in frame.columns if name not in (target, group)]


def scaled(
    parts: Sequence[Sequence[Tensor]],
) -> tuple[list[list[Tensor]], dict[str, list[float]]]:
    """Return tables with columns of mean 0 and deviation 1 over the first part, and the scale.

    Only what is trained on sets the scale; a column that is constant there is left as it is.

    Args:
        parts: tables to train, to validate and to test on, each `(n, d)`.

    >>> parts, scale = scaled([[torch.tensor([[1.0], [3.0]])], [torch.tensor([[5.0]])]])
    >>> scale
    {'mean': [2.0], 'deviation': [1.0]}
    >>> parts[1][0].tolist()
    [[3.0]]
    """
    rows = torch.cat(list(parts[0]))
    mean, deviation = rows.mean(0), rows.std(0, unbiased=False)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    changed = [[(table - mean) / deviation for table in part] for part in parts]
    return changed, {"mean": mean.tolist(), "deviation": deviation.tolist()}


def _frame(path: Path, needed: Sequence[str]) -> Any:
    from metastore.table_files import read_frame  # noqa: PLC0415 - pandas, for tables alone

    frame = read_frame(path)
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise InvalidInputError(
            f"{path} has no column {missing[0]!r}; its last ones are: "
            f"{', '.join(map(str, list(frame.columns)[-8:]))}"
        )
    return frame


def _rows(column: Any) -> dict[Any, Tensor]:
    """Return the row numbers of each value, in order of first appearance."""
    return {
        key: torch.from_numpy(np.asarray(rows, dtype=np.int64))
        for key, rows in column.groupby(column, sort=False).indices.items()
    }


def _numbers(path: Path, frame: Any) -> Tensor:
    text = [str(name) for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    if text:
        raise InvalidInputError(
            f"{path}: columns must hold numbers, and {', '.join(text[:5])} do not; encode them, "
            "or leave them out"
        )
    values = frame.to_numpy(dtype=np.float32)
    gaps = [
        str(name)
        for name, ok in zip(frame.columns, np.isfinite(values).all(0), strict=True)
        if not ok
    ]
    if gaps:
        raise InvalidInputError(
            f"{path}: {', '.join(gaps[:5])} hold gaps or infinity; impute or drop those rows"
        )
    return torch.from_numpy(values.copy())
