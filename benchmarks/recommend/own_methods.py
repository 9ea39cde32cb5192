"""Who takes part where every dataset has its own configs: peers, and recommenders by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import recommenders
from benchmarks.recommend.ledger import code_version
from benchmarks.recommend.optuna_peers import PEERS
from benchmarks.recommend.own_tables import Fold, Task
from benchmarks.recommend.syne_tune_peers import SYNE_PEERS
from recommenders.pool_recommender import PoolRecommender
from recommenders.replay import replay
from recommenders.tasks import resolve

OURS = ("auto", "deep_mixture", "empirical_bayes", "maml", "nearest", "rgpe", "copula")
SEEDED = frozenset({"deep_mixture", "maml", "rgpe", "copula"})
"""Recommenders whose answers depend on the seed; the others would only repeat themselves."""


SLOW = ("rgpe", "optuna GP", "optunahub meta-learn TPE")


class Method(Protocol):
    """One way to choose 50 configs of a pool, one after the other.

    `transfer` says whether it learns from past datasets, `seeded` whether its seed matters, and
    `version` changes when results measured before no longer count.
    """

    @property
    def name(self) -> str: ...
    @property
    def transfer(self) -> bool: ...
    @property
    def seeded(self) -> bool: ...
    @property
    def version(self) -> str: ...

    def fit(self, fold: Fold, seed: int) -> None:
        """Learn from the past of a fold."""

    def run(self, task: Task, seed: int, budget: int) -> list[int]:
        """Return the configs tried, in order."""
        ...


@dataclass
class Recommended:
    """A recommender of this project, asked step by step."""

    name: str
    transfer: bool = True
    _fitted: PoolRecommender | None = None

    @property
    def seeded(self) -> bool:
        return self.name in SEEDED

    @cached_property
    def version(self) -> str:
        # Once: what runs is the code that was there when this began.
        return code_version(type(recommenders.make(self.name)).__module__)

    def fit(self, fold: Fold, seed: int) -> None:
        self._fitted = recommenders.make(self.name, seed=seed).fit_past(fold.past)

    def run(self, task: Task, seed: int, budget: int) -> list[int]:
        if self._fitted is None:
            raise ValueError(f"{self.name}: call fit before run")
        past = self._fitted.past
        session = self._fitted.session(resolve(task.name, past.view), past.table(task.answers.keys))
        columns: list[int] = replay(session, task.answers, budget).columns.tolist()
        return columns


def methods() -> dict[str, Method]:
    """Return all that take part, by name, the quick ones first.

    Recommenders that are not registered are left out.
    """
    ours = [Recommended(name) for name in OURS if name in recommenders.names()]
    known = {method.name: method for method in (*PEERS, *ours, *SYNE_PEERS)}
    return {name: known[name] for name in (*sorted(known.keys() - set(SLOW)), *SLOW)}
