"""What is believed of candidates, against formulas and limits."""

from __future__ import annotations

import numpy as np
import pytest

from metastore.starts import Accuracy
from recommenders.starts.belief_settings import Settings
from recommenders.starts.beliefs import (
    Prior,
    away,
    conditioned,
    following,
    learned,
    log_odds,
    prior,
    untold,
    validated,
)
from recommenders.starts.cross_validation import HeldOut
from recommenders.starts.signals import observed

SETTINGS = Settings()
RECORD = (Accuracy(5, 1, 0.9, 0.01, 100), Accuracy(20, 5, 0.85, 0.01, 100))


def some_prior(j: int, seed: int = 0) -> Prior:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((j, j))
    return Prior(rng.standard_normal(j), root @ root.T + 0.1 * np.eye(j))


def held(correct: list[int], seed: int = 0) -> HeldOut:
    """Return answers for two classes that are right where `correct` says so."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=len(correct))
    sign = np.where(np.array(correct) == 1, 1, -1) * (1 + rng.random(len(correct)))
    odds = np.zeros((len(correct), 2))
    odds[np.arange(len(labels)), labels] = sign
    return HeldOut(odds, labels, np.arange(len(labels)))


def test_conditioning_is_bayes_rule_in_information_form() -> None:
    before, noise = some_prior(4), some_prior(4, seed=1).covariance
    value = np.array([1.0, np.nan, -0.5, 2.0])
    belief = conditioned(before, value, noise)
    seen = [0, 2, 3]
    pick = np.eye(4)[seen]
    precision = (
        np.linalg.inv(before.covariance) + pick.T @ np.linalg.inv(noise[np.ix_(seen, seen)]) @ pick
    )
    information = np.linalg.inv(before.covariance) @ before.mean
    information = information + pick.T @ np.linalg.inv(noise[np.ix_(seen, seen)]) @ value[seen]
    assert belief.covariance == pytest.approx(np.linalg.inv(precision))
    assert belief.mean == pytest.approx(np.linalg.solve(precision, information))
    assert belief.draws.shape[1] == 4
    assert np.cov(np.log(belief.draws / (1 - belief.draws)).T) == pytest.approx(
        belief.covariance, abs=0.3
    )


def test_nothing_observed_leaves_the_prior() -> None:
    before = some_prior(3)
    belief = conditioned(before, np.full(3, np.nan), np.diag(np.full(3, np.inf)))
    assert belief.mean == pytest.approx(before.mean)
    assert belief.covariance == pytest.approx(before.covariance)


def test_validation_is_taken_as_recorded_and_carried_to_other_shapes() -> None:
    at = validated(RECORD[:1], 5, 1, SETTINGS)
    assert at == pytest.approx(log_odds(0.9, 500))
    assert validated(RECORD[:1], 20, 1, SETTINGS) < at < validated(RECORD[:1], 5, 5, SETTINGS)
    near = validated(RECORD, 5, 1, SETTINGS)
    assert abs(near - at) < 0.1
    assert np.isnan(validated((), 5, 1, SETTINGS))
    assert np.isnan(validated((Accuracy(0, 5, 0.1, 0.01, 9),), 5, 1, SETTINGS))


def test_a_strange_task_lowers_and_loosens_what_validation_says() -> None:
    validation, raw = np.array([2.0, 2.0, np.nan]), np.array([False, False, True])
    found = prior(validation, np.array([1.0, 8.0, np.nan]), raw, 5, SETTINGS)
    assert found.mean[0] == 2.0 - SETTINGS.alike
    assert found.mean[1] < 2.0
    spread = np.diag(found.covariance)
    assert spread[1] > spread[0]
    assert np.linalg.eigvalsh(found.covariance).min() > 0


def test_who_follows_a_start_gains_and_more_where_the_task_is_strange() -> None:
    validation, raw = np.array([2.0, 1.0, np.nan, np.nan]), np.array([False, False, True, False])
    novelty = np.array([1.0, np.e, np.nan, np.e])
    plain = prior(validation, novelty, raw, 5, SETTINGS)
    own = np.array([0, 1, 2, 1])
    gain = SETTINGS.steps + SETTINGS.steps_novel * away(novelty)
    found = following(plain, own, gain, np.full(4, SETTINGS.steps_spread))
    assert found.mean[:3] == pytest.approx(plain.mean[:3])
    assert found.covariance[:3, :3] == pytest.approx(plain.covariance[:3, :3])
    expected = SETTINGS.steps + SETTINGS.steps_novel
    assert found.mean[3] - found.mean[1] == pytest.approx(expected)
    apart = found.covariance[3, 3] + found.covariance[1, 1] - 2 * found.covariance[1, 3]
    assert apart == pytest.approx(SETTINGS.steps_spread**2)
    assert np.linalg.eigvalsh(found.covariance).min() > 0
    # a start that fails on held-out rows takes its steps down with it
    fails = conditioned(found, np.array([np.nan, -2.0, np.nan, np.nan]), 0.1 * np.eye(4))
    assert fails.accuracy[3] < conditioned(found, np.full(4, np.nan), np.eye(4)).accuracy[3] - 0.1


def test_past_tasks_move_the_prior_and_many_of_them_decide() -> None:
    before = prior(np.array([1.0, 1.0]), np.ones(2), np.zeros(2, bool), 5, SETTINGS)
    rng = np.random.default_rng(0)
    difficulty = rng.standard_normal(400)
    past = np.stack([difficulty, difficulty + 0.8], axis=1)
    assert learned(before, np.empty((0, 2)), SETTINGS) is before
    few, many = learned(before, past[:2], SETTINGS), learned(before, past, SETTINGS)
    gaps = [one.mean[1] - one.mean[0] for one in (before, few, many)]
    assert gaps[0] == 0 < gaps[1] < gaps[2]
    assert many.mean == pytest.approx(past.mean(0), abs=0.1)
    assert many.covariance == pytest.approx(np.cov(past.T), abs=0.15)


def test_what_did_not_run_is_filled_in_by_what_did() -> None:
    before = prior(np.array([1.0, 1.0]), np.ones(2), np.zeros(2, bool), 5, SETTINGS)
    rng = np.random.default_rng(0)
    difficulty = rng.standard_normal(200)
    full = np.stack([difficulty, difficulty + 0.8, difficulty], axis=1)
    wide = prior(np.ones(3), np.ones(3), np.zeros(3, bool), 5, SETTINGS)
    gaps = full.copy()
    # the second ran on easy tasks alone: its plain mean would flatter it
    gaps[difficulty < 0, 1] = np.nan
    found = learned(wide, gaps, SETTINGS)
    assert np.nanmean(gaps[:, 1]) - np.nanmean(gaps[:, 0]) > 1.2
    assert found.mean[1] - found.mean[0] == pytest.approx(0.8, abs=0.15)
    lone = learned(before, np.array([[1.0, np.nan]]), SETTINGS)
    assert lone is before  # one candidate alone says how hard the task was, not who is better


def test_held_out_rows_speak_as_much_as_there_are_and_shared_failures_cancel() -> None:
    right = [1] * 8 + [0] * 4
    value, covariance = observed([held(right), held(right), None], 0.75, SETTINGS)
    assert np.isnan(value[2])
    assert value[0] > log_odds(held(right).chance.mean(), 12)
    assert covariance[0, 1] > 0.3 * covariance[0, 0]
    more, less = observed([held(right * 5)], 1.0, SETTINGS), observed([held(right)], 1.0, SETTINGS)
    assert more[1][0, 0] < less[1][0, 0]
    other = HeldOut(np.eye(2), np.arange(2), np.array([50, 51]))
    assert observed([held(right), other], 1.0, SETTINGS)[1][0, 1] == SETTINGS.together


def test_a_better_held_out_candidate_overtakes_a_better_validated_one() -> None:
    validation = np.array([2.0, 1.6])
    before = prior(validation, np.ones(2), np.zeros(2, bool), 5, SETTINGS)
    worse, better = held([1] * 20 + [0] * 20), held([1] * 39 + [0])
    belief = conditioned(before, *observed([worse, better], 0.8, SETTINGS))
    assert conditioned(before, np.full(2, np.nan), np.eye(2)).accuracy.argmax() == 0
    assert belief.accuracy.argmax() == 1
    assert belief.ahead(1, 0) > 0.9
    low, high = belief.interval()[1]
    assert low < belief.accuracy[1] < high


def test_where_rows_are_the_same_their_number_alone_says_how_sure_the_share_is() -> None:
    few, many = untold(np.array([0.5, 0.4, 0.5]), 20), untold(np.array([0.5, 0.4, 0.5]), 2000)
    assert few.accuracy == pytest.approx([0.5, 0.4, 0.5], abs=0.02)
    assert few.accuracy[0] == few.accuracy[2]
    low, high = few.interval()[0]
    assert (low, high) == pytest.approx((0.36, 0.64), abs=0.02)
    assert np.ptp(many.interval()[0]) < 0.2 * np.ptp(few.interval()[0])
