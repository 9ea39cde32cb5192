"""Quantile copula: normal scores, slopes against finite differences, what the prior learns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recommenders
from metastore.types import Observation
from recommenders.copula import Copula, Network, loss_and_slopes, normal_scores
from tests.views import small_view


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30))
def test_normal_scores_depend_on_ranks_alone(values: list[int]) -> None:
    scores = np.array(values, dtype=np.float64)
    z = normal_scores(scores)
    np.testing.assert_array_equal(z, normal_scores(np.exp(scores / 10)))
    np.testing.assert_allclose(z, -normal_scores(-scores), atol=1e-9)
    assert (np.diff(z[np.argsort(scores, kind="stable")]) >= 0).all()
    assert np.isfinite(z).all()


def test_slopes_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    flat = [rng.normal(size=s) for s in ((3, 5), (5,), (5, 2), (2,))]
    inputs, targets = rng.normal(size=(11, 3)), rng.normal(size=11)

    def loss(parts: list[np.ndarray]) -> float:
        return loss_and_slopes(tuple(zip(parts[::2], parts[1::2], strict=True)), inputs, targets)[0]

    _, slopes = loss_and_slopes(tuple(zip(flat[::2], flat[1::2], strict=True)), inputs, targets)
    for i, part in enumerate(flat):
        for at in np.ndindex(part.shape):
            moved = [[p.copy() for p in flat] for _ in range(2)]
            moved[0][i][at] += 1e-6
            moved[1][i][at] -= 1e-6
            numeric = (loss(moved[0]) - loss(moved[1])) / 2e-6
            assert slopes[i][at] == pytest.approx(numeric, abs=1e-6)


def test_the_network_learns_mean_and_deviation() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (8_000, 1))
    y = np.sin(3 * x[:, 0]) + (0.4 + 0.4 * (x[:, 0] > 0)) * rng.standard_normal(len(x))
    mean, deviation = Network.fit(x, y, seed=0)(np.array([[-0.5], [0.5]]))
    np.testing.assert_allclose(mean, np.sin([-1.5, 1.5]), atol=0.1)
    np.testing.assert_allclose(deviation, [0.4, 0.8], atol=0.07)


def wave(peak: float) -> np.ndarray:
    return np.exp(-((np.arange(40) - peak) ** 2) / 50)


def test_meta_features_move_the_first_config() -> None:
    peaks = np.linspace(4, 36, 17)
    view = small_view([wave(p) for p in peaks], meta=peaks[:, None])
    for dataset, near in (("d1", peaks[1]), ("d15", peaks[15])):
        (found,) = Copula().fit(view.without([dataset])).recommend(dataset)
        assert abs(found.config["c"] - near) <= 6
    blind = [Copula(meta=False).fit(view.without(["d1"])).recommend(d)[0] for d in ("d1", "d15")]
    assert blind[0].config == blind[1].config


def test_the_process_leaves_a_prior_that_is_wrong_and_sampling_does_not() -> None:
    view = small_view([wave(8 + k % 3) for k in range(9)])
    best = {}
    for thompson in (False, True):
        one = Copula(thompson=thompson).fit(view)
        seen: list[int] = []
        for _ in range(12):
            told = [Observation("a", {"c": c}, float(wave(31)[c])) for c in seen]
            seen.append(one.recommend(recommenders.AskedTask("new"), told)[0].config["c"])
        best[thompson] = min(abs(c - 31) for c in seen)
    assert best[False] <= 2
    assert best[True] > best[False]
