"""Leaving past datasets out in turn, to learn how wrong forecasts are."""

from __future__ import annotations

import numpy as np

from metastore.view import FloatArray
from recommenders.forecast import AHEAD, STAGES, Calibration
from recommenders.own_pools import own_pool, spread_over
from recommenders.replay import seen_of
from recommenders.scores import Past
from recommenders.sessions import Case, Strategy

ASKED = max(STAGES) + AHEAD
MAX_LEFT_OUT = 64
MAX_CELLS = 2_000_000


def calibrate(past: Past, weights: FloatArray, choose: Strategy) -> Calibration:
    """Return the calibration of forecasts with these weights.

    Args:
        past: D datasets.
        weights: `(D, D)` what the others count for each dataset, 0 for its own group.
        choose: how configs are chosen; each dataset left out is asked about the configs that
            this would try on it first.

    Up to 64 datasets are left out, fewer where that would predict too many scores.
    """
    count = len(past.datasets)
    most = int(np.clip(MAX_CELLS // (max(1, count) * 64), 8, MAX_LEFT_OUT))
    rows = spread_over(np.flatnonzero(weights.sum(axis=1) > 0), most)
    if not len(rows):
        return Calibration((), ())
    others = np.zeros((len(rows), count, ASKED))
    truth = np.full((len(rows), ASKED), np.nan)
    for i, row in enumerate(rows.tolist()):
        table, score = own_pool(past, row)
        closed = np.isnan(score)
        case = Case(
            past.datasets[row], table, past.spread, weights[row], seen_of([], score, closed)
        )
        order = choose(case, ASKED).columns
        others[i, :, : len(order)] = (
            past.best[:, None] - past.spread[:, None] * table.regret[:, order]
        )
        truth[i, : len(order)] = score[order]
    return Calibration.fit(weights[rows], others, truth)
