"""The base of recommenders that weigh past datasets and choose from a table of their scores."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.calibrating import calibrate
from recommenders.forecast import Calibration
from recommenders.pool_recommender import PoolRecommender
from recommenders.recommender import AskedTask
from recommenders.scores import Past, Table
from recommenders.sessions import Belief, Case, Choice, Session, TableSession


class TableRecommender(PoolRecommender):
    """Weighs past datasets (`believe`), then chooses from their scores (`choose`).

    `adaptive` says whether observed scores, beyond which configs they are of, change what comes
    next; `heeds_failures` whether failed runs do.
    """

    adaptive: ClassVar[bool] = False
    heeds_failures: ClassVar[bool] = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._calibration: Calibration | None = None

    def fit_past(self, past: Past) -> Self:
        """Learn from a prepared past, which several recommenders can share."""
        self._calibration = None
        return super().fit_past(past)

    def believe(self, task: AskedTask) -> Belief:
        """Return what each past dataset counts for a task; equal weights by default."""
        return Belief.equal(len(self.past.datasets))

    def believe_left_out(self, rows: IntArray) -> FloatArray:
        """Return `(len(rows), D)`: what the others count for some past datasets.

        Each is left out with its near-duplicates, which count 0; all do where none is left.
        """
        groups = self.past.groups
        weights = (groups[rows, None] != groups[None]).astype(np.float64)
        shares: FloatArray = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
        return shares

    @abstractmethod
    def choose(self, case: Case, n: int) -> Choice:
        """Return at most `n` configs of a case that are not taken, the most urgent first."""

    def rehearse(self, case: Case, n: int) -> Choice:
        """Return the configs that intervals are calibrated on: those that would be chosen.

        For one whose own choice is dear to leave dataset after dataset out for to override.
        """
        return self.choose(case, n)

    def calibration(self) -> Calibration:
        """Return how wide intervals have to be; learned when first asked for."""
        if self._calibration is None:
            self._calibration = calibrate(self.past, self.believe_left_out, self.rehearse)
        return self._calibration

    def session(self, task: AskedTask, table: Table) -> Session:
        """Open a session for a resolved task over a pool."""
        belief = self.believe(task)
        return TableSession(
            self.name,
            task,
            self.past,
            table,
            belief,
            self.choose,
            self.calibration,
            self.heeds_failures,
        )
