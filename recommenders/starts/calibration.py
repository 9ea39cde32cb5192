"""Whether what was expected came: mean expected accuracy, and how often intervals held.

An interval is of the accuracy on new rows, and a query has only so many: of 75 rows that are right
with probability 0.9 each, between 64 and 71 are right in four draws of five. Coverage is counted
twice, therefore: of the interval as it stands, which good intervals do not reach, and of the
interval widened by what a query of so many rows leaves to chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from recommenders.starts.backtest import Outcome
from recommenders.starts.beliefs import log_odds

LEVEL = 0.8
_DRAWS = 20_000
_FINE = 1e6


@dataclass(frozen=True)
class Calibration:
    """What was expected of choices, and what came.

    Args:
        tasks: how many.
        expected: mean accuracy that was expected.
        accuracy: mean accuracy that came.
        covered: share of tasks whose accuracy lies in the interval as it stands.
        covered_by_draw: share whose accuracy lies in the interval widened by the query's draw;
            nominally `LEVEL` and somewhat more, since shares of few rows jump.
    """

    tasks: int
    expected: float
    accuracy: float
    covered: float
    covered_by_draw: float


def calibration(outcomes: Sequence[Outcome]) -> Calibration:
    """Return whether the combination's expectations came, over tasks whose query has a size.

    Args:
        outcomes: of `recommenders.starts.backtest.met`; at least one with `n_query`.
    """
    sized = [one for one in outcomes if one.n_query]
    came = np.array([one.of("combined") for one in sized])
    expected, low, high = np.array([one.expected for one in sized]).T
    drawn = np.array([widened((one.expected[1], one.expected[2]), one.n_query) for one in sized])
    tiny = 1e-9
    return Calibration(
        len(sized),
        float(expected.mean()),
        float(came.mean()),
        float(((came >= low) & (came <= high)).mean()),
        float(((came >= drawn[:, 0] - tiny) & (came <= drawn[:, 1] + tiny)).mean()),
    )


def widened(interval: tuple[float, float], n_query: int, seed: int = 0) -> tuple[float, float]:
    """Return the middle `LEVEL` of the share of right rows in a query of so many.

    The interval's ends are quantiles of a Gaussian over log-odds, as beliefs have it.

    Args:
        interval: of accuracy, at `LEVEL`.
        n_query: rows of the query.
        seed: of the draws.

    >>> low, high = widened((0.88, 0.92), 75)
    >>> round(75 * low), round(75 * high)
    (64, 71)
    """
    low, high = (log_odds(end, _FINE) for end in interval)
    spread = (high - low) / 2 / NormalDist().inv_cdf(0.5 + LEVEL / 2)
    rng = np.random.default_rng(seed)
    odds = (low + high) / 2 + spread * rng.standard_normal(_DRAWS)
    shares = rng.binomial(n_query, 1 / (1 + np.exp(-odds))) / n_query
    ends = np.quantile(shares, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], method="nearest")
    return float(ends[0]), float(ends[1])
