"""Leaving past datasets out in turn, to learn how wrong forecasts are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.forecast import AHEAD, STAGES, Calibration
from recommenders.own_pools import left_out_rows, own_pool
from recommenders.replay import seen_of
from recommenders.scores import Past
from recommenders.sessions import Case, Strategy

ASKED = max(STAGES) + AHEAD
MAX_LEFT_OUT = 64


def calibrate(
    past: Past, left_out: Callable[[IntArray], FloatArray], choose: Strategy
) -> Calibration:
    """Return the calibration of forecasts with these weights.

    Args:
        past: D datasets.
        left_out: gives, for T datasets, `(T, D)` what the others count for each.
        choose: how configs are chosen; each dataset left out is asked about the configs that
            this would try on it first.

    Up to 64 datasets are left out, fewer where that would predict too many scores.
    """
    count = len(past.datasets)
    rows = left_out_rows(past, MAX_LEFT_OUT)
    weights = left_out(rows)
    rows, weights = rows[weights.sum(axis=1) > 0], weights[weights.sum(axis=1) > 0]
    if not len(rows):
        return Calibration((), ())
    others = np.zeros((len(rows), count, ASKED))
    truth = np.full((len(rows), ASKED), np.nan)
    for i, row in enumerate(rows.tolist()):
        table, score = own_pool(past, row)
        closed = np.isnan(score)
        seen = seen_of([], score, closed)
        case = Case(past.datasets[row], table, past.spread, weights[i], seen, past.best)
        order = choose(case, ASKED).columns
        others[i, :, : len(order)] = (
            past.best[:, None] - past.spread[:, None] * table.regret[:, order]
        )
        truth[i, : len(order)] = score[order]
    return Calibration.fit(weights, others, truth, past.score_bounds, past.spread)
