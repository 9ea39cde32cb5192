"""Past datasets' runs as episodes: the runs of one dataset, in halves.

Apart from the recommenders that learn from them, for it needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from learners.episode import Episodes, examples, pad

Runs = tuple[Tensor, Tensor]
"""Points `(n, d)` and scores `(n,)`."""


def episodes_of(
    tables: Sequence[Runs],
    batch: tuple[int, int],
    n_episodes: int,
    most: int,
    drawn: Callable[[Runs, torch.Generator], Runs],
) -> Episodes:
    """Return episodes of one dataset each; a marginal likelihood takes both halves together.

    Args:
        tables: the runs of each past dataset.
        batch: seed of the stream, and the batch's number in it.
        n_episodes: how many.
        most: runs that `drawn` returns at most.
        drawn: draws some runs of a dataset, their scores on what scale it likes.
    """
    seed, index = batch
    generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
    support, query = [], []
    for _ in range(n_episodes):
        table = tables[int(torch.randint(len(tables), (), generator=generator))]
        x, y = drawn(table, generator)
        half = (len(x) + 1) // 2
        support.append(examples(x[:half], y[:half]))
        query.append(examples(x[half:], y[half:]))
    return Episodes(pad(support, (most + 1) // 2), pad(query, most // 2), 0)
