"""What to try next in a study: its trials and the store's past, put to a recommender."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metastore.errors import InvalidInputError
from metastore.types import Observation, RunStatus, canonical_json
from metastore.view import View
from recommenders.advisor import Advisor
from recommenders.recommender import Candidate, Recommendation
from recommenders.study_pool import AROUND, StudyPool
from recommenders.study_space import Offer
from recommenders.study_trials import Told, best_params, tell

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class StudyAdvice:
    """Answers for a study from one view of past runs.

    Args:
        advisor: the past, and who is asked.
        algorithm_param: the study's parameter that says which algorithm; empty for one algorithm.
        per_second: whether configs are worth what they are expected to gain a second.

    `latest` is the pool that was asked about last.

    Raises:
        InvalidInputError: if the past has several algorithms and no parameter chooses among them.
    """

    def __init__(
        self, advisor: Advisor, algorithm_param: str = "", per_second: bool = False
    ) -> None:
        known = advisor.algorithms
        if len(known) > 1 and not algorithm_param:
            raise InvalidInputError(
                f"the store has runs of {len(known)} algorithms ({', '.join(known[:5])}); say "
                "which the objective trains with algorithm=..., or name the study's parameter "
                "that chooses among them with algorithm_param=..."
            )
        self.advisor = advisor
        self._algorithm_param = algorithm_param
        self.per_second = per_second
        self.latest: StudyPool | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "latest": None}

    @property
    def view(self) -> View | None:
        """Past runs; None while the store has none at all."""
        return self.advisor.view

    def pool(self, used: Mapping[str, BaseDistribution]) -> StudyPool:
        """Return the pool of these distributions, the last one where they are the same."""
        if self.latest is None or self.latest.used != used:
            past = self.advisor.past()
            self.latest = StudyPool(past, used, self._algorithm_param, self.advisor.seed)
        return self.latest

    def ranked(
        self, pool: StudyPool, others: Sequence[FrozenTrial], n: int
    ) -> list[Recommendation]:
        """Return at most `n` configs that no other trial has tried or claimed, the best first.

        Args:
            pool: what may be tried; past configs as they are where it is open.
            others: all trials but the one that is being sampled.
            n: how many.
        """
        higher = self.advisor.view is None or self.advisor.view.higher_is_better
        told = tell(others, pool.space, higher)
        if pool.open:
            return self._asked(self._observed(told, ()), n, None)
        pool.surround(best_params(others, AROUND, higher))
        return self._asked(self._observed(told, pool.offers.values()), n, pool.candidates())

    def _asked(
        self, observed: list[Observation], n: int, pool: list[Candidate] | None
    ) -> list[Recommendation]:
        if not self.per_second:
            return self.advisor.recommend(observed, n, pool)
        first = self.advisor.recommend_within(observed, 1, math.inf, pool)
        if n == 1 or not first:
            return first
        believed = [*observed, first[0].believed()]
        return [*first, *self.advisor.recommend(believed, n - 1, pool)]

    def takes(
        self, offer: Offer, pool: StudyPool, others: Sequence[FrozenTrial], most_risk: float
    ) -> bool:
        """Return whether an offer is new, no trial having tried one alike, and not too risky.

        Args:
            offer: what somebody else suggests.
            pool: what may be tried.
            others: all trials but the one that is being sampled.
            most_risk: how likely to fail it may be, by which trials did.
        """
        higher = self.advisor.view is None or self.advisor.view.higher_is_better
        told = tell(others, pool.space, higher)
        if offer.text in told.tried or offer.key in told.keys:
            return False
        if not any(one.failed for one in (*self.advisor.own, *told.observed)):
            return True
        asked = [(offer.algorithm, offer.config)]
        found = self.advisor.recommend(self._observed(told, ()), 1, asked)
        return not found or found[0].evidence.risk <= most_risk

    def _observed(self, told: Told, offers: Iterable[Offer]) -> list[Observation]:
        """Return what was observed, and what need not be tried because it amounts to the same."""
        own = [
            o for o in self.advisor.own if (o.algorithm, canonical_json(o.config)) not in told.keys
        ]
        same = [
            Observation(o.algorithm, o.config, None, RunStatus.RUNNING)
            for o in offers
            if o.text in told.tried and o.key not in told.keys
        ]
        return [*own, *told.observed, *same]
