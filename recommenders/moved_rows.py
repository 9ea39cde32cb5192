"""Past rows of regrets, moved by what a learned ranking predicts for a new dataset.

    row_d = clip(R_d + b (p - p_d), 0, 1)

with R_d the regrets of past dataset d, p what a model predicts for the new one, and p_d what a
model that has not seen d and its near-duplicates predicts for it, so that R_d - p_d is an honest
error. Ranks become regrets by the past datasets' mean sorted regrets. b lies halfway between
`EXPECTED` and the share of the difference that proved true on past datasets left out in turn
(least squares over configs that look promising, between 0 and 1).

Notation: D datasets, P configs of the pool, F meta-features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray
from recommenders.own_pools import own_pool
from recommenders.portfolio import covering
from recommenders.replay import best_so_far, regrets, seen_of
from recommenders.scores import Past, Table
from recommenders.sessions import Case

HEAVIEST = 48
"""Datasets whose rows are moved: the lighter ones hardly count, and predicting theirs costs."""

FEWEST_HOPEFUL = 2
EXPECTED = 0.5
"""What share is expected before any is seen; counts as much as all that is seen."""

HOPEFUL = 0.2
"""Share of the configs that are looked at as candidates for the best."""

FIRST = 10
"""Configs of a list by which rankings are compared."""


class RankingModel(Protocol):
    """A learned performance model over (encoded config, meta-features)."""

    def scores(self, points: FloatArray, described: FloatArray) -> FloatArray:
        """Return scores `(D, P)`, the higher the better, of configs `(P, d)` on datasets."""
        ...


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A past dataset asked about as if it were new.

    Args:
        row: its number in the past.
        weights: `(D,)` what the others count for it.
        table: past regrets of configs that ran on it.
        score: `(P,)` what they scored there, NaN where they did not run or failed.
    """

    row: int
    weights: FloatArray
    table: Table
    score: FloatArray


def left_out(past: Past, rows: IntArray, weights: FloatArray) -> list[LeftOut]:
    """Return the datasets `(T,)` that others, `(T, D)`, speak for."""
    pairs = zip(rows.tolist(), weights, strict=True)
    return [LeftOut(row, mine, *own_pool(past, row)) for row, mine in pairs if mine.sum() > 0]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Models of a past: of all datasets, and of those outside of each fold.

    Args:
        past: the past that they are learned from.
        described: `(D, F)` what the models know of each dataset.
        fold: `(D,)` the fold of each dataset.
        folds: the model of each fold, learned without it.
        whole: the model of all datasets.
        share: b, how much of a predicted difference proved true.
    """

    past: Past
    described: FloatArray
    fold: IntArray
    folds: tuple[RankingModel, ...]
    whole: RankingModel
    share: float = 0.0

    def moved(self, table: Table, weights: FloatArray, asked: FloatArray) -> Table:
        """Return a table whose rows are moved by what is predicted for an asked dataset `(F,)`."""
        points = self.past.surrogates.points(table.keys)
        return self._moved(table, *self._difference(table, weights, self.whole, asked, points))

    def _moved(self, table: Table, rows: IntArray, difference: FloatArray) -> Table:
        regret = table.regret.copy()
        regret[rows] = np.clip(regret[rows] + self.share * difference, 0, 1)
        return replace(table, own=regret, known=np.ones_like(table.known), hidden=None)

    def _difference(
        self,
        table: Table,
        weights: FloatArray,
        model: RankingModel,
        asked: FloatArray,
        points: FloatArray,
    ) -> tuple[IntArray, FloatArray]:
        """Return the heaviest datasets, and what is predicted beyond what is for each of them."""
        rows = np.argsort(-weights, kind="stable")[:HEAVIEST]
        rows = rows[weights[rows] > 0]
        curve = (weights @ np.sort(table.regret, axis=1)) / weights.sum()
        own = np.empty((len(rows), len(points)))
        for fold, other in enumerate(self.folds):
            mine = self.fold[rows] == fold
            if mine.any():
                own[mine] = other.scores(points, self.described[rows[mine]])
        scores = model.scores(points, asked[None])
        return rows, regrets_of(scores, curve) - regrets_of(own, curve)

    def learned(self, cases: Sequence[LeftOut]) -> tuple[Ranking, FloatArray]:
        """Return the ranking with the share learned, and its regrets `(T,)` on what was left out.

        They are means over lists of `FIRST` configs that cover the moved rows.
        """
        differences = [self._difference_left_out(one) for one in cases]
        ranking = replace(self, share=_share(cases, differences))
        pairs = zip(cases, differences, strict=True)
        return ranking, np.array([ranking._first(one, *moved) for one, moved in pairs])

    def _difference_left_out(self, one: LeftOut) -> tuple[IntArray, FloatArray]:
        model, asked = self.folds[self.fold[one.row]], self.described[one.row]
        points = self.past.surrogates.points(one.table.keys)
        return self._difference(one.table, one.weights, model, asked, points)

    def _first(self, one: LeftOut, rows: IntArray, difference: FloatArray) -> float:
        """Return the mean regret of the first configs on a dataset left out."""
        closed = np.isnan(one.score)
        if closed.all():
            return 0.0
        table, past = self._moved(one.table, rows, difference), self.past
        seen = seen_of([], one.score, closed)
        name = past.datasets[one.row]
        case = Case(name, table, past.spread, one.weights, seen, past.best)
        return float(best_so_far(regrets(one.score), covering(case, FIRST), FIRST).mean())


def _share(cases: Sequence[LeftOut], differences: Sequence[tuple[IntArray, FloatArray]]) -> float:
    """Return b by least squares, mixed with what is expected; 0 where nothing is predicted."""
    above = below = 0.0
    for one, (rows, difference) in zip(cases, differences, strict=True):
        before, moved = one.weights @ one.table.regret, one.weights[rows] @ difference
        hopeful = np.isfinite(one.score) & _lowest(before, before + moved)
        if hopeful.sum() < FEWEST_HOPEFUL:
            continue
        left = (one.table.regret[one.row] - before)[hopeful]
        moved = moved[hopeful]
        above += float((moved - moved.mean()) @ left) / len(left)
        below += float(moved.var())
    return 0.5 * (float(np.clip(above / below, 0, 1)) + EXPECTED) if below > 0 else 0.0


def _lowest(*rows: FloatArray) -> NDArray[np.bool_]:
    """Return which configs are among the lowest `HOPEFUL` of any of the rows `(P,)`."""
    found = np.stack([row <= np.quantile(row, HOPEFUL) for row in rows])
    return np.asarray(found.any(axis=0), dtype=np.bool_)


def regrets_of(scores: FloatArray, curve: FloatArray) -> FloatArray:
    """Return the regrets `(D, P)` that ranks by scores `(D, P)` stand for on a sorted `curve`."""
    order = np.argsort(-scores, axis=1, kind="stable")
    found = np.empty_like(scores)
    np.put_along_axis(found, order, np.broadcast_to(curve, scores.shape), axis=1)
    return found
