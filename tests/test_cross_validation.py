"""Plans of what is held out, and what held-out answers say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss

from metastore.errors import InvalidInputError
from recommenders.starts.cross_validation import HeldOut, plan, wilson

SETS = st.lists(st.integers(1, 12), min_size=2, max_size=6).flatmap(
    lambda counts: st.permutations(np.repeat(range(len(counts)), counts).tolist())
)


@given(labels=SETS, seed=st.integers(0, 99))
def test_every_row_that_can_be_is_held_out_once_a_repeat_and_no_class_is_ever_missing(
    labels: list[int], seed: int
) -> None:
    y = np.array(labels)
    folds = plan(y, n_repeats=3, seed=seed)
    counts = np.bincount(y)
    expected = np.where(counts[y] > 1, 3, 0)
    if counts.max() < 2:
        assert len(folds) == 0
        assert folds.kept == 1.0
        return
    assert (np.bincount(folds.rows, minlength=len(y)) == expected).all()
    assert folds.lone == tuple(np.flatnonzero(counts == 1))
    for train, held in zip(folds.train, folds.held, strict=True):
        assert sorted([*train, *held]) == list(range(len(y)))
        assert set(y[train]) == set(y)
    assert 0.5 <= folds.kept < 1


@given(labels=SETS)
def test_a_shorter_plan_is_the_beginning_of_the_longer(labels: list[int]) -> None:
    long, short = plan(np.array(labels), 4, seed=7), plan(np.array(labels), 2, seed=7)
    cut = long.repeats(2)
    assert cut.n_repeats == short.n_repeats
    assert [t.tolist() for t in cut.train] == [t.tolist() for t in short.train]


def answers(n: int, n_classes: int, seed: int, scale: float = 1.0) -> HeldOut:
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    odds = rng.standard_normal((n, n_classes)) + 1.5 * np.eye(n_classes)[labels]
    return HeldOut(scale * odds, labels, np.arange(n))


def test_accuracy_and_log_loss_are_scikit_learns() -> None:
    held = answers(50, 4, seed=0)
    odds = held.log_odds / held.temperature
    chances = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    assert held.accuracy == accuracy_score(held.labels, odds.argmax(1))
    assert held.log_loss == pytest.approx(log_loss(held.labels, chances))
    assert held.chance == pytest.approx(chances[np.arange(50), held.labels])
    assert held.sure == pytest.approx(chances.max(1))
    assert held.sure.mean() == pytest.approx(held.accuracy, abs=0.1)


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_the_temperature_is_the_best_and_undoes_any_scale(scale: float) -> None:
    held = answers(60, 3, seed=1, scale=scale)

    def soft_loss(log_t: float) -> float:
        odds = held.log_odds / np.exp(log_t)
        log_chances = odds - np.log(np.exp(odds - odds.max(1, keepdims=True)).sum(1))[:, None]
        log_chances -= odds.max(1, keepdims=True)
        right = log_chances[np.arange(60), held.labels]
        return float(-(61 / 62 * right + log_chances.mean(1) / 62).mean())

    best = minimize_scalar(soft_loss, bounds=(-6, 6), method="bounded").x
    assert np.log(held.temperature) == pytest.approx(best, abs=1e-3)
    assert held.log_loss == pytest.approx(answers(60, 3, seed=1).log_loss, rel=1e-3)


def test_answers_without_a_mistake_stay_short_of_certain() -> None:
    held = HeldOut(np.eye(3) * 2, np.arange(3), np.arange(3))
    assert held.accuracy == 1.0
    assert 0.001 < held.log_loss < 1
    low, high = held.interval()
    assert low < 0.8
    assert high == pytest.approx(1.0)


def test_repeats_of_a_row_and_shared_tops_are_averaged() -> None:
    odds = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    held = HeldOut(odds, np.array([0, 0, 1]), np.array([4, 4, 2]))
    assert held.each.tolist() == [2, 4]
    assert held.correct.tolist() == [0.5, 0.5]
    assert held.n_rows == 2


def test_classes_count_alike_in_the_balanced_share() -> None:
    from sklearn.metrics import balanced_accuracy_score  # noqa: PLC0415 - slow to import

    rng = np.random.default_rng(0)
    labels, odds = rng.choice(3, 60, p=[0.8, 0.15, 0.05]), rng.standard_normal((60, 3))
    odds[:, 0] += 1
    held = HeldOut(odds, labels, rng.permutation(60))
    assert held.balanced == pytest.approx(balanced_accuracy_score(labels, odds.argmax(1)))
    assert held.balanced != pytest.approx(held.accuracy)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (7, 10), (10, 10)])
def test_the_interval_is_wilsons(right: int, n: int) -> None:
    expected = binomtest(right, n).proportion_ci(0.8, method="wilson")
    assert wilson(right / n, n) == pytest.approx((expected.low, expected.high))
    assert wilson(0.3, 0) == (0.0, 1.0)


def test_shapes_that_disagree_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="expected log-odds"):
        HeldOut(np.zeros((2, 2)), np.zeros(3, np.int64), np.zeros(2, np.int64))
