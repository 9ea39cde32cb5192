"""Cells in the order of their scores, dataset by dataset."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recommenders.cells import grouped

CELLS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=30)


@given(cells=CELLS, by_dataset=st.booleans())
def test_the_order_is_lexicographic_however_cells_stand(
    cells: list[tuple[int, int]], by_dataset: bool
) -> None:
    if by_dataset:  # datasets whole, in an order of their own
        cells = sorted(cells, key=lambda cell: -cell[0])
    group = np.array([g for g, _ in cells], dtype=np.int64)
    value = np.array([v for _, v in cells], dtype=np.float64)
    number = np.arange(len(cells), dtype=np.int64)
    expected = np.lexsort((number, value, group))
    assert grouped(group, value, number).tolist() == expected.tolist()
    assert grouped(group, value, -number).tolist() == np.lexsort((-number, value, group)).tolist()
