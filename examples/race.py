"""One dataset asked about as if it were new: recommended configs against random ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastore.types import Observation
from recommenders import Recommendation

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Race:
    """What came out, best accuracy so far after each of k runs.

    Args:
        recommended: `(k,)` by the recommender.
        random: `(r, k)` by r independent random searches.
        advice: the k recommendations.
        accuracies: `(k,)` what each recommendation gave.
    """

    recommended: FloatArray
    random: FloatArray
    advice: tuple[Recommendation, ...]
    accuracies: FloatArray

    @property
    def beaten(self) -> FloatArray:
        """`(k,)` how many random searches are behind, a tie counting half."""
        behind = (self.random < self.recommended).sum(axis=0)
        level = (self.random == self.recommended).sum(axis=0)
        beaten: FloatArray = behind + level / 2
        return beaten

    @property
    def random_error(self) -> FloatArray:
        """`(k,)` standard error of the mean of the random searches."""
        error: FloatArray = self.random.std(axis=0, ddof=1) / np.sqrt(len(self.random))
        return error

    def runs_to_match(self) -> int | None:
        """How many random runs it takes on average to be as good as the first recommendation."""
        there = np.flatnonzero(self.random.mean(axis=0) >= self.recommended[0])
        return int(there[0]) + 1 if len(there) else None


def follow(
    recommend: Callable[..., list[Recommendation]],
    task: str,
    n: int,
    train: Callable[[Recommendation], float],
) -> tuple[list[Recommendation], list[float]]:
    """Ask, train, report the result, ask again: `n` times."""
    advice: list[Recommendation] = []
    results: list[float] = []
    observed: list[Observation] = []
    for _ in range(n):
        (next_one,) = recommend(task, observed=observed, n=1)
        value = train(next_one)
        observed.append(Observation(next_one.algorithm, next_one.config, value))
        advice.append(next_one)
        results.append(value)
    return advice, results


def compared(
    advice: Sequence[Recommendation], results: Sequence[float], random: Sequence[Sequence[float]]
) -> Race:
    """Return the race between recommended and random configs."""
    return Race(
        np.maximum.accumulate(np.array(results, dtype=np.float64)),
        np.maximum.accumulate(np.array(random, dtype=np.float64), axis=1),
        tuple(advice),
        np.array(results, dtype=np.float64),
    )
