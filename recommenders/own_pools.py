"""The configs that ran on a past dataset, as a pool to ask about when it is left out."""

from __future__ import annotations

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.cells import spread_over
from recommenders.scores import Past, Table

CELLS = 32_000
PREDICTED = 500_000
SMALLEST = 64
LARGEST = 256
SHARED = 0.5


def own_pool(past: Past, row: int) -> tuple[Table, FloatArray]:
    """Return a table of configs that ran on a dataset, and their `(P,)` scores there.

    The default pool where it is small and the dataset ran most of it: configs that did not run
    there, or failed, have score NaN. Else up to 64 to 256 of the dataset's own configs, the
    fewer the more datasets there are, spread from its best to its worst. The dataset and its
    near-duplicates teach the table nothing about the others.
    """
    most = int(np.clip(CELLS // len(past.datasets), SMALLEST, LARGEST))
    table = _shared(past, row, most)
    if table is None:
        cells, _ = past.own(row)
        table = past.table_at(past.view.cell_config[spread_over(cells, most)])
    table = table.hiding(past.groups == past.groups[row])
    score = past.best[row] - table.regret[row] * past.spread[row]
    return table, np.where(table.repeats[row] > 0, score, np.nan)


def _shared(past: Past, row: int, most: int) -> Table | None:
    """Return the configs of the default pool that ran on a dataset, None where few did.

    Where configs are hardly shared the default pool is not even looked at: it is dear to fill.
    """
    if past.view.density < SHARED or past.default_pool.known[row].mean() < SHARED:
        return None
    table = past.default_pool
    if len(table.keys) <= most:
        return table
    cells, _ = past.own(row)
    keys = past.keys_of(past.view.cell_config[spread_over(cells, most)])
    columns = [table.number.get(key, -1) for key in keys]
    return table.take(np.sort(columns)) if min(columns) >= 0 else None


def left_out_rows(past: Past, most: int) -> IntArray:
    """Return which datasets to leave out in turn: one a group, spread over the alphabet.

    At most `most`, and fewer, but 8, where their configs did not run elsewhere and too many
    scores would have to be predicted.
    """
    _, first = np.unique(past.groups, return_index=True)
    if past.view.density < SHARED:
        most = min(most, max(8, PREDICTED // (max(1, len(past.datasets)) * SMALLEST)))
    return spread_over(np.sort(first), most)
