"""Scores that diverged: what is far below all others counts as far, not as how far.

A loss that went to 1e16 says that a config failed, and nothing else. On a scale that reaches from
the best score to that one all others would be alike. So where a metric has no bound on its bad
side, a score may lie `FURTHEST` times as far below the median of its dataset as the best lies
above it; what lies further counts as lying there. A metric with a bound there (an accuracy, an
error rate) is left as it is.

Between 3 and 30 times made no difference on 12 tasks of text networks and on the errors of six
regressors on 34 tables; a logarithm of losses in place of this did worse on both.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, View

LOWEST = {True: -1.0, False: -2.0}
"""What larger-is-better scores of a bounded metric do not go below, by `higher_is_better`.

Measures of a bounded scale that are lower when they are better lie between 0 and 2 (error rates,
the Brier score, losses rescaled so that chance has 1), others above -1 (accuracies, correlations,
Cohen's kappa).
"""

FURTHEST = 10.0
BEYOND = 3.0
"""Times the largest past spread below the best observed score, where a score counts as failed."""

QUANTILES = (0.5, 0.25, 0.0)


def unbounded(scores: FloatArray, higher_is_better: bool) -> bool:
    """Return whether recorded scores, larger-is-better, show no bound on a metric's bad side.

    >>> unbounded(np.array([-0.3, -7.0]), higher_is_better=False)
    True
    """
    return bool(len(scores)) and float(scores.min()) < LOWEST[higher_is_better]


def tempered(scores: FloatArray) -> FloatArray:
    """Return scores `(n,)`, larger-is-better, of one dataset, none further below than counts.

    >>> tempered(np.array([0.1, 0.2, 0.3, 0.4, -1e16])).round(6).tolist()
    [0.1, 0.2, 0.3, 0.4, -1.8]
    """
    if len(scores) < 3:
        return scores
    best = scores.max()
    for middle in np.quantile(scores, QUANTILES):
        if middle < best:
            floored: FloatArray = np.maximum(scores, middle - FURTHEST * (best - middle))
            return floored
    return scores


def without_tails(view: View) -> View:
    """Return a view whose scores are `tempered`, dataset by dataset, where that is called for."""
    if not unbounded(view.cell_score, view.higher_is_better):
        return view
    scores = view.cell_score.copy()
    order = np.argsort(view.cell_dataset, kind="stable")
    ends = np.searchsorted(view.cell_dataset[order], np.arange(view.n_datasets + 1))
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        mine = order[start:end]
        scores[mine] = tempered(scores[mine])
    return replace(view, cell_score=scores)


def telling(
    scores: FloatArray, best: FloatArray, spread: FloatArray
) -> tuple[NDArray[np.bool_], bool]:
    """Return which observed scores `(k,)` say more than that a config failed, and on what level.

    One far further below the best observed one than any past dataset reaches counts as failed. So
    does a lone one that lies below all that past datasets have: it may have diverged, and where
    it did not, because datasets have units of their own, one score says nothing.

    Args:
        scores: of a new dataset, larger-is-better, at least one.
        best: `(D,)` best score of each past dataset, at least one.
        spread: `(D,)` best less worst score of each.

    Returns:
        `(k,)` which to learn from, and whether the scores are on the level of past ones.
    """
    told = scores >= scores.max() - BEYOND * spread.max()
    level = bool(scores.max() >= (best - 2 * spread).min())
    if not level and told.sum() == 1:
        told = np.zeros_like(told)
    return told, level
