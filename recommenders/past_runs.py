"""The runs of one past dataset in an order that does not depend on when they were recorded."""

from __future__ import annotations

import numpy as np

from metastore.view import FloatArray
from recommenders.cells import spread_over
from recommenders.encoding import Key
from recommenders.scores import Past


def runs_of(past: Past, row: int, most: int) -> tuple[list[Key], FloatArray]:
    """Return keys and regrets `(n,)` of a dataset's runs, the best first.

    At most `most`, evenly spread from its best to its worst.
    """
    cells, regrets = past.own(row)
    keys = past.keys_of(past.view.cell_config[cells])
    order = sorted(range(len(keys)), key=lambda i: (regrets[i], keys[i]))
    chosen = spread_over(np.array(order, dtype=np.int64), most)
    return [keys[i] for i in chosen.tolist()], regrets[chosen]
