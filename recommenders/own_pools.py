"""The configs that ran on a past dataset, as a pool to ask about when it is left out."""

from __future__ import annotations

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.scores import Past, Table

CELLS = 32_000
SMALLEST = 64
LARGEST = 256


def own_pool(past: Past, row: int) -> tuple[Table, FloatArray]:
    """Return a table of configs that ran on a dataset, and their `(P,)` scores there.

    The default pool where it is small and the dataset ran most of it: configs that did not run
    there, or failed, have score NaN. Else up to 64 to 256 of the dataset's own configs, the
    fewer the more datasets there are, spread from its best to its worst.
    """
    most = int(np.clip(CELLS // len(past.datasets), SMALLEST, LARGEST))
    table = past.default_pool
    if len(table.keys) > most or table.known[row].mean() < 0.5:
        cells, _ = past.own(row)
        keys = sorted(past.keys_of(past.view.cell_config[spread_over(cells, most)]))
        columns = [table.number.get(key, -1) for key in keys]
        inside = min(columns) >= 0
        table = table.take(np.array(columns)) if inside else past.table(tuple(keys))
    score = past.best[row] - table.regret[row] * past.spread[row]
    return table, np.where(table.repeats[row] > 0, score, np.nan)


def spread_over(items: IntArray, most: int) -> IntArray:
    """Return at most `most` of the items, evenly spaced, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(np.int64)
    return items[places] if len(items) else items
