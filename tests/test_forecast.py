"""Forecasts, and intervals that hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from recommenders.forecast import Calibration, Forecast, forecast


def test_forecast_without_observations_is_the_weighted_mean() -> None:
    scores = np.array([[0.5, 0.9], [0.7, 0.1]])
    found = forecast(scores, np.array([0.25, 0.75]))
    assert found.score.tolist() == pytest.approx([0.65, 0.3])
    assert found.spread.tolist() == pytest.approx([0.2 * np.sqrt(3) / 4, 0.8 * np.sqrt(3) / 4])


def test_forecast_moves_to_the_observed_level() -> None:
    scores, before = np.array([[0.5], [0.9]]), np.array([[0.4], [0.8]])
    found = forecast(scores, np.array([0.5, 0.5]), before, np.array([0.2]))
    assert found.score.tolist() == pytest.approx([0.3])
    assert found.spread.tolist() == pytest.approx([0.0])


def test_intervals_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    t, d, q = 60, 40, 12
    past, truth = rng.normal(size=(t, d, q)), rng.normal(size=(t, q))
    weights = np.full((t, d), 1 / d)
    calibration = Calibration.fit(weights, past, truth)
    held = []
    for _ in range(400):
        scores = rng.normal(size=(d, 1))
        low, high = calibration.interval(forecast(scores, weights[0]), 0)
        held.append(low[0] <= rng.normal() <= high[0])
    assert np.mean(held) == pytest.approx(0.8, abs=0.07)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_intervals_hold_what_is_expected_where_all_errors_lie_on_one_side(sign: float) -> None:
    past, errors = np.zeros((9, 9, 3)), 1 + np.arange(27.0).reshape(9, 3)
    weights = (1 - np.eye(9)) / 8
    calibration = Calibration.fit(weights, past, sign * errors)
    low, high = calibration.interval(Forecast(np.full(2, 0.5), np.ones(2)), 0)
    assert (low <= 0.5).all()
    assert (high >= 0.5).all()
    assert ((high > 0.5) if sign > 0 else (low < 0.5)).all()


def test_too_few_datasets_give_no_interval() -> None:
    calibration = Calibration.fit(np.ones((1, 1)), np.zeros((1, 1, 3)), np.zeros((1, 3)))
    low, high = calibration.interval(Forecast(np.zeros(2), np.zeros(2)), 5)
    assert np.isnan(low).all()
    assert np.isnan(high).all()
