"""Groups datasets that are the same or nearly so, whatever they are called.

Two datasets belong together if they share a source id or a fingerprint, if their profiles
resemble each other (`metastore.resemblance`), if most rows of the smaller one are in the other
(`metastore.row_sketch`), or, where only meta-features are known, if these
say that the cells are the same: equal numbers of rows (to 0.5%), features and classes, and
either equal values throughout or moments of the columns that agree. Moments (skewness,
kurtosis, principal components) depend on the cells but not on the target, so that one table
with several targets is one group: a recommender that has seen its rows has seen it. Landmarkers
take no part: they are noisy. Groups are connected components.

Why 6%: among the 140 OpenML datasets of auto-sklearn, whose moments come from random two
thirds of the rows, tables of one origin differ by 0.3 to 7% in the median moment from their
next of kin, others of equal shape by 8% and more (mostly 25 to 100%).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError
from metastore.profiles import parse
from metastore.resemblance import THRESHOLD, compare, may_resemble
from metastore.row_sketch import CONTAINED, contained, may_be_contained
from metastore.view import FloatArray, IntArray, MetaFeatures

MOMENT_TOLERANCE = 0.06
"""Median relative difference of moments up to which two tables hold the same cells."""

_ROWS = {"numberofinstances", "nrows", "ninstances", "nrinst"}
_FEATURES = {"numberoffeatures", "nfeatures", "ncolumns", "nrattr"}
_CLASSES = {"numberofclasses", "nclasses", "nrclass"}
_MOMENT = re.compile(r"skew|kurt|pca")
_LEAST_MOMENTS = 4
_LEAST_EQUAL = 8


def groups(
    names: Sequence[str],
    *,
    source_ids: Sequence[str],
    fingerprints: Sequence[str],
    profiles: Sequence[str],
    meta: MetaFeatures,
) -> dict[str, int]:
    """Return the number of the near-duplicate group of each dataset that has company.

    Args:
        names: D datasets.
        source_ids: D ids of where they came from, empty where unknown.
        fingerprints: D hashes of their cells, empty where unknown.
        profiles: D profiles, empty where unknown.
        meta: meta-features of any datasets, by name.

    Returns:
        Groups of two or more, numbered from 0 in the order of `names`.

    Raises:
        InvalidInputError: if the sequences differ in length, or a profile cannot be read.

    >>> ids = ["openml:61", "", "openml:61"]
    >>> groups(["iris", "wine", "flowers"], source_ids=ids, fingerprints=["", "", ""],
    ...        profiles=["", "", ""], meta=MetaFeatures.empty())
    {'iris': 0, 'flowers': 0}
    """
    lengths = {len(names), len(source_ids), len(fingerprints), len(profiles)}
    if len(lengths) > 1:
        raise InvalidInputError(
            f"expected a source id, a fingerprint and a profile for each of {len(names)} names, "
            f"got {len(source_ids)}, {len(fingerprints)} and {len(profiles)}"
        )
    sets = _Sets(len(names))
    for known in (source_ids, fingerprints):
        _join_equal(sets, known)
    cells_unknown = [not f and not p for f, p in zip(fingerprints, profiles, strict=True)]
    _join_alike(sets, profiles)
    _join_meta(sets, names, np.array(cells_unknown, dtype=bool), meta)
    return sets.named(names)


class _Sets:
    """Disjoint sets of the numbers below `n`."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        self._parent[self.find(j)] = self.find(i)

    def named(self, names: Sequence[str]) -> dict[str, int]:
        roots = [self.find(i) for i in range(len(names))]
        sizes = np.bincount(roots, minlength=len(names)) if roots else np.empty(0)
        numbers: dict[int, int] = {}
        return {
            name: numbers.setdefault(root, len(numbers))
            for name, root in zip(names, roots, strict=True)
            if sizes[root] > 1
        }


def _join_equal(sets: _Sets, known: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for i, text in enumerate(known):
        if text:
            sets.join(first.setdefault(text, i), i)


def _join_alike(sets: _Sets, profiles: Sequence[str]) -> None:
    """Join datasets whose profiles are alike, and those of which one is part of the other.

    Equal profiles go first, they are compared once.
    """
    _join_equal(sets, profiles)
    first = {text: i for i, text in reversed(list(enumerate(profiles))) if text}
    rows = sorted(first.values())
    parsed = [parse(profiles[i]) for i in rows]
    for a, b in may_resemble(parsed, THRESHOLD):
        i, j = rows[a], rows[b]
        if sets.find(i) != sets.find(j) and compare(parsed[a], parsed[b]) >= THRESHOLD:
            sets.join(i, j)
    sketches = [one.rows for one in parsed]
    for a, b in may_be_contained(sketches):
        left, right = sketches[a], sketches[b]
        if left is not None and right is not None and contained(left, right) >= CONTAINED:
            sets.join(rows[a], rows[b])


def _join_meta(
    sets: _Sets, names: Sequence[str], cells_unknown: NDArray[np.bool_], meta: MetaFeatures
) -> None:
    """Join datasets by meta-features where the cells of one of the two were never seen."""
    rows = [i for i, name in enumerate(names) if name in meta]
    if len(rows) < 2:
        return
    values = meta.aligned([names[i] for i in rows])
    near = _same_shape(meta.names, values)
    unknown = cells_unknown[rows]
    near &= unknown[:, None] | unknown[None, :]
    moments = np.array([_is_moment(name) for name in meta.names], dtype=bool)
    for a, b in np.argwhere(np.triu(near, 1)):
        if _same_cells(values[a], values[b], moments):
            sets.join(rows[a], rows[b])


def _same_shape(names: Sequence[str], values: FloatArray) -> NDArray[np.bool_]:
    """Return `(M, M)` whether rows, features and classes agree; all False if rows are unknown."""
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in names]
    near = np.zeros((len(values), len(values)), dtype=bool)
    for wanted, tolerance in ((_ROWS, 0.005), (_FEATURES, 0.0), (_CLASSES, 0.0)):
        found: IntArray = np.array([i for i, name in enumerate(plain) if name in wanted], np.int64)
        if wanted is _ROWS:
            near[:] = len(found) > 0
        for column in values[:, found].T:
            a, b = column[:, None], column[None, :]
            close = np.abs(a - b) <= tolerance * np.maximum(np.abs(a), np.abs(b))
            unknown = np.isnan(a) & np.isnan(b) if wanted is not _ROWS else False
            near &= close | unknown
    return near


def _same_cells(a: FloatArray, b: FloatArray, moments: NDArray[np.bool_]) -> bool:
    """Whether two vectors are equal, or their moments agree in the median."""
    known = np.isfinite(a) & np.isfinite(b)
    size = np.maximum(np.abs(a), np.abs(b))
    difference = np.abs(a - b) / np.where(size > 0, size, 1.0)
    if known.sum() >= _LEAST_EQUAL and (difference[known] < 1e-9).all():
        return bool((np.isfinite(a) == np.isfinite(b)).all())
    told = known & moments & (size > 0)
    if told.sum() < _LEAST_MOMENTS:
        return False
    return bool(np.median(difference[told]) <= MOMENT_TOLERANCE)


def _is_moment(name: str) -> bool:
    return bool(_MOMENT.search(name.lower())) and not name.lower().startswith("target")
