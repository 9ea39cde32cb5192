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


def test_forecast_is_as_far_apart_as_what_was_seen() -> None:
    """Half as far apart as on past datasets, which agree: soon half is expected of others too."""
    rng = np.random.default_rng(0)
    past = rng.normal(size=(1, 20)) + 0.01 * rng.normal(size=(6, 20))
    weights = np.full(6, 1 / 6)
    seen, asked = 0.9 + 0.05 * past[0, :9], 0.9 + 0.05 * past[0, 9:]
    found = forecast(past[:, 9:], weights, past[:, :9], seen)
    assert found.score.tolist() == pytest.approx(asked.tolist(), abs=0.005)
    turned = forecast(past[:, 9:], weights, past[:, :9], 2 * seen.mean() - seen)
    assert turned.score.tolist() == pytest.approx([0.9 + 0.05 * past[0, :9].mean()] * 11, abs=0.005)


def test_what_was_seen_in_noise_says_little_of_how_far_apart_scores_lie() -> None:
    """Configs that were alike elsewhere, and datasets that disagree on the rest."""
    rng = np.random.default_rng(0)
    past = np.column_stack([1e-3 * rng.normal(size=(8, 3)), rng.normal(size=(8, 1)) + 1])
    found = forecast(past[:, 3:], np.full(8, 1 / 8), past[:, :3], np.array([0.0, 0.5, 1.0]))
    plain = 0.5 + past[:, 3].mean() - past[:, :3].mean()
    assert found.score[0] == pytest.approx(plain, rel=0.5)


def test_nothing_beyond_the_bounds_is_expected_and_intervals_go_by_that() -> None:
    past = np.tile(np.array([0.2, 0.8]), (9, 1)) + 0.01 * np.arange(9)[:, None] * [1, -1]
    weights = (1 - np.eye(9)) / 8
    found = forecast(past[:, 1:], np.full(9, 1 / 9), past[:, :1], np.array([0.9]), (0.0, 1.0))
    assert found.score.tolist() == [1.0]
    truth = np.column_stack([np.full(9, 0.9), np.full(9, 0.95)])
    calibration = Calibration.fit(weights, np.tile(past, (9, 1, 1)), truth, (0.0, 1.0))
    low, high = calibration.interval(found, 1)
    assert low[0] == pytest.approx(0.95, abs=0.01)
    assert high[0] == 1.0


def test_the_scale_is_that_of_bayesian_linear_regression() -> None:
    rng = np.random.default_rng(3)
    weights, before = rng.dirichlet(np.ones(5)), rng.normal(size=(5, 4))
    asked, seen = rng.normal(size=(5, 2)), rng.normal(size=4)
    apart = before - before.mean(axis=1, keepdims=True)
    x, y = weights @ apart, seen - seen.mean()
    noise = np.mean([weights @ (apart[:, j] - x[j]) ** 2 for j in range(4)])
    noise += np.mean((y - x * (x @ y) / (x @ x)) ** 2)
    precision = x @ x / noise + 1  # of the slope, whose prior is N(1, 1)
    slope = max((x @ y / noise + 1) / precision, 0)
    expected = seen.mean() + slope * (weights @ (asked - before.mean(axis=1, keepdims=True)))
    assert forecast(asked, weights, before, seen).score == pytest.approx(expected)


def test_configs_that_scored_alike_say_nothing_of_the_scale() -> None:
    """Differences of a thousandth, the other way round here, are chance: others are not alike."""
    rng = np.random.default_rng(3)
    widths, before = (
        np.ones(6),
        0.8 + 1e-3 * rng.normal(size=(1, 4)) + 1e-5 * rng.normal(size=(6, 4)),
    )
    asked = np.tile([0.3, 0.9], (6, 1))
    seen = 0.8 - (before[0] - 0.8)
    weights = np.full(6, 1 / 6)
    assert forecast(asked, weights, before, seen).score == pytest.approx([0.8, 0.8], abs=0.01)
    found = forecast(asked, weights, before, seen, widths=widths)
    assert found.score == pytest.approx([0.3, 0.9], abs=0.03)
    # Differences that are none of chance count as before.
    apart = np.tile([0.2, 0.4, 0.6, 0.8], (6, 1)) + 0.01 * rng.normal(size=(6, 4))
    alike = forecast(asked, weights, apart, np.full(4, 0.5), widths=widths)
    assert alike.score == pytest.approx([0.5, 0.5], abs=0.05)


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


@pytest.mark.parametrize("apart", [0.0, 1e-6, 0.3])
def test_two_past_datasets_give_an_interval_of_the_size_of_their_differences(apart: float) -> None:
    """Left out in turn, each is forecast from one dataset, which has no spread."""
    rng = np.random.default_rng(0)
    scores = 60 + rng.normal(size=8) + apart * np.array([[1.0], [-1.0]])
    scores += 0.5 * rng.normal(size=scores.shape)
    others = np.stack([scores, scores])
    found = Calibration.fit(np.array([[0.0, 1.0], [1.0, 0.0]]), others, scores)
    asked = forecast(scores[:, :1], np.array([0.5, 0.5]))
    low, high = found.interval(asked, 0)
    farthest = np.abs(scores[0] - scores[1]).max()
    assert 0.1 * farthest < float(high[0] - low[0]) < 10 * farthest
