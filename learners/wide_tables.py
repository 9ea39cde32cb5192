"""Episodes from many tables at once, each with columns of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.episode import Episodes, Examples, examples, pad
from learners.errors import LearnerError

Table = tuple[Tensor, Tensor]
"""Inputs `(n, d)` and class numbers `(n,)`."""


@dataclass(frozen=True)
class WideShape:
    """What classification episodes from tables look like.

    Args:
        ways: fewest and most classes.
        shots: support rows a class, one of these a batch.
        n_query: most query rows a class.
        rows: most support rows at equal shots: with many shots, episodes have fewer classes.
        columns: most columns; an episode of a wider table has a random part of them.
        uneven: share of episodes whose classes have unequal numbers of support rows.
        thinned: share of episodes with a random part of the columns, a quarter or more.
        turned: share of episodes that predict a column of the table, cut at its quantiles, from
            the others: many more tasks than there are tables.
    """

    ways: tuple[int, int] = (2, 10)
    shots: tuple[int, ...] = (5, 10, 25)
    n_query: int = 8
    rows: int = 100
    columns: int = 24
    uneven: float = 0.25
    thinned: float = 0.3
    turned: float = 0.25

    def __post_init__(self) -> None:
        low, high = self.ways
        if not 2 <= low <= high or min(*self.shots, self.n_query, self.columns) < 1:
            raise LearnerError(
                "expected two classes or more, and at least a shot, a query and a column; got "
                f"ways={self.ways}, shots={self.shots}, n_query={self.n_query}, "
                f"columns={self.columns}"
            )


@dataclass(frozen=True, eq=False)
class WideTableSampler:
    """Classification episodes from tables of different width, padded with columns of zeros.

    Each episode takes one table, drawn uniformly, some of its classes under new numbers, some
    of its columns in a new order, and rows of them. Nothing is scaled: a learner that does not
    standardise by the support set itself is given tables on one footing.

    Args:
        tables: pairs of inputs `(n, d)` and class numbers `(n,)`.
        shape: of the episodes.
        seed: which stream of episodes.
    """

    tables: Sequence[Table] = field(repr=False)
    shape: WideShape = WideShape()
    seed: int = 0

    def __post_init__(self) -> None:
        least = self.shape.ways[0]
        for i, (_, y) in enumerate(self.tables):
            if int((y.bincount() >= 2).sum()) < least:
                raise LearnerError(
                    f"table {i} has fewer than {least} classes of two rows or more; leave it out"
                )
        if not self.tables:
            raise LearnerError("expected tables to draw episodes from, got none")

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return batch `index`; its episodes share the number of shots."""
        rng = np.random.default_rng((self.seed, index))
        shots = int(rng.choice(self.shape.shots))
        drawn = [self._episode(rng, shots) for _ in range(n_episodes)]
        widest = max(support.x.shape[1] for support, _, _ in drawn)

        supports = pad([_widened(support, widest) for support, _, _ in drawn])
        queries = pad([_widened(query, widest) for _, query, _ in drawn])
        return Episodes(supports, queries, max(way for _, _, way in drawn))

    def _episode(self, rng: np.random.Generator, shots: int) -> tuple[Examples, Examples, int]:
        x, y = self.tables[int(rng.integers(len(self.tables)))]
        if rng.random() < self.shape.turned:
            x, y = _turned(rng, x, y)
        counts = y.bincount().numpy()
        usable = np.flatnonzero(counts >= 2)
        low, high = self.shape.ways
        high = max(low, min(high, len(usable), self.shape.rows // shots))
        way = int(rng.integers(low, high + 1))
        columns = self._columns(rng, x.shape[1])
        uneven = rng.random() < self.shape.uneven
        support: list[np.ndarray] = []
        query: list[np.ndarray] = []
        for label in rng.choice(usable, way, replace=False):
            rows = rng.permutation(np.flatnonzero(y.numpy() == label))
            k = int(rng.integers(1, 2 * shots)) if uneven else shots
            k = min(k, max(1, len(rows) // 2))
            support.append(rows[:k])
            query.append(rows[k : k + self.shape.n_query])
        return _set(x, columns, support), _set(x, columns, query), way

    def _columns(self, rng: np.random.Generator, d: int) -> np.ndarray:
        n = min(d, self.shape.columns)
        if rng.random() < self.shape.thinned:
            n = int(rng.integers(max(1, n // 4), n + 1))
        return rng.choice(d, n, replace=False)


def _turned(rng: np.random.Generator, x: Tensor, y: Tensor) -> Table:
    """Return the table with a column of two values or more as target, and the old one left out."""
    column = int(rng.integers(x.shape[1]))
    values = x[:, column].numpy()
    n_classes = int(rng.integers(2, 6))
    cuts = np.unique(np.quantile(values, np.arange(1, n_classes) / n_classes))
    _, labels = np.unique(np.searchsorted(cuts, values, side="left"), return_inverse=True)
    enough = int((np.bincount(labels) >= 2).sum()) >= 2
    if x.shape[1] < 2 or not enough:
        return x, y
    rest = [i for i in range(x.shape[1]) if i != column]
    return x[:, rest], torch.from_numpy(labels)


def _set(x: Tensor, columns: np.ndarray, rows: list[np.ndarray]) -> Examples:
    labels = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
    taken = torch.from_numpy(np.concatenate(rows))
    return examples(x[taken][:, torch.from_numpy(columns)], torch.from_numpy(labels))


def _widened(one: Examples, width: int) -> Examples:
    return Examples(nnf.pad(one.x, (0, width - one.x.shape[1])), one.y, one.mask)
