"""What a user hands over as a dataset, turned into one `Table`.

A table is a pandas DataFrame of features and, where there is one, a Series to predict. Columns
have unique text labels and rows are numbered from 0, so that later steps go by position. The
cells stay as they came: missing, infinite and constant values are allowed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from metastore.errors import InvalidInputError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

TaskType = Literal["classification", "regression"]

_OPENML = re.compile(r"openml:(\d+)", re.IGNORECASE)
_MAX_CLASSES = 100
_ROWS_PER_CLASS = 10


@dataclass(frozen=True, eq=False)
class Table:
    """A dataset's cells.

    Args:
        features: `(n_rows, n_columns)`, unique text labels, rows numbered from 0.
        target: `(n_rows,)` what is to be predicted; None where nothing is.
        name: what people call it, empty where it has no name.
        source_id: where it came from, such as `openml:31`, empty where unknown.
    """

    features: DataFrame
    target: Series[Any] | None = None
    name: str = ""
    source_id: str = ""


def as_table(data: Any, target: Any = None, name: str = "") -> Table:
    """Turn a dataset in any of its usual shapes into a `Table`.

    Args:
        data: an `(X, y)` pair or a `(DataFrame, target name)` pair; a DataFrame, Arrow table,
            array, nested list or SciPy sparse matrix; a scikit-learn Bunch; the path of a CSV,
            TSV, Parquet, JSON-lines or ARFF file; an OpenML id (`31` or `"openml:31"`); or a
            `Table`.
        target: name of the target column, or the target values; None for the data's own
            target (a pair's second member, a Bunch's, OpenML's default,
            `frame.attrs["target"]`), else for none.
        name: what to call the dataset; empty for the name that the data brings along.

    Raises:
        InvalidInputError: if no table can be made of `data`; it says what to do.
        MissingDependencyError: if an OpenML id is given and `openml` is not installed.

    >>> table = as_table(([[1.0, 2.0], [3.0, 4.0]], ["a", "b"]))
    >>> table.features.shape, list(table.target)
    ((2, 2), ['a', 'b'])
    """
    table = _convert(data, target)
    return replace(table, name=name or table.name)


def task_type(table: Table) -> TaskType:
    """Say whether the target is a class or a number.

    Text, categories and booleans are classes, and so is any target with two values. Dates and
    numbers with a fraction are regression. Whole numbers are classes where there are at most
    100 of them and at least 10 rows for each: a count of rings or a year is a number.

    Raises:
        InvalidInputError: if the table has no target.

    >>> task_type(as_table(([[0], [1], [2]], [0.5, 1.5, 2.25])))
    'regression'
    """
    if table.target is None:
        raise InvalidInputError(
            "the dataset has no target: name the column to predict, for example target='y'"
        )
    target = table.target.dropna()
    distinct = target.nunique()
    if distinct <= 2 or pd.api.types.is_bool_dtype(target.dtype):
        return "classification"
    if pd.api.types.is_datetime64_any_dtype(target.dtype):
        return "regression"
    if not pd.api.types.is_numeric_dtype(target.dtype):
        return "classification"
    values = target.to_numpy(dtype=np.float64)
    whole = bool(np.isfinite(values).all() and (values == np.round(values)).all())
    few = distinct <= _MAX_CLASSES and len(values) >= _ROWS_PER_CLASS * distinct
    return "classification" if whole and few else "regression"


def _convert(data: Any, target: Any) -> Table:
    """Dispatch on what kind of thing `data` is."""
    if isinstance(data, Table):
        if target is None:
            return data
        return _built(data.features, target, data.name, data.source_id)
    if isinstance(data, bool | bytes):
        raise _no_table(data)
    if isinstance(data, int | np.integer | str | Path):
        return _from_reference(data, target)
    if isinstance(data, tuple):
        return _from_pair(data, target)
    if isinstance(data, Mapping):
        return _from_mapping(data, target)
    return _built(_frame(data), target)


def _from_reference(data: int | np.integer[Any] | str | Path, target: Any) -> Table:
    """Read what a number, a text or a path points to."""
    if isinstance(data, int | np.integer):
        return _from_openml(int(data), target)
    match = _OPENML.fullmatch(str(data).strip())
    if match:
        return _from_openml(int(match[1]), target)
    from metastore.table_files import read_frame  # noqa: PLC0415 - most callers have no file

    path = Path(data)
    wanted = target if isinstance(target, str) else ""
    return _built(read_frame(path, wanted), target, path.name.split(".")[0])


def _from_openml(number: int, target: Any) -> Table:
    from metastore.openml_tables import read_openml  # noqa: PLC0415 - needs the openml client

    frame, default, name = read_openml(number)
    return _built(frame, default if target is None else target, name, f"openml:{number}")


def _from_pair(data: tuple[Any, ...], target: Any) -> Table:
    if len(data) != 2:
        raise InvalidInputError(
            f"expected a pair (X, y) or (DataFrame, target name), got a tuple of {len(data)}"
        )
    features, own = data
    if target is not None:
        raise InvalidInputError(
            "the target was given twice: in the pair and as target=; leave one of them out"
        )
    return _built(_frame(features), own)


def _from_mapping(data: Mapping[str, Any], target: Any) -> Table:
    """Read a scikit-learn Bunch, or any mapping with `data` and `target`."""
    if "data" not in data:
        raise InvalidInputError(
            "expected a scikit-learn Bunch or a mapping with 'data' and 'target', got the keys "
            f"{sorted(map(str, data))[:10]}; make a pandas.DataFrame of it first"
        )
    details = data.get("details") or {}
    source = f"openml:{details['id']}" if "id" in details else ""
    name = str(details.get("name", ""))
    whole = data.get("frame")
    if isinstance(target, str) and isinstance(whole, pd.DataFrame):
        return _built(whole, target, name, source)
    frame = _frame(data["data"])
    labels = list(data.get("feature_names", ()))
    if len(labels) == frame.shape[1] and not isinstance(data["data"], pd.DataFrame):
        frame.columns = pd.Index([str(label) for label in labels])
    return _built(frame, data.get("target") if target is None else target, name, source)


def _frame(data: Any) -> DataFrame:
    """Return a DataFrame over rectangular data, without copying where pandas can."""
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, pd.Series):
        return data.to_frame()
    if callable(getattr(data, "to_pandas", None)):
        converted = data.to_pandas()
        return converted if isinstance(converted, pd.DataFrame) else converted.to_frame()
    if hasattr(data, "tocsc"):
        sparse: DataFrame = pd.DataFrame.sparse.from_spmatrix(data.tocsc())  # type: ignore[attr-defined]
        return sparse
    if not hasattr(data, "__array__") and not isinstance(data, Sequence):
        raise _no_table(data)
    return _array_frame(data)


def _array_frame(data: Any) -> DataFrame:
    try:
        array = np.asarray(data)
        if array.dtype.kind in "SU" and not hasattr(data, "__array__"):
            array = np.asarray(data, dtype=object)  # a list keeps numbers apart from text
    except ValueError as error:
        raise InvalidInputError(
            "the rows have different lengths: expected a rectangular list of rows"
        ) from error
    if array.ndim not in (1, 2):
        raise InvalidInputError(
            f"expected a table of rows and columns, got an array of shape {array.shape}; "
            "reshape it to 2-D, for example X.reshape(len(X), -1)"
        )
    if array.dtype.kind == "c":
        raise InvalidInputError("complex numbers are not supported: pass X.real and X.imag apart")
    frame = pd.DataFrame(array if array.ndim == 2 else array[:, None])
    return frame.infer_objects() if array.dtype == object else frame


def _built(frame: DataFrame, target: Any, name: str = "", source_id: str = "") -> Table:
    """Split off the target, check both parts, and give them plain labels."""
    target = frame.attrs.get("target") if target is None else target
    column: Series[Any] | None = None
    if isinstance(target, int | np.integer) and not isinstance(target, bool):
        target = str(target)  # arrays and files without a header number their columns
    if isinstance(target, str):
        frame, column = _split(frame, target)
    elif target is not None:
        column = _column(target)
    if len(frame) == 0 or frame.shape[1] == 0:
        raise InvalidInputError(
            f"the dataset is empty: {len(frame)} rows and {frame.shape[1]} feature columns; "
            "a table needs at least one of each"
        )
    if column is not None and len(column) != len(frame):
        raise InvalidInputError(
            f"X and y have different lengths: {len(frame)} rows against {len(column)} targets"
        )
    if column is not None and bool(column.isna().all()):
        raise InvalidInputError(
            f"the target {column.name!r} is missing in all {len(column)} rows; name another column"
        )
    _refuse_nested(frame)
    features = frame.reset_index(drop=True)
    features.columns = pd.Index(_labels(features))
    return Table(
        features, None if column is None else column.reset_index(drop=True), name, source_id
    )


def _refuse_nested(frame: DataFrame) -> None:
    for i in (i for i, kind in enumerate(frame.dtypes) if pd.api.types.is_object_dtype(kind)):
        column = frame.iloc[:, i].dropna()
        if len(column) and isinstance(column.iloc[0], list | dict | set | np.ndarray):
            raise InvalidInputError(
                f"column {str(frame.columns[i])!r} holds {type(column.iloc[0]).__name__}s: a cell "
                "is a number, a text, a boolean or a date; flatten it"
            )


def _split(frame: DataFrame, target: str) -> tuple[DataFrame, Series[Any]]:
    labels = [str(label) for label in frame.columns]
    found = [i for i, label in enumerate(labels) if label == target]
    if len(found) == 1:
        rest = [i for i in range(len(labels)) if i != found[0]]
        return frame.iloc[:, rest], frame.iloc[:, found[0]].rename(target)
    if found:
        raise InvalidInputError(f"{len(found)} columns are named {target!r}; rename all but one")
    near = difflib.get_close_matches(target, labels, n=3, cutoff=0.5)
    if not near:
        near = [label for label in labels if label.lower() == target.lower()]
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    shown = ", ".join(labels[:20]) + (f", ... ({len(labels)} in all)" if len(labels) > 20 else "")
    raise InvalidInputError(f"no column named {target!r}{hint} The columns are: {shown}")


def _column(target: Any) -> Series[Any]:
    """Return the target values as a Series."""
    if isinstance(target, pd.DataFrame) or np.ndim(target) > 1:
        shape = np.shape(target)
        if len(shape) != 2 or shape[1] != 1:
            raise InvalidInputError(
                f"expected one target value a row, got an array of shape {shape}; "
                "pass one column of it"
            )
        target = target.iloc[:, 0] if isinstance(target, pd.DataFrame) else np.ravel(target)
    if np.ndim(target) == 0:
        raise InvalidInputError(
            f"expected a target column's name or its values, got {type(target).__name__}: "
            f"{str(target)[:80]!r}"
        )
    series = target if isinstance(target, pd.Series) else pd.Series(target)
    return series.rename("target" if series.name is None else str(series.name))


def _labels(frame: DataFrame) -> list[str]:
    """Return unique text labels: `x0, x1, ...` for numbered columns, `a.1` for a second `a`."""
    if isinstance(frame.columns, pd.RangeIndex):
        return [f"x{i}" for i in range(frame.shape[1])]
    taken: set[str] = set()
    out = []
    for label in map(str, frame.columns):
        unique, count = label, 0
        while unique in taken:
            count += 1
            unique = f"{label}.{count}"
        taken.add(unique)
        out.append(unique)
    return out


def _no_table(data: Any) -> InvalidInputError:
    return InvalidInputError(
        f"cannot make a table of {type(data).__name__}: {str(data)[:80]!r}. Pass (X, y), a "
        "DataFrame with target=, a 2-D array, the path of a file, or an OpenML id"
    )
