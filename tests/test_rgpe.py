"""RGPE: losses against their definition, weights, and whom it listens to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import recommenders
from metastore.types import Observation
from recommenders.posteriors import Posterior
from recommenders.rgpe import RGPE, _drawn, left_out_loss, ranking_loss, weigh
from tests.views import small_view


def misranked(sample: np.ndarray, target: np.ndarray) -> int:
    k = len(target)
    return sum(
        (sample[i] < sample[j]) != (target[i] < target[j]) for i in range(k) for j in range(k)
    )


@given(
    st.integers(2, 6).flatmap(
        lambda k: st.tuples(
            arrays(np.float64, (3, k), elements=st.integers(0, 5)),
            arrays(np.float64, k, elements=st.integers(0, 5)),
        )
    )
)
def test_the_ranking_loss_counts_pairs(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    samples, target = drawn
    assert ranking_loss(samples, target).tolist() == [misranked(s, target) for s in samples]


def test_left_out_losses_are_those_of_processes_fitted_without_the_point() -> None:
    rng = np.random.default_rng(2)
    points = rng.random((7, 2))
    target = points @ np.array([1.0, -0.5]) + 0.1 * rng.standard_normal(7)
    target = (target - target.mean()) / target.std()
    own = Posterior.fit(points, target)
    noise = rng.standard_normal((64, 7))
    expected = np.zeros(64)
    for i in range(7):
        kept = np.arange(7) != i
        gram = own.kernel(points) + own.noise * np.eye(7)
        cross = own.kernel(points)[:, kept]
        solved = np.linalg.solve(gram[np.ix_(kept, kept)], cross.T)
        mean = solved.T @ target[kept]
        covariance = own.variance * (own.kernel(points) - cross @ solved)
        samples = _drawn(mean, covariance, noise)
        expected += [
            sum((s[i] < s[j]) != (target[i] < target[j]) for j in range(7)) for s in samples
        ]
    found = left_out_loss(own, points, target, noise)
    # Rounding may turn a sample or two around at a tie.
    assert np.abs(found - expected).sum() <= 4
    assert found.mean() > 1


@given(
    arrays(np.float64, (4, 9), elements=st.integers(0, 20)),
    arrays(np.float64, 9, elements=st.integers(0, 20)),
)
def test_weights_add_up_and_useless_processes_get_none(losses: np.ndarray, own: np.ndarray) -> None:
    weights = weigh(losses, own)
    assert weights.shape == (5,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    useless = np.median(losses, axis=1) > np.quantile(own, 0.95)
    assert not weights[:-1][useless].any()


def told(scores: np.ndarray, configs: list[int]) -> list[Observation]:
    return [Observation("a", {"c": c}, float(scores[c])) for c in configs]


def test_it_listens_to_the_dataset_that_ranks_alike() -> None:
    c = np.arange(40.0)
    like, unlike, flat = -((c - 10) ** 2), (c - 10) ** 2, np.sin(c)
    view = small_view([like, unlike, flat, 0.5 * like + 3])
    new = 7 * like - 100
    one = recommenders.make("rgpe").fit(view)
    (found,) = one.recommend(recommenders.AskedTask("new"), told(new, [0, 5, 20, 30, 39]))
    weights = {n.dataset: n.weight for n in found.evidence.neighbours}
    assert weights["d0"] + weights["d3"] > 0.9
    assert abs(found.config["c"] - 10) <= 2


def test_past_that_misleads_is_let_go() -> None:
    c = np.arange(40.0)
    new = -((c - 33) ** 2)
    one = RGPE().fit(small_view([-new + k for k in range(3)]))
    seen: list[int] = []
    for _ in range(10):
        (found,) = one.recommend(recommenders.AskedTask("new"), told(new, seen))
        seen.append(found.config["c"])
    assert abs(seen[0] - 33) > 10, "the past should mislead at first"
    assert min(abs(s - 33) for s in seen) <= 1
