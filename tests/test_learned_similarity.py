"""The metric's gradient against differences, and when it departs from the fixed one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommenders
from recommenders.distances import distances, kernel_weights
from recommenders.learned_similarity import LearnedSimilarity, told
from recommenders.metric_fitting import Pairs, chosen, errors_of, fitted, loss_and_gradient
from recommenders.scores import Past
from tests.contracts.recommender_contract import example
from tests.views import small_view, view_from_parquet

D, P = 15, 5
GROUPS = np.array([0, 0, *range(13)])


def pairs_of(seed: int) -> Pairs:
    """Pairs of random datasets, some of whose meta-features are missing."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(D, P))
    z[3, 1], z[:7, 4], z[9] = np.nan, np.nan, np.nan
    return Pairs.of(z, rng.normal(size=(D, 8)), GROUPS)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from((0.0, 0.1, 3.0)))
def test_the_gradient_is_that_of_the_loss(seed: int, strength: float) -> None:
    pairs, step = pairs_of(seed), 1e-6
    t = np.random.default_rng(seed).normal(size=P)
    _, gradient = loss_and_gradient(t, pairs, strength)
    expected = [
        (
            loss_and_gradient(t + e, pairs, strength)[0]
            - loss_and_gradient(t - e, pairs, strength)[0]
        )
        / (2 * step)
        for e in step * np.eye(P)
    ]
    assert gradient == pytest.approx(np.array(expected), rel=1e-4, abs=1e-7)


def test_at_zero_it_is_the_error_of_the_fixed_metric() -> None:
    rng = np.random.default_rng(1)
    z, rows = rng.normal(size=(D, P)), rng.normal(size=(D, 8))
    z[3, 1] = np.nan
    found = errors_of(np.zeros(P), Pairs.of(z, rows, GROUPS))
    for i in range(D):
        others = GROUPS[i] != GROUPS
        weights = kernel_weights(distances(z[i], z[others]))
        assert found[i] == pytest.approx(((rows[i] - weights @ rows[others]) ** 2).sum())


def test_importances_weigh_differences() -> None:
    one, many = np.array([0.0, 1.0, np.nan]), np.array([[1.0, 3.0, 1.0], [np.nan, 1.5, 2.0]])
    found = distances(one, many, np.array([3.0, 1.0, 9.0]))
    assert found.tolist() == pytest.approx([(3 * 1 + 1 * 2) / 4, 0.5])
    assert distances(one, many, np.full(3, 7.0)) == pytest.approx(distances(one, many))


def telling(datasets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Meta-features of which the first alone says anything, and what it says of configs."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(datasets, 8))
    return z, np.tanh(z[:, :1] * np.linspace(-2, 2, 20)) + 0.1 * rng.normal(size=(datasets, 20))


def test_what_tells_gains_importance() -> None:
    z, rows = telling(60)
    t, ratio = chosen(Pairs.of(z, rows, np.arange(60)), np.arange(60))
    assert t.argmax() == 0
    assert t[0] - t[1:].max() > 1
    assert ratio < 0.7


def test_few_datasets_leave_the_fixed_metric() -> None:
    z, rows = telling(11)
    t, ratio = chosen(Pairs.of(z, rows, np.arange(11)), np.arange(11))
    assert not t.any()
    assert ratio == 1


def test_noise_mostly_leaves_the_fixed_metric() -> None:
    rng, departed = np.random.default_rng(0), 0
    for _ in range(20):
        noise = Pairs.of(rng.normal(size=(40, 8)), rng.normal(size=(40, 20)), np.arange(40))
        departed += chosen(noise, np.arange(40))[0].any()
    assert departed <= 6


def test_a_strong_pull_stays_near_the_fixed_metric() -> None:
    z, rows = telling(40)
    pairs = Pairs.of(z, rows, np.arange(40))
    free, held = (fitted(pairs, strength, np.zeros(8)) for strength in (0.03, 300.0))
    assert np.abs(held).max() < 0.05 < np.abs(free).max()


def test_where_nothing_is_learned_it_is_nearest() -> None:
    view = example()
    ours, near = (
        recommenders.make(n).fit(view.without(["d0"])) for n in ("learned_similarity", "nearest")
    )
    assert isinstance(ours, LearnedSimilarity)
    assert (ours.importance == 1).all()
    found, expected = ours.recommend("d0", n=9), near.recommend("d0", n=9)
    assert [r.config for r in found] == [r.config for r in expected]
    assert [r.value for r in found] == pytest.approx([r.value for r in expected])


def test_it_recommends_by_what_tells() -> None:
    z, scores = telling(60)
    view = small_view(scores, meta=z)
    ours, near = (recommenders.make(n).fit(view) for n in ("learned_similarity", "nearest"))
    lost = []
    for one in (ours, near):
        regret = []
        for seed in range(20):
            asked, truth = telling(1, seed + 100)
            task = recommenders.AskedTask("new", asked[0])
            best = one.recommend(task)[0].config["c"]
            regret.append(truth[0].max() - truth[0, best])
        lost.append(np.mean(regret))
    assert lost[0] < lost[1]


def test_it_learns_from_a_real_table_and_says_the_same_again(
    realdata: Callable[[str], Path],
) -> None:
    view = view_from_parquet(
        realdata("openml_pimp/runs_random_forest.parquet"),
        "predictive_accuracy",
        realdata("openml_pimp/metafeatures.parquet"),
    )
    past = Past.of(view)
    first, second = (LearnedSimilarity().fit_past(past).importance for _ in range(2))
    assert first.tolist() == second.tolist()
    assert (first > 0).all()
    assert first.max() > 1.2
    assert first.min() < 0.8


def test_rows_are_exponential_scores_of_ranks() -> None:
    past = Past.of(small_view([[0.1, 0.9, 0.5, 0.5]]))
    quantiles = np.array([3.5, 0.5, 2.0, 2.0]) / 4
    assert told(past)[0] == pytest.approx(-np.log(quantiles))


def test_near_duplicates_do_not_speak_for_each_other() -> None:
    z = np.random.default_rng(0).normal(size=(D, P))
    allowed = Pairs.of(z, z, GROUPS).allowed
    assert (allowed == (GROUPS[:, None] != GROUPS)).all()
