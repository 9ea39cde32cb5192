"""Configs by their mean regret over past datasets: the best single config comes first."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from recommenders.sessions import Case, Choice
from recommenders.table_recommender import TableRecommender


class BestOnAverage(TableRecommender):
    """Recommends the configs that did best on average, whatever the dataset.

    Configs that are good for the same reason follow each other, which is what a portfolio
    avoids.
    """

    name: ClassVar[str] = "best_on_average"

    def choose(self, case: Case, n: int) -> Choice:
        """Return the `n` configs of the lowest mean regret that are not taken."""
        left = np.flatnonzero(~case.seen.taken)
        mean = case.weights @ case.table.regret[:, left]
        if case.chance is not None:  # one that fails is as good as the worst
            mean = 1 - case.hoped(1 - mean, left)
        return Choice(left[np.argsort(mean, kind="stable")[:n]], case.weights)
