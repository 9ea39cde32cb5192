"""Tables of mixed columns as numbers, by scikit-learn's preprocessors, which a model keeps.

Numbers, booleans and dates (days since 1970) have gaps filled by the median, a column that says
where the gaps were, and are brought to mean 0 and deviation 1. Everything else is a category:
one column for each of the 20 most frequent levels, and one for the rest.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError
from recommenders.starts.kept_estimators import LEVELS, NUMBERS, read, written

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MOST_LEVELS = 20
LEAST_NAMES = 10
"""Rows after which text that is another in every row is taken for names of the rows."""
_GAP = "(missing)"
_LARGEST = 1e100
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class TableColumns:
    """How the columns of a table become numbers.

    Args:
        names: columns in the order that a table must have them in.
        kinds: "number", "date" or "category" of each.
        numbers: scikit-learn pipeline over numbers and dates; None where there are none.
        levels: scikit-learn encoder of the categories; None where there are none.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    numbers: Any = None
    levels: Any = None

    def apply(self, frame: DataFrame) -> NDArray[np.float32]:
        """Return a table as numbers `(n, d)`, without gaps.

        Raises:
            InvalidInputError: if a column is missing, or holds text where numbers were.
        """
        parts = []
        if self.numbers is not None:
            parts.append(self.numbers.transform(self._numeric(frame)))
        if self.levels is not None:
            parts.append(self.levels.transform(self._levels(frame)))
        return np.concatenate(parts, 1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return names and kinds, and the preprocessors as skops' bytes in base64."""
        kept = {
            part: base64.b64encode(written(getattr(self, part))).decode()
            for part in ("numbers", "levels")
            if getattr(self, part) is not None
        }
        return {"names": list(self.names), "kinds": list(self.kinds), **kept}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> TableColumns:
        """Return the columns that `to_json` wrote; nothing is unpickled.

        Raises:
            InvalidInputError: if it is damaged, or holds what no preprocessor of ours does.
        """
        parts = {
            part: read(base64.b64decode(kept[part]), f"the preprocessor of the {part}", (kind,))
            for part, kind in (("numbers", NUMBERS), ("levels", LEVELS))
            if part in kept
        }
        return cls(tuple(kept["names"]), tuple(kept["kinds"]), **parts)

    def _numeric(self, frame: DataFrame) -> NDArray[np.float64]:
        return np.column_stack(
            [
                _dates(frame[name]) if kind == "date" else _numbers(frame[name])
                for name, kind in zip(self.names, self.kinds, strict=True)
                if kind != "category"
            ]
        )

    def _levels(self, frame: DataFrame) -> NDArray[Any]:
        return np.column_stack(
            [
                _text(frame[name])
                for name, kind in zip(self.names, self.kinds, strict=True)
                if kind == "category"
            ]
        )


def fit_columns(frame: DataFrame) -> TableColumns:
    """Return the preprocessing of a table, learned from its rows.

    Text that is another in every row, such as a name or a number of an order, tells nothing of
    new rows and is left out, unless there is nothing else.
    """
    from sklearn.impute import SimpleImputer  # noqa: PLC0415 - slow to import, tables alone
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: PLC0415

    telling = [name for name in frame.columns if not _names_rows(frame[name])]
    frame = frame[telling or list(frame.columns)]
    names = tuple(map(str, frame.columns))
    plain = TableColumns(names, tuple(kind_of(frame[name]) for name in names))
    numbers = levels = None
    if set(plain.kinds) - {"category"}:
        numbers = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
            StandardScaler(),
        ).fit(plain._numeric(frame))
    if "category" in plain.kinds:
        levels = OneHotEncoder(
            max_categories=MOST_LEVELS, handle_unknown="infrequent_if_exist", sparse_output=False
        ).fit(plain._levels(frame))
    return TableColumns(names, plain.kinds, numbers, levels)


def _names_rows(column: Series[Any]) -> bool:
    known = column.dropna()
    return len(known) >= LEAST_NAMES and kind_of(column) == "category" and bool(known.is_unique)


def kind_of(column: Series[Any]) -> str:
    """Return "number", "date" or "category".

    >>> import pandas as pd
    >>> [kind_of(pd.Series(one)) for one in ([1, 2], [True, False], ["a", None])]
    ['number', 'number', 'category']
    """
    from pandas.api import types  # noqa: PLC0415 - for tables alone

    if types.is_datetime64_any_dtype(column.dtype) or _holds_dates(column):
        return "date"
    return "number" if types.is_numeric_dtype(column.dtype) else "category"


def _holds_dates(column: Series[Any]) -> bool:
    """Whether a column of objects holds dates, as a database or `datetime.date` gives them."""
    from pandas.api import types  # noqa: PLC0415 - for tables alone

    objects = types.is_object_dtype(column.dtype)
    return objects and types.infer_dtype(column, skipna=True) in ("date", "datetime")


def _numbers(column: Series[Any]) -> NDArray[np.float64]:
    """Return floats; infinity counts as missing."""
    try:
        values = column.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"column {column.name!r} held numbers where the model was fitted, and here it holds "
            f"{column.dtype}: {error}"
        ) from error
    # Squares of larger ones overflow where columns are scaled.
    return np.where(np.isfinite(values), values, np.nan).clip(-_LARGEST, _LARGEST)


def _dates(column: Series[Any]) -> NDArray[np.float64]:
    """Return days since 1970."""
    import pandas as pd  # noqa: PLC0415 - for tables alone

    try:
        stamps = pd.to_datetime(column, utc=True, format="ISO8601").dt.tz_localize(None)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"column {column.name!r} held dates where the model was fitted, and here it does "
            f"not: {error}"
        ) from error
    values = stamps.to_numpy().astype("datetime64[us]")
    days: NDArray[np.float64] = (values - np.datetime64(0, "us")) / _DAY
    return np.where(np.isnat(values), np.nan, days)


def _text(column: Series[Any]) -> NDArray[Any]:
    """Return levels as text, gaps among them, however a file or a frame spells them.

    A whole float reads like the integer, a date like its day, and an empty text is a gap.
    """
    from pandas.api import types  # noqa: PLC0415 - for tables alone

    if types.is_datetime64_any_dtype(column.dtype):
        days = bool((column.dropna().dt.normalize() == column.dropna()).all())
        column = (
            column.dt.strftime("%Y-%m-%d") if days else column.astype(str).where(column.notna())
        )
    missing = (column.isna() | (column.astype(object) == "")).to_numpy(dtype=bool)
    texts = np.array(
        [
            str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
            for cell in column.astype(object).where(~missing, _GAP)
        ],
        dtype=object,
    )
    return texts
