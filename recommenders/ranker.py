"""Configs that a learned ranking puts first, and that cover where the ranking was wrong before.

A performance model over meta-features and configs, trained by listwise ranking across past
datasets (`recommenders.rank_model` has the citation), predicts a row of regrets for the new
dataset: ranks become regrets by the past datasets' mean sorted regrets. A prediction is one row,
and covering one row is a list of its best. So the rows that the new dataset may plausibly have
are the past datasets' own, moved by how its prediction differs from theirs,

    row_d = clip(R_d + b (p - p_d), 0, 1)

with weights w_d from the meta-features (`recommenders.nearest`); p_d is predicted by a model that
has not seen d and its near-duplicates, so that R_d - p_d is an honest error, and w_d says how
likely such an error is here. The first config has the lowest weighted mean of these rows: the
best guess. The following ones cover them (`recommenders.coverage`). At b = 0 this is `nearest`,
where past datasets' errors are nought it is the ranking. b lies halfway
between `EXPECTED` and the share of the difference that proved true on past datasets left out in
turn (least squares over configs that look promising, between 0 and 1).

Once scores of the task itself are observed this is `nearest`, where past rows that disagree with
them lose weight: moved rows served no better there.

What it is worth (`benchmarks.recommend.zero_shot`; lists of ten given before anything ran, against
`nearest`, in standard errors of the paired difference): at 10 ahead on openml_pimp's random
forests (4.6 and 5.5, 2.1 errors) and support vector machines (2.7 and 3.3, 2.0 errors); at 1, 3
and 5 on those, and throughout on the two tables with few or shared configs, within 1.1 errors of
it either way. `learned_similarity`: ahead at 1 on the two (14.3 and 15.6, 8.5 and 8.9, 1.5 and 0.9
errors), on one half of auto-sklearn's table at 10 (2.1 errors) and behind on the other (0.9);
elsewhere within 1.6 errors either way. Neither wins clearly, so each is asked only where it is
named. Told each score, `ranker` is within 1.5 errors of `nearest` on the other tables, and behind
on auto-sklearn's by 2.0 at 3 and 1.7 at 5: a first config that is no better costs a little later.

Without meta-features, or out of support, what past scores of the configs alone say is left: the
portfolio, as in `nearest`.

Notation: D datasets, P configs of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray
from recommenders.cells import spread_over
from recommenders.nearest import Nearest
from recommenders.own_pools import left_out_rows, own_pool
from recommenders.portfolio import covering
from recommenders.rank_model import Lists, RankModel, required
from recommenders.recommender import AskedTask
from recommenders.scores import Past, Table
from recommenders.sessions import Case, Choice, Session, Strategy, TableSession

FOLDS = 4
FEWEST_GROUPS = 6
CONFIGS = 128
ASKED = 24
HEAVIEST = 48
"""Datasets whose rows are moved: the lighter ones hardly count, and predicting theirs costs."""

FEWEST_HOPEFUL = 2
EXPECTED = 0.5
"""What share is expected before any is seen; counts as much as all that is seen."""

HOPEFUL = 0.2
"""Share of the configs that are looked at as candidates for the best."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Models of a past: of all datasets, and of those outside each of `FOLDS` folds.

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
    folds: tuple[RankModel, ...]
    whole: RankModel
    share: float = 0.0

    def moved(self, table: Table, weights: FloatArray, asked: FloatArray) -> Table:
        """Return a table whose rows are moved by what is predicted for an asked dataset `(F,)`."""
        points = self.past.surrogates.points(table.keys)
        scores = self.whole.scores(points, asked[None])
        rows, difference = self._difference(table, weights, scores, points)
        regret = table.regret.copy()
        regret[rows] = np.clip(regret[rows] + self.share * difference, 0, 1)
        return replace(table, own=regret, known=np.ones_like(table.known), hidden=None)

    def _difference(
        self, table: Table, weights: FloatArray, scores: FloatArray, points: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Return the heaviest datasets, and what is predicted beyond what is for each of them."""
        rows = np.argsort(-weights, kind="stable")[:HEAVIEST]
        rows = rows[weights[rows] > 0]
        curve = (weights @ np.sort(table.regret, axis=1)) / weights.sum()
        own = np.empty((len(rows), len(points)))
        for fold, model in enumerate(self.folds):
            mine = self.fold[rows] == fold
            if mine.any():
                own[mine] = model.scores(points, self.described[rows[mine]])
        return rows, regrets_of(scores, curve) - regrets_of(own, curve)

    def learned(self, rows: IntArray, weights: FloatArray) -> Ranking:
        """Return the ranking with the share learned from datasets left out: `(T,)`, `(T, D)`."""
        above = below = 0.0
        for row, mine in zip(rows.tolist(), weights, strict=True):
            if mine.sum() <= 0:
                continue
            table, score = own_pool(self.past, row)
            points = self.past.surrogates.points(table.keys)
            scores = self.folds[self.fold[row]].scores(points, self.described[[row]])
            heavy, difference = self._difference(table, mine, scores, points)
            moved, before = mine[heavy] @ difference, mine @ table.regret
            hopeful = np.isfinite(score) & _lowest(before, before + moved)
            if hopeful.sum() < FEWEST_HOPEFUL:
                continue
            left = (table.regret[row] - before)[hopeful]
            moved = moved[hopeful]
            above += float((moved - moved.mean()) @ left) / len(left)
            below += float(moved.var())
        share = 0.5 * (float(np.clip(above / below, 0, 1)) + EXPECTED) if below > 0 else 0.0
        return replace(self, share=share)


def _lowest(*rows: FloatArray) -> NDArray[np.bool_]:
    """Return which configs are among the lowest `HOPEFUL` of any of the rows `(P,)`."""
    found = np.stack([row <= np.quantile(row, HOPEFUL) for row in rows])
    return np.asarray(found.any(axis=0), dtype=np.bool_)


def regrets_of(scores: FloatArray, curve: FloatArray) -> FloatArray:
    """Return the regrets `(D, P)` that ranks by scores `(D, P)` stand for on a sorted `curve`."""
    order = np.argsort(-scores, axis=1, kind="stable")
    regrets = np.empty_like(scores)
    np.put_along_axis(regrets, order, np.broadcast_to(curve, scores.shape), axis=1)
    return regrets


class Ranker(Nearest):
    """Moves past datasets' scores by what a learned ranking says of the new one.

    After `fit`, `share` is b, how far predicted differences are followed; 0 without a ranking.
    """

    name: ClassVar[str] = "ranker"

    def prepare(self) -> None:
        """Learn the ranking.

        Raises:
            MissingDependencyError: if LightGBM is not installed.
        """
        required()
        super().prepare()
        self._ranking = self._learned()
        self.share = self._ranking.share if self._ranking else 0.0

    def _learned(self) -> Ranking | None:
        """Return the ranking, None where there are too few datasets or nothing describes them."""
        past, count = self.past, len(np.unique(self.past.groups))
        if count < FEWEST_GROUPS or not np.isfinite(self._z).any():
            return None
        fold = np.unique(past.groups, return_inverse=True)[1] % FOLDS
        lists = lists_of(past, self._z)
        folds = tuple(lists.model(np.flatnonzero(fold != f), self.seed) for f in range(FOLDS))
        whole = lists.model(np.arange(len(fold)), self.seed)
        rows = left_out_rows(past, ASKED)
        ranking = Ranking(past, self._z, fold, folds, whole)
        return ranking.learned(rows, self.believe_left_out(rows))

    def session(self, task: AskedTask, table: Table) -> Session:
        """Open a session over past scores moved by the ranking."""
        belief, given = self.believe(task), task.meta_features
        # Out of support the ranking would be a guess, and equal weights know nothing of its errors.
        ranking = None if belief.abstained or not len(table.keys) else self._ranking
        if ranking is None or given is None:
            strategy: Strategy = self.choose
        else:
            strategy = self._led(ranking.moved(table, belief.weights, self._scaled(given)))
        return TableSession(self.name, task, self.past, table, belief, strategy, self.calibration)

    def _led(self, moved: Table) -> Strategy:
        """Return the strategy that looks at moved rows until scores of the task say more."""

        def choose(case: Case, n: int) -> Choice:
            told = len(case.seen.columns) > 0
            return self.choose(case if told else replace(case, table=moved), n)

        return choose

    def rehearse(self, case: Case, n: int) -> Choice:
        """Return configs that cover past datasets."""
        return Choice(covering(case, n), case.weights)


def lists_of(past: Past, described: FloatArray) -> Lists:
    """Return the runs of each dataset, at most `CONFIGS` spread over their regrets."""
    points, regrets = [], []
    for row in range(len(past.datasets)):
        cells, regret = past.own(row)
        keys = past.keys_of(past.view.cell_config[cells])
        order = np.array(sorted(range(len(keys)), key=lambda i: (regret[i], keys[i])))
        some = spread_over(order, CONFIGS)
        points.append(past.surrogates.points(tuple(keys[i] for i in some.tolist())))
        regrets.append(regret[some])
    return Lists(points, regrets, described)
