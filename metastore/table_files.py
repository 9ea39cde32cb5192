"""Files that hold one table: CSV and its kin, Parquet, JSON lines, ARFF.

A text file is looked at before it is parsed: the first lines must agree on a number of fields.
That is what tells a table from a README with commas in it.
"""

from __future__ import annotations

import csv
import re
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from metastore.errors import InvalidInputError
from metastore.packed import file_kind, opened_text

if TYPE_CHECKING:
    from pandas import DataFrame

_TEXT = (".csv", ".tsv", ".tab", ".txt", ".data")
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_ARFF = (".arff",)
_KNOWN = (*_TEXT, *_JSON, *_PARQUET, *_ARFF)
_SAMPLE_LINES = 200
_COMMA_NUMBER = r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?(?:[eE][+-]?\d+)?"
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")


def read_frame(path: Path, target: str = "") -> DataFrame:
    """Read a file as a DataFrame, ISO dates as dates, `?` and the usual spellings as missing.

    The kind follows the suffix; `.gz` after it is unpacked. Of columns of one name in a text file
    the second is called `NAME.1`.

    Args:
        path: the file.
        target: the column that is wanted; two of that name are refused.

    Raises:
        InvalidInputError: if the file is not there, not a table, empty, or of unknown kind.
    """
    if path.is_dir():
        raise InvalidInputError(f"{path} is a folder: expected a file such as data.csv")
    if not path.exists():
        raise InvalidInputError(
            f"no file {str(path)!r}: check the path, or write openml:ID for an OpenML dataset"
        )
    if path.stat().st_size == 0:
        raise InvalidInputError(f"{path} is empty: expected a header line and rows")
    suffix = file_kind(path)
    if suffix not in _KNOWN:
        raise InvalidInputError(
            f"{path}: do not know how to read {suffix or 'a file without suffix'!r}; "
            f"expected one of {', '.join(_KNOWN)} (.gz may follow)"
        )
    try:
        frame = _read(path, suffix, target)
    except InvalidInputError:
        raise
    except (ValueError, OSError, EOFError, zlib.error, csv.Error) as error:
        raise InvalidInputError(
            f"{path} is no {suffix[1:]} table: {str(error).strip()[:300]}"
        ) from error
    if len(frame) == 0:
        raise InvalidInputError(f"{path} holds a header but no rows")
    dated: DataFrame = frame.apply(_dates)
    return dated


def _read(path: Path, suffix: str, target: str) -> DataFrame:
    if suffix in _PARQUET:
        return pd.read_parquet(path)
    if suffix in _JSON:
        return _read_json(path)
    if suffix in _ARFF:
        return _read_arff(path)
    return _read_text(path, suffix, target)


def _read_text(path: Path, suffix: str, target: str) -> DataFrame:
    try:
        with opened_text(path) as file:
            lines = [line for _, line in zip(range(_SAMPLE_LINES), file, strict=False)]
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{path} is not UTF-8 text (byte {error.start}); convert it, for example with iconv"
        ) from error
    delimiter = "\t" if suffix in (".tsv", ".tab") else _delimiter("".join(lines[:1]))
    labels = [label.strip() for label in _check_fields(path, lines, delimiter)]
    if target and labels.count(target) > 1:
        raise InvalidInputError(
            f"{path}: {labels.count(target)} columns are named {target!r}; rename all but one"
        )
    with warnings.catch_warnings():
        # pandas warns, and drops cells, where a later row is longer than the header
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(
                path,
                sep=delimiter,
                na_values=["?"],
                index_col=False,
                encoding="utf-8-sig",
                low_memory=False,
                skipinitialspace=True,
            )
        except pd.errors.ParserWarning as error:
            raise ValueError(str(error)) from error
    stripped = frame.columns.str.strip()
    frame.columns = stripped if stripped.is_unique else frame.columns
    return frame.apply(_decimal_commas) if delimiter == ";" else frame


def _decimal_commas(column: Any) -> Any:
    """Turn a text column of numbers with decimal commas into numbers; leave any other as it is.

    Where semicolons separate fields, commas are what they make way for: `1.234,5` is 1234.5.
    """
    if not (pd.api.types.is_string_dtype(column.dtype) or column.dtype == object):
        return column
    there = column.dropna()
    if not len(there) or not there.astype(str).str.strip().str.fullmatch(_COMMA_NUMBER).all():
        return column
    return pd.to_numeric(column.str.strip().str.replace(".", "").str.replace(",", "."))


def _delimiter(header: str) -> str:
    """Return the separator that the header line has most of, a comma where it has none."""
    counts = {mark: header.count(mark) for mark in (",", "\t", ";", "|")}
    return max(counts, key=lambda mark: counts[mark])


def _check_fields(path: Path, lines: list[str], delimiter: str) -> list[str]:
    """Refuse a text whose first lines do not agree on a number of fields; return the header's."""
    if any("\0" in line for line in lines):
        raise InvalidInputError(f"{path} is a binary file, not a text table")
    complete = lines[:-1] if len(lines) == _SAMPLE_LINES else lines  # a quote may be cut open
    reader = csv.reader(complete, delimiter=delimiter, skipinitialspace=True)
    rows = [(reader.line_num, row) for row in reader if row]
    if not rows:
        raise InvalidInputError(f"{path} has no rows: expected a header line and rows")
    width = len(rows[0][1])
    for number, row in rows[1:]:
        if len(row) != width:
            raise InvalidInputError(
                f"{path} is no table: line 1 has {width} fields separated by {delimiter!r}, "
                f"line {number} has {len(row)}"
            )
    if width == 1:
        raise InvalidInputError(
            f"{path} has one column only: expected fields separated by a comma, a tab, ';' or '|'"
        )
    return rows[0][1]


def _read_json(path: Path) -> DataFrame:
    """Read JSON lines, or a JSON list of records."""
    with opened_text(path) as file:
        start = file.read(1)
    # pandas' own conversion would turn a column into dates because of its name
    frame = pd.read_json(path, lines=start != "[", dtype=False).infer_objects()
    nested = [
        label
        for label in frame.columns
        if frame[label].map(lambda cell: isinstance(cell, dict | list)).any()
    ]
    if nested:
        raise InvalidInputError(
            f"{path}: column {nested[0]!r} holds lists or objects; flatten it to plain values"
        )
    return frame


def _read_arff(path: Path) -> DataFrame:
    """Read a dense ARFF file of numeric, nominal and date attributes."""
    from scipy.io import arff  # noqa: PLC0415 - only ARFF needs it

    try:
        with opened_text(path) as file:
            rows, meta = arff.loadarff(file)
    except (NotImplementedError, arff.ArffError, StopIteration) as error:
        raise InvalidInputError(
            f"{path}: this ARFF cannot be read ({error}); text attributes and sparse rows are "
            "not supported, save it as CSV or Parquet"
        ) from error
    frame = pd.DataFrame(rows)
    for label, kind in zip(meta.names(), meta.types(), strict=True):
        if kind == "nominal":
            frame[label] = frame[label].str.decode("utf-8").replace("?", None).astype("category")
    return frame


def _dates(column: Any) -> Any:
    """Turn a text column of ISO dates into dates, and leave any other as it is."""
    if not (pd.api.types.is_string_dtype(column.dtype) or column.dtype == object):
        return column
    first = column.dropna().head(50)
    if len(first) == 0 or not all(
        isinstance(cell, str) and _ISO_DATE.fullmatch(cell) for cell in first
    ):
        return column
    parsed = pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True)
    if parsed.isna().sum() > column.isna().sum():
        return column
    return parsed.dt.tz_localize(None)
