"""Tells nearly the same dataset again under another name, from profiles.

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

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metastore.profiles import INFORMATION, MAX_COLUMNS, WIDTH, Profile, parse

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

THRESHOLD = 0.6
"""Similarity from which two datasets count as near-duplicates."""

_NOISE = 0.6
_NOTHING = 0.01
_ROWS_TOLERANCE = 0.1
_DISTINCT_TOLERANCE = 0.05
_MAX_ROWS = 20_000  # rounding and cleaning, not sampling, make the difference beyond
_COMMON = 0.02  # a commonest value rarer than this tells nothing


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
    features = _matched(a.columns[:, :INFORMATION], b.columns[:, :INFORMATION], n, least=15.0)
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


def may_resemble(profiles: Sequence[Profile], threshold: float) -> IntArray:
    """Return the pairs `(k, 2)` that may be as similar as `threshold`: a quick look at bounds.

    A similarity is at most that of the rows, that of the targets, and the share of weight that
    the lighter table could match; where the targets differ, means over columns must agree.
    """
    if len(profiles) < 2:
        return np.empty((0, 2), dtype=np.int64)
    n_rows = np.array([p.n_rows for p in profiles], dtype=np.float64)
    rows = _rows_alike(n_rows[:, None], n_rows[None, :])
    pairs = np.argwhere(np.triu(rows >= threshold, 1))
    a, b = pairs.T
    none = np.full(WIDTH, np.nan)
    targets = np.array([none if p.target is None else p.target for p in profiles])
    one_unknown = np.isnan(targets[a, 0]) | np.isnan(targets[b, 0])
    same_target = np.where(
        one_unknown, 1.0, _scores(targets[a], targets[b], np.minimum(n_rows[a], n_rows[b]))
    )
    summary = np.array([_summary(p.columns) for p in profiles])
    weight, means = summary[:, 0], summary[:, 1:]
    share = 2 * np.minimum(weight[a], weight[b]) / np.maximum(weight[a] + weight[b], 1e-12)
    share = np.where(one_unknown, np.sqrt(share), share)  # a column more on one side
    least = threshold**0.25
    far = np.abs(means[a] - means[b]).max(axis=1) > 2 * (1 - least) + 0.05
    other_target = (share >= least) & ~far
    found: IntArray = pairs[(same_target * share >= threshold) | other_target]
    return found


def _summary(columns: FloatArray) -> FloatArray:
    """Return the total weight of a table's columns and weighted means of what lies in [0, 1]."""
    weight = _weight(columns)
    shares = np.nan_to_num(columns[:, [0, 3, 4, *range(11, INFORMATION)]])
    return np.concatenate([[weight.sum()], weight @ shares / max(weight.sum(), 1e-12)])


def _weight(columns: FloatArray) -> FloatArray:
    """Return what a match of each column is worth: bits of distinct values, at most 6."""
    weight: FloatArray = np.minimum(6.0, np.log2(np.exp(columns[:, 1]) + 1))
    return np.where(columns[:, 1] > 0, weight, 0.0)


def _rows_alike(a: Any, b: Any) -> Any:
    ratio = np.log(np.maximum(a, 1) / np.maximum(b, 1))
    return np.exp(-((ratio / _ROWS_TOLERANCE) ** 2))


def _matched(left: FloatArray, right: FloatArray, n: int, least: float = 0.0) -> float:
    """Match columns one to one, the most alike first; return the share of weight matched.

    Where the columns of a table weigh less than `least` there is nothing to go by: 0.
    """
    alike = _alike(left, right, n)
    known = np.isfinite(alike)
    # a column that cannot be compared with any other, such as a constant one, weighs nothing
    weigh = [
        np.where(known.any(axis=1 - side), _weight(part), 0.0)
        for side, part in enumerate((left, right))
    ]
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
    return _scores(left[:, None, :], right[None, :, :], np.array(float(n)))


def _scores(a: FloatArray, b: FloatArray, n: FloatArray) -> FloatArray:
    """Return similarities `(...)` of columns `(..., 17 or 19)` of tables of n rows `(...)`."""
    noise = np.sqrt(np.minimum(n, _MAX_ROWS))[..., None]
    z = noise * (a - b)
    larger = np.maximum(a, b)
    roots = 2 * noise * (np.sqrt(np.maximum(a, 0)) - np.sqrt(np.maximum(b, 0)))
    z[..., 0] = np.where(larger[..., 0] > 0, roots[..., 0], np.nan)
    z[..., 1] = np.abs(a - b)[..., 1:3].min(axis=-1) / _DISTINCT_TOLERANCE
    z[..., 2] = np.nan
    common = (larger[..., 3:4] > _COMMON) & (larger[..., 3:11] > 0)
    z[..., 3:11] = np.where(common, roots[..., 3:11], np.nan)
    z[..., INFORMATION:] = roots[..., INFORMATION:] / np.sqrt(2)
    known = np.isfinite(z)
    told = known[..., 0] | known[..., 3:].any(axis=-1)
    mean = (np.where(known, z, 0.0) ** 2).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return np.where(told, np.exp(-mean / _NOISE**2), np.nan)
