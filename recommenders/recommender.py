"""The protocol every recommender keeps, and what a recommendation is.

A recommender fits on one immutable view and answers for a task. With nothing observed the
answer is a warm start; with observations it is the next step. Recommenders compare scores
(larger-is-better, as in `View`); a `Recommendation` speaks in the metric's own direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

from metastore.search_space import SearchSpace
from metastore.types import Config, Observation, RunStatus
from metastore.view import FloatArray, View

Candidate = tuple[str, Config]
"""An algorithm's name and a config of it."""

Spaces = Mapping[str, SearchSpace | Mapping[str, Any]]
"""A search space, or Optuna's distributions by parameter, by algorithm."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A past dataset that speaks for a recommendation.

    Args:
        dataset: its name.
        distance: distance in scaled meta-features, 0 for identical; NaN where unknown.
        weight: share of the evidence, in [0, 1].
        runs: how many of its recorded runs are of this config or were used to predict it.
        value: the metric this config had there, in the metric's own direction, NaN where it
            was predicted from other configs.
        rank: this config's rank among the dataset's configs, 1 is the best, 0 if predicted.
        configs: how many configs the dataset has runs of.
    """

    dataset: str
    distance: float
    weight: float
    runs: int
    value: float
    rank: int
    configs: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a config is recommended.

    Args:
        method: name of the recommender that answered.
        neighbours: past datasets that speak for it, the heaviest first.
        n_datasets: datasets the recommender learned from.
        n_runs: runs the recommender learned from.
        abstained: whether the recommender could not tell this dataset from any other one and
            fell back to what is good on average.
        note: what a person should know, in one sentence; empty when there is nothing.
        thin: names of the hyperparameters around whose value little was ever tried.
        risk: how likely the run is to fail, by which observed runs did; 0 where none did.
        new: whether the config never ran on a past dataset: it is drawn, or a candidate.
        changed: what of a past config was changed to fit the given search space, and why; empty
            where nothing was.
    """

    method: str
    neighbours: tuple[Neighbour, ...] = ()
    n_datasets: int = 0
    n_runs: int = 0
    abstained: bool = False
    note: str = ""
    thin: tuple[str, ...] = ()
    risk: float = 0.0
    new: bool = False
    changed: str = ""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A config to run next, what to expect of it, and why.

    Args:
        algorithm: name of the algorithm.
        config: its hyperparameters.
        value: expected metric, in the metric's own direction; NaN where nothing is known.
        interval: 80% interval of the metric, `(low, high)`; NaN where nothing is known.
        seconds: expected duration of the run; NaN where nothing is known.
        evidence: which past runs speak for it.
    """

    algorithm: str
    config: Config = field(hash=False)
    value: float
    interval: tuple[float, float]
    seconds: float
    evidence: Evidence

    def believed(self) -> Observation:
        """Return the run as if it came out as expected, while it is not known yet.

        A batch is put together by it (Kriging believer: Ginsbourger, Le Riche and Carraro, 2010).
        """
        value = self.value if math.isfinite(self.value) else None
        return Observation(self.algorithm, self.config, value, RunStatus.RUNNING)

    def to_estimator(self) -> Any:
        """Return an unfitted scikit-learn estimator of this algorithm and config.

        Raises:
            InvalidInputError: if the algorithm is not a scikit-learn class or a config name is
                not a parameter of it.
        """
        from recommenders.estimators import to_estimator  # noqa: PLC0415 - needs scikit-learn

        return to_estimator(self.algorithm, self.config)


@dataclass(frozen=True, eq=False)
class AskedTask:
    """The task a recommender is asked about, resolved.

    Args:
        name: the dataset's name, or a name made from its fingerprint.
        meta_features: `(P,)` aligned with `view.meta.names`; None where there are none.
    """

    name: str
    meta_features: FloatArray | None = None


@runtime_checkable
class Recommender(Protocol):
    """Learns from a view of past runs and recommends configs for a task.

    `fit` returns self and keeps no connection. `recommend` is pure: the same arguments and
    seed give the same answer, whatever was asked before.
    """

    name: str

    def fit(self, view: View, search_space: Spaces | None = None) -> Self:
        """Learn from `view`; `search_space` gives, by algorithm, where new configs may lie."""
        ...

    def recommend(
        self,
        task: Any,
        observed: Sequence[Observation] | None = (),
        n: int = 1,
        candidates: Sequence[Candidate] | None = None,
    ) -> list[Recommendation]:
        """Return at most `n` distinct configs to run next, the most urgent first.

        Args:
            task: a dataset's name in the view's store, an `(X, y)` pair, a DataFrame with a
                `target` attribute or a `(DataFrame, target)` pair, or an `AskedTask`.
            observed: what was already run on this task, values in the metric's own direction.
            n: how many to return; fewer come back only when the pool has no more.
            candidates: the pool to choose from; None for the search space, given or shown by
                the view's configs. Observed configs are never returned again.
        """
        ...
