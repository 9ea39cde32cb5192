"""Whether expectations came: against exact binomial quantiles, and on outcomes of known worth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from recommenders.starts.backtest import Outcome
from recommenders.starts.calibration import calibration, widened


@pytest.mark.parametrize(("share", "n"), [(0.9, 75), (0.6, 400), (0.98, 95)])
def test_a_sure_interval_is_widened_to_the_binomials(share: float, n: int) -> None:
    low, high = widened((share - 1e-6, share + 1e-6), n)
    assert low == pytest.approx(binom.ppf(0.1, n, share) / n, abs=1.01 / n)
    assert high == pytest.approx(binom.ppf(0.9, n, share) / n, abs=1.01 / n)


def test_a_large_query_leaves_the_interval_as_it_is() -> None:
    assert widened((0.7, 0.9), 10**6) == pytest.approx((0.7, 0.9), abs=0.01)


def outcome(number: int, came: float, expected: tuple[float, float, float]) -> Outcome:
    chosen = {"combined": "one"}
    return Outcome(f"task {number}", "group", {"one": came}, chosen, expected, 1.0, {}, 100)


def test_what_was_drawn_from_beliefs_is_covered_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    made = []
    for i in range(400):
        mean, spread = 1.5 + 0.5 * rng.standard_normal(), 0.3 + 0.3 * rng.random()
        ends = 1 / (1 + np.exp(-(mean + spread * np.array([0, -1.2816, 1.2816]))))
        true = 1 / (1 + np.exp(-(mean + spread * rng.standard_normal())))
        made.append(
            outcome(
                i, rng.binomial(100, true) / 100, (float(ends[0]), float(ends[1]), float(ends[2]))
            )
        )
    found = calibration(made)
    assert found.tasks == 400
    assert found.covered_by_draw == pytest.approx(0.82, abs=0.05)
    assert found.covered < found.covered_by_draw
    assert found.expected == pytest.approx(found.accuracy, abs=0.02)


def test_expectations_that_are_too_high_are_seen() -> None:
    made = [outcome(i, 0.6, (0.9, 0.85, 0.95)) for i in range(5)]
    found = calibration(made)
    assert (found.covered, found.covered_by_draw) == (0.0, 0.0)
    assert found.expected - found.accuracy == pytest.approx(0.3)
