"""Configs that a learned ranking puts first, and that cover where the ranking was wrong before.

A performance model over meta-features and configs, trained by listwise ranking across past
datasets, predicts a row of regrets for the new dataset: ranks become regrets by the past datasets'
mean sorted regrets. It is LightGBM's (`recommenders.rank_model` has the citation) or a small
network (`recommenders.rank_network`), whichever does better on past datasets left out
(`recommenders.rank_choice`). A prediction is one row, and covering one row is a list of its best.
So the rows that the new dataset may plausibly have are the past datasets' own, moved by how its
prediction differs from theirs,

    row_d = clip(R_d + b (p - p_d), 0, 1)

with weights w_d from the meta-features (`recommenders.nearest`); p_d is predicted by a model that
has not seen d and its near-duplicates, so that R_d - p_d is an honest error, and w_d says how
likely such an error is here. The first config has the lowest weighted mean of these rows: the
best guess. The following ones cover them (`recommenders.coverage`). At b = 0 this is `nearest`,
where past datasets' errors are nought it is the ranking. How b is learned:
`recommenders.moved_rows`.

Once scores of the task itself are observed this is `nearest`, where past rows that disagree with
them lose weight: moved rows served no better there.

What it is worth by LightGBM (`benchmarks.recommend.zero_shot`; lists of ten given before anything
ran, against `nearest`, in standard errors of the paired difference): at 10 ahead on openml_pimp's
random forests (4.6 and 5.5, 2.1 errors) and support vector machines (2.7 and 3.3, 2.0 errors); at
1, 3 and 5 on those, and throughout on the two tables with few or shared configs, within 1.1 errors
of it either way. `learned_similarity`: ahead at 1 on the two (14.3 and 15.6, 8.5 and 8.9, 1.5 and
0.9 errors), on one half of auto-sklearn's table at 10 (2.1 errors) and behind on the other (0.9);
elsewhere within 1.6 errors either way. Neither wins clearly, so each is asked only where it is
named. Told each score, `ranker` is within 1.5 errors of `nearest` on the other tables, and behind
on auto-sklearn's by 2.0 at 3 and 1.7 at 5: a first config that is no better costs a little later.

By its network, against LightGBM: nowhere ahead by more than 1.4 errors; behind on
sklearn_benchmarks, where a dataset has 14 configs, at 1 (15.3 and 13.8, 2.1 errors) and at 10
(1.8), on lists and told alike, and told on the support vector machines at 5 (1.6); elsewhere within
1.4 errors. What `auto` leads with is LightGBM's to within 1.8 errors, for 1.5 to 3.6
times the time.

Without meta-features, or out of support, what past scores of the configs alone say is left: the
portfolio, as in `nearest`.

Notation: D datasets, P configs of the pool.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from metastore.view import FloatArray
from recommenders.cells import spread_over
from recommenders.moved_rows import Ranking, left_out
from recommenders.nearest import Nearest
from recommenders.own_pools import left_out_rows
from recommenders.portfolio import covering
from recommenders.rank_choice import FEWEST_TO_CHOOSE, Leader, Wanted, leader
from recommenders.rank_model import Lists
from recommenders.recommender import AskedTask
from recommenders.scores import Past, Table
from recommenders.sessions import Case, Choice, Session, Strategy, TableSession

FOLDS = 4
FEWEST_GROUPS = 6
CONFIGS = 128
ASKED = 24


class Ranker(Nearest):
    """Moves past datasets' scores by what a learned ranking says of the new one.

    After `fit`, `share` is b, how far predicted differences are followed, 0 without a ranking;
    `leads` is the model that ranks, "" without one, and `why` says why that one.

    Args:
        seed: fixes what is left to chance when the ranking is learned.
        adapt: whether observed scores change the weights.
        model: "lightgbm", "network", or "auto" for the better one on datasets left out.
        iterations: steps that the network learns; 0 for as many as were found to be enough.
        device: where the network learns, "cpu" or "cuda"; "auto" for a GPU where there is one.
        cache: folder to keep trained networks in; None keeps them in memory alone.
        progress: whether to show a progress bar while the network learns.

    Raises:
        InvalidInputError: if there is no such model, or `iterations` is negative.
    """

    name: ClassVar[str] = "ranker"

    def __init__(  # noqa: PLR0913 - each has a default and a name
        self,
        seed: int = 0,
        adapt: bool = True,
        *,
        model: str = "auto",
        iterations: int = 0,
        device: str = "auto",
        cache: str | Path | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(seed, adapt)
        folder = None if cache is None else Path(cache)
        self.wanted = Wanted(model, self.seed, iterations, device, folder, progress)

    def prepare(self) -> None:
        """Learn the ranking.

        Raises:
            MissingDependencyError: if what the wanted model needs is not installed.
        """
        self.wanted.installed()
        super().prepare()
        self._leader = self._learned()
        self._ranking = self._leader.ranking if self._leader else None
        self.share = self._ranking.share if self._ranking else 0.0
        self.leads, self.why = (self._leader.model, self._leader.why) if self._leader else ("", "")

    def _learned(self) -> Leader | None:
        """Return the ranking, None where there are too few datasets or nothing describes them."""
        past, count = self.past, len(np.unique(self.past.groups))
        if count < FEWEST_GROUPS or not np.isfinite(self._z).any():
            return None
        kinds = self.wanted.installed()
        rankings = self._rankings(kinds if count >= FEWEST_TO_CHOOSE else kinds[:1])
        rows = left_out_rows(past, ASKED)
        return leader(rankings, left_out(past, rows, self.believe_left_out(rows)), self.wanted)

    def _rankings(self, kinds: tuple[str, ...]) -> dict[str, Ranking]:
        """Return a ranking by each model, learned without each fold and from everything."""
        past = self.past
        fold = np.unique(past.groups, return_inverse=True)[1] % FOLDS
        lists = lists_of(past, self._z)
        parts = [*(np.flatnonzero(fold != f) for f in range(FOLDS)), np.arange(len(fold))]
        found = {}
        for kind in kinds:
            *folds, whole = self.wanted.models(kind, lists, parts)
            found[kind] = Ranking(past, self._z, fold, tuple(folds), whole)
        return found

    def session(self, task: AskedTask, table: Table) -> Session:
        """Open a session over past scores moved by the ranking."""
        belief, given = self.believe(task), task.meta_features
        # Out of support the ranking would be a guess, and equal weights know nothing of its errors.
        ranking = None if belief.abstained or not len(table.keys) else self._ranking
        if ranking is None or given is None:
            strategy: Strategy = self.choose
        else:
            strategy = self._led(ranking.moved(table, belief.weights, self._scaled(given)))
            belief = replace(belief, note=self.why)
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
