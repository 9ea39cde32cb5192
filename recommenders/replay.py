"""Replaying a recommender on a dataset whose scores are known.

The pool is the configs that ran there. Regret after k configs is `(best - best of the first k)
/ (best - worst)`, best and worst over the pool's completed runs; a failed run counts as the
worst. Where all scores are equal every regret is 0. What a view without heavy tails
(`recommenders.heavy_tails`) has is what counts: one run that diverged makes no others alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray, View
from recommenders.encoding import Key
from recommenders.sessions import Seen, Session

BUDGETS = (1, 3, 5, 10, 25)


@dataclass(frozen=True, eq=False)
class Answers:
    """What the configs of a pool scored: `(P,)` scores, NaN where failed, and `(P,)` regrets."""

    keys: tuple[Key, ...]
    score: FloatArray
    regret: FloatArray

    @classmethod
    def of(cls, view: View, dataset: str) -> Answers:
        """Return the answers of a dataset of a view, configs in alphabetical order."""
        row = view.datasets.index(dataset)
        cells = np.flatnonzero(view.cell_dataset == row)
        failed = view.failed_config[view.failed_dataset == row]
        scores = dict.fromkeys(failed.tolist(), np.nan)
        pairs = zip(view.cell_config[cells].tolist(), view.cell_score[cells].tolist(), strict=True)
        scores.update(pairs)
        found = sorted(
            ((view.algorithm(c), str(view.config_texts[c])), s) for c, s in scores.items()
        )
        score = np.array([s for _, s in found], dtype=np.float64)
        return cls(tuple(key for key, _ in found), score, regrets(score))


def regrets(score: FloatArray) -> FloatArray:
    """Return the regret `(P,)` of each config from scores, larger-is-better, NaN where failed.

    >>> regrets(np.array([0.5, 0.9, 0.7, np.nan])).round(2).tolist()
    [1.0, 0.0, 0.5, 1.0]
    """
    finite = score[np.isfinite(score)]
    if not len(finite):
        return np.ones(len(score))
    spread = finite.max() - finite.min()
    regret = (finite.max() - score) / (spread if spread > 0 else 1.0)
    return np.where(np.isnan(regret), 1.0, regret)


def seen_of(columns: list[int], score: FloatArray, closed: NDArray[np.bool_] | None = None) -> Seen:
    """Return what was seen once these configs of a pool ran."""
    taken = np.zeros(len(score), dtype=bool) if closed is None else closed.copy()
    taken[columns] = True
    fine = np.array(sorted(c for c in columns if np.isfinite(score[c])), dtype=np.int64)
    failed = np.array(sorted(c for c in columns if not np.isfinite(score[c])), dtype=np.int64)
    return Seen(fine, score[fine], taken, failed)


@dataclass(frozen=True, eq=False)
class Trace:
    """What a recommender did: `columns` in the order tried, and whether intervals held.

    `held` has one entry a forecast with an interval: whether the score lay in it.
    """

    columns: IntArray
    held: NDArray[np.bool_]


def replay(session: Session, answers: Answers, budget: int) -> Trace:
    """Run a session step by step, each step told the scores of the ones before."""
    columns: list[int] = []
    held = []
    for _ in range(min(budget, len(answers.keys))):
        step = session.step(seen_of(columns, answers.score), 1)
        column = int(step.choice.columns[0])
        truth = answers.score[column]
        if np.isfinite(truth) and np.isfinite(step.low[0]):
            held.append(bool(step.low[0] <= truth <= step.high[0]))
        columns.append(column)
    return Trace(np.array(columns, dtype=np.int64), np.array(held, dtype=bool))


def best_so_far(regret: FloatArray, columns: IntArray, budget: int) -> FloatArray:
    """Return the regret `(budget,)` after each step; the last one lasts when the pool ends."""
    path = np.minimum.accumulate(regret[columns])
    return np.concatenate([path, np.full(budget - len(path), path[-1])])


def random_regret(regret: FloatArray, budget: int) -> FloatArray:
    """Return the expected regret `(budget,)` of configs drawn without replacement.

    With regrets sorted ascending, the best of k draws is the i-th of P with probability
    C(P - i, k - 1) / C(P, k).

    >>> random_regret(np.array([0.0, 1.0]), 2).tolist()
    [0.5, 0.0]
    """
    ordered, size = np.sort(regret), len(regret)
    out = np.zeros(budget)
    missed = np.ones(size)
    for k in range(budget):
        # missed[i]: probability that k + 1 draws all avoid the i + 1 lowest regrets.
        kept = np.maximum(size - 1 - np.arange(size) - k, 0) / max(size - k, 1)
        missed = missed * kept
        out[k] = ordered[0] + np.diff(ordered) @ missed[:-1]
    return out
