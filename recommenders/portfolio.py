"""A portfolio: configs that together leave no past dataset badly served.

Greedy coverage of past datasets' regrets (Wistuba, Schilling and Schmidt-Thieme, 2015, use the
same greedy choice for initial configurations; auto-sklearn 2, Feurer et al., 2022, builds its
portfolio by it). What was observed counts as tried: the next config is the one that helps most
where the observed ones fell short on past datasets.
"""

from __future__ import annotations

from typing import ClassVar

from metastore.view import IntArray
from recommenders.coverage import cover
from recommenders.sessions import Case, Choice
from recommenders.table_recommender import TableRecommender


class Portfolio(TableRecommender):
    """Recommends configs that cover all past datasets alike; looks at no meta-features."""

    name: ClassVar[str] = "portfolio"

    def choose(self, case: Case, n: int) -> Choice:
        """Return the next `n` configs of the cover."""
        return Choice(covering(case, n), case.weights)


def covering(case: Case, n: int) -> IntArray:
    """Return the next `n` configs that cover what the observed ones left uncovered."""
    seen = case.seen
    regret = case.table.regret
    reached = regret[:, seen.columns].min(axis=1) if len(seen.columns) else None
    return cover(regret, case.weights, n, case.open, reached)
