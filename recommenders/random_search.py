"""Configs in random order: what every other recommender has to beat."""

from __future__ import annotations

import zlib
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metastore.view import IntArray
from recommenders.sessions import Case, Choice
from recommenders.table_recommender import TableRecommender


class RandomSearch(TableRecommender):
    """Recommends configs of the pool in an order that depends on seed and task alone.

    Each config draws a number from its own content, so that what else is in the pool, or was
    observed, does not change which of two configs comes first.
    """

    name: ClassVar[str] = "random"
    heeds_failures: ClassVar[bool] = False

    def choose(self, case: Case, n: int) -> Choice:
        """Return the first `n` configs of the order that are not taken."""
        left = np.flatnonzero(~case.seen.taken)
        salt = zlib.crc32(case.task.encode(), self.seed & 0xFFFFFFFF)
        drawn = _mixed(case.table.hashes[left], salt, self.seed)
        return Choice(left[np.argsort(drawn, kind="stable")[:n]], case.weights)


def _mixed(hashes: IntArray, salt: int, seed: int) -> NDArray[np.uint64]:
    """Return a 64-bit number for each hash (the finalizer of SplitMix64, Steele et al., 2014)."""
    z = hashes.astype(np.uint64) ^ np.uint64((salt << 32 | seed & 0xFFFFFFFF) & (2**64 - 1))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed
