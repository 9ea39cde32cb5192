"""Sketches of a table's rows: they tell a part of a dataset from another dataset.

A row's hash is the sum, modulo 2^64, of the scrambled hashes of its cells, so that neither the
order of columns nor their names nor which of them is the target play a part. The sketch is the k
smallest of the distinct hashes (Beyer et al., 2007): of two tables the k smallest of both tell
their Jaccard similarity J, with a standard error of sqrt(J (1 - J) / k), and with the numbers of
distinct rows what share of the smaller one lies in the other:

    |A and B| = J / (1 + J) (|A| + |B|)

No cell can be told from it. Tables of few different rows, as of a handful of categories, have
rows in common whatever they are of: they get no sketch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError
from metastore.fingerprint import cell_hashes, mix

if TYPE_CHECKING:
    from metastore.tabular import Table

Words = NDArray[np.uint64]

SIZE = 64
"""k, the most hashes that are kept."""

DISTINCT = 0.4
"""The least share of distinct rows of a table that gets a sketch."""

LEAST = 8
"""Hashes that two sketches must share at least."""

CONTAINED = 0.75
"""Share of the smaller table's rows in the other from which both are of one source.

Of 277 tables of the Penn collection no two of different origin lie above 0.7, and random parts of
a table, down to a fifth of its rows, lie between 0.73 and 1.36.
"""


@dataclass(frozen=True, eq=False)
class RowSketch:
    """The sketch of a table.

    Args:
        n_columns: number of columns, the target among them.
        n_distinct: number of distinct rows.
        least: `(k,)` their smallest hashes in ascending order.
    """

    n_columns: int
    n_distinct: int
    least: Words

    def to_json(self) -> list[Any]:
        """Return it as a JSON value."""
        return [self.n_columns, self.n_distinct, self.least.tolist()]

    @classmethod
    def from_json(cls, said: Any) -> RowSketch | None:
        """Return what `to_json` gave; None for None.

        Raises:
            InvalidInputError: if it is no sketch.
        """
        if said is None:
            return None
        try:
            columns, distinct, least = said
            return cls(int(columns), int(distinct), np.array(least, dtype=np.uint64))
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidInputError(f"expected a sketch of rows, got {said!r:.60}") from error


def sketch(table: Table) -> RowSketch | None:
    """Return the sketch of a table's rows, None where they are too much alike to tell anything."""
    columns = [table.features.iloc[:, i] for i in range(table.features.shape[1])]
    columns += [] if table.target is None else [table.target]
    rows = np.zeros(len(table.features), dtype=np.uint64)
    for column in columns:
        rows += mix(mix(cell_hashes(column)))
    distinct = np.unique(mix(rows))
    if len(distinct) < max(LEAST, DISTINCT * len(rows)):
        return None
    return RowSketch(len(columns), len(distinct), distinct[:SIZE])


def contained(a: RowSketch, b: RowSketch) -> float:
    """Return about what share of the smaller table's rows lies in the other one; symmetric."""
    if a.n_columns != b.n_columns:
        return 0.0
    union = np.unique(np.concatenate([a.least, b.least]))[:SIZE]
    both = int((np.isin(union, a.least) & np.isin(union, b.least)).sum())
    if both < LEAST:
        return 0.0
    alike = both / len(union)
    return alike / (1 + alike) * (a.n_distinct + b.n_distinct) / min(a.n_distinct, b.n_distinct)


def may_be_contained(sketches: list[RowSketch | None]) -> list[tuple[int, int]]:
    """Return the pairs of sketches that share enough hashes to be compared."""
    holders: dict[int, list[int]] = {}
    for i, one in enumerate(sketches):
        for word in [] if one is None else one.least.tolist():
            holders.setdefault(word, []).append(i)
    shared: dict[tuple[int, int], int] = {}
    for some in holders.values():
        for at, i in enumerate(some):
            for j in some[at + 1 :]:
                shared[i, j] = shared.get((i, j), 0) + 1
    return [pair for pair, count in shared.items() if count >= LEAST]
