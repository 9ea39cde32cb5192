"""One dataset that is asked about again and again while it is being tuned.

A study or a search asks before every trial. What the past says is read and learned once; what
was observed comes with each question. The advisor holds no connection, and can be sent to
another process: there it learns again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metastore.errors import InvalidInputError, UnknownNameError
from metastore.store import MetaStore
from metastore.types import Observation
from metastore.view import View
from recommenders.asking import left_out, own_runs
from recommenders.encoding import Key
from recommenders.pool_recommender import PoolRecommender
from recommenders.recommender import Candidate, Recommendation
from recommenders.registry import keeping, make


@dataclass(frozen=True, slots=True)
class Topic:
    """What advice is wanted on.

    Args:
        dataset: a stored dataset's name, cells in any shape that `MetaStore.dataset` takes, a
            `DatasetRef`, or the path of a table file.
        metric: the metric to do well in.
        target: name of the target column, or the target values.
        algorithm: only configs of this algorithm; None for all that have the metric.
        recommender: one of `recommenders.names()`.
        seed: fixes whatever is left to chance.
    """

    dataset: Any
    metric: str
    target: Any = field(default=None, hash=False)
    algorithm: str | None = None
    recommender: str = "auto"
    seed: int = 0


@dataclass(eq=False)
class Advisor:
    """Answers for one dataset from one view of past runs.

    Args:
        name: the dataset's name in views.
        view: past runs, the dataset and its near-duplicates left out; None where the store has
            no runs at all yet.
        own: what the store already knew of the dataset's own runs.
        recommender: name of the recommender.
        seed: fixes whatever is left to chance.
        kept: where the recommender keeps what it learns (`registry.keeping`).
    """

    name: str
    view: View | None
    own: tuple[Observation, ...]
    recommender: str
    seed: int
    kept: Mapping[str, Path] = field(default_factory=dict)
    _fitted: PoolRecommender | None = None

    @classmethod
    def of(cls, store: MetaStore, topic: Topic) -> Advisor:
        """Read from a store what bears on a topic.

        Where the store has no runs at all there is nothing to learn from, and `view` is None.

        Raises:
            UnknownNameError: if the store has runs, but not the dataset, metric or algorithm;
                or if there is no such recommender.
            InvalidInputError: if the metric is empty.
        """
        make(topic.recommender, seed=topic.seed)
        if not topic.metric:
            raise InvalidInputError("metric: expected the name of the metric to do well in")
        if not _has_runs(store):
            return cls(str(topic.dataset), None, (), topic.recommender, topic.seed)
        everything = store.view(topic.metric, topic.algorithm)
        try:
            name = store.label(topic.dataset, topic.target)
        except UnknownNameError as error:
            raise UnknownNameError(
                f"{error}. A dataset that has no runs yet is given by its data, (X, y), or by "
                "what store.dataset(X, y, name=...) returns"
            ) from error
        view = left_out(everything, name)
        own = tuple(own_runs(everything, name))
        kept = keeping(topic.recommender, store.paths.folder)
        return cls(name, view, own, topic.recommender, topic.seed, kept)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_fitted": None}

    @property
    def fitted(self) -> PoolRecommender:
        """The recommender, fitted when it is first needed.

        Raises:
            InvalidInputError: if there is nothing to learn from.
        """
        if self.view is None:
            raise InvalidInputError("the store has no runs to learn from")
        if self._fitted is None:
            self._fitted = make(self.recommender, seed=self.seed, **self.kept).fit(self.view)
        return self._fitted

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Names of the algorithms that advice may be of."""
        if self.view is None:
            return ()
        return tuple(self.view.algorithms[i] for i in sorted(set(self.view.config_algorithms)))

    def past(self) -> tuple[Key, ...]:
        """Return the past configs worth choosing from: all, or each dataset's best of many."""
        return () if self.view is None else self.fitted.past.default_pool.keys

    def candidates(self) -> list[Candidate]:
        """Return the same configs parsed, as recommenders take them."""
        return [(algorithm, json.loads(text)) for algorithm, text in self.past()]

    def recommend(
        self,
        observed: Sequence[Observation],
        n: int = 1,
        candidates: Sequence[Candidate] | None = None,
    ) -> list[Recommendation]:
        """Return at most `n` configs to run next, as `Recommender.recommend` does."""
        return self.fitted.recommend(self.name, observed, n, candidates)

    def recommend_within(
        self,
        observed: Sequence[Observation],
        n: int,
        left: float,
        candidates: Sequence[Candidate] | None = None,
        most: int | None = None,
    ) -> list[Recommendation]:
        """Return at most `n` configs to run at once, each worth most a second of what is left.

        Args:
            observed: as in `Recommender.recommend`.
            n: how many to return.
            left: seconds that each may take; infinity for no limit.
            candidates: as in `Recommender.recommend`.
            most: how many configs will be run at most, these among them; None for any number.
        """
        found: list[Recommendation] = []
        while len(found) < n:
            believed = [*observed, *(one.believed() for one in found)]
            one = self.fitted.recommend_within(self.name, left, believed, candidates, most)
            if one is None:
                break
            found.append(one)
        return found


def _has_runs(store: MetaStore) -> bool:
    return bool(store.rows("SELECT run_id FROM runs LIMIT 1"))
