"""Tells the same dataset again, exactly, by a hash of its cells.

Notation: n rows, p columns (the target among them), v_ij a 64-bit hash of cell i of column j,
mix a bijective scrambler of 64-bit words (SplitMix64's finaliser, Steele et al. 2014).

A column's key and a row's key are refined twice, as in colour refinement of graphs:

    c_j  = sum_i mix(v_ij)            r_i  = sum_j mix(v_ij ^ c_j)
    c'_j = sum_i mix(v_ij ^ mix r_i)  r'_i = sum_j mix(v_ij ^ c'_j)

All sums are modulo 2^64 and do not depend on order; the fingerprint hashes sum_i mix r'_i and
sum_j mix c'_j. So the order of rows, the order of columns and their names play no part, while
which cells stand in one row does: shuffling one column changes every r_i. The second round
tells apart columns that hold the same values in another order.

It is the same on every machine and with every version of pandas because nothing of pandas'
own hashing is used: a number is its IEEE 754 bits (so 1, 1.0 and True agree, and so do -0.0
and 0.0), a text is BLAKE2b of its UTF-8, a date is its microseconds since 1970.
It tells contents apart; it is no protection against somebody who wants a collision.
"""

from __future__ import annotations

import hashlib
import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastore.profiles import profile
from metastore.resemblance import similarity

if TYPE_CHECKING:
    from pandas import Series

    from metastore.tabular import Table

__all__ = ["cell_hashes", "fingerprint", "mix", "profile", "similarity"]

Words = NDArray[np.uint64]

SCHEME = "fp1"
"""What a fingerprint begins with; moves when any table would get another one."""

_MISSING = np.uint64(0x9AE16A3B2F90404F)
_TARGET = np.uint64(0xC2B2AE3D27D4EB4F)
_DATE = np.uint64(0x165667B19E3779F9)
_WHOLE = np.uint64(0x27D4EB2F165667C5)
_EXACT = 2**53
"""Whole numbers up to here are exact as floats."""


def fingerprint(table: Table) -> str:
    """Return a hash of a table's cells and of which column is the target.

    Costs two passes over the cells and memory for a few columns.

    Returns:
        `fp1-` and 32 hexadecimal digits.

    >>> from metastore.tabular import as_table
    >>> a = as_table(([[1, 2], [3, 4]], ["u", "v"]))
    >>> b = as_table(([[4.0, 3.0], [2.0, 1.0]], ["v", "u"]))
    >>> fingerprint(a) == fingerprint(b)
    True
    """
    n_rows = len(table.features)
    rows = np.zeros(n_rows, dtype=np.uint64)
    columns = np.zeros(0, dtype=np.uint64)
    for _ in range(2):
        context = mix(rows) if columns.size else rows
        rows = np.zeros(n_rows, dtype=np.uint64)
        keys = []
        for cells in _columns(table):
            key = mix(cells ^ context).sum(dtype=np.uint64)
            rows += mix(cells ^ key)
            keys.append(key)
        columns = np.array(keys, dtype=np.uint64)
    totals = (mix(rows).sum(dtype=np.uint64), mix(columns).sum(dtype=np.uint64))
    text = f"{SCHEME}|{n_rows}|{len(columns)}|{table.target is not None}|{totals[0]}|{totals[1]}"
    return f"{SCHEME}-" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def mix(words: Words) -> Words:
    """Scramble 64-bit words one to one, so that sums of them do not cancel."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def cell_hashes(column: Series[Any]) -> Words:
    """Return a 64-bit hash of each cell of a column, `(n_rows,)`."""
    from pandas.api import types  # noqa: PLC0415 - importing this module needs no pandas

    dtype: Any = column.dtype
    if types.is_bool_dtype(dtype) or types.is_float_dtype(dtype):
        return _float_words(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if types.is_integer_dtype(dtype):
        return _integer_words(column)
    if types.is_datetime64_any_dtype(dtype):
        if getattr(dtype, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        return _time_words(column.to_numpy().astype("datetime64[us]"))
    if types.is_timedelta64_dtype(dtype):
        return _time_words(column.to_numpy().astype("timedelta64[us]"))
    return _level_words(column)


def _columns(table: Table) -> Any:
    """Yield the scrambled cell hashes of each feature, then of the target under its own mark."""
    for i in range(table.features.shape[1]):
        yield mix(cell_hashes(table.features.iloc[:, i]))
    if table.target is not None:
        yield mix(cell_hashes(table.target) ^ _TARGET)


def _float_words(values: NDArray[np.float64]) -> Words:
    words = (values + 0.0).view(np.uint64)  # + 0.0 turns -0.0 into 0.0
    return np.where(np.isnan(values), _MISSING, words)


def _integer_words(column: Series[Any]) -> Words:
    """Hash whole numbers as floats where that is exact, else by their 64 bits."""
    missing = column.isna().to_numpy(dtype=bool)
    if missing.any():
        column = column.fillna(0)
    values = column.to_numpy()
    if values.dtype.kind not in "iu":
        values = values.astype(np.int64)
    words = _float_words(values.astype(np.float64))
    large = (values > _EXACT) | (values < -_EXACT)
    if large.any():
        words = np.where(large, values.astype(np.uint64) ^ _WHOLE, words)
    return np.where(missing, _MISSING, words)


def _time_words(stamps: NDArray[Any]) -> Words:
    return np.where(np.isnat(stamps), _MISSING, stamps.view(np.uint64) ^ _DATE)


def _level_words(column: Series[Any]) -> Words:
    """Hash text, categories and mixed cells: each distinct value once."""
    import pandas as pd  # noqa: PLC0415 - importing this module needs no pandas

    codes, levels = pd.factorize(column)
    words = np.array([_word(level) for level in levels] + [_MISSING], dtype=np.uint64)
    return words[codes]  # code -1, a missing cell, is the last one


def _word(value: Any) -> np.uint64:
    if isinstance(value, numbers.Real | np.bool_):
        return np.uint64(_float_words(np.array([float(value)]))[0])
    digest = hashlib.blake2b(str(value).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))
