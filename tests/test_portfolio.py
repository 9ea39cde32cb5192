"""Greedy coverage: equal to its definition, near the best set, and exact on real tables."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import recommenders
from recommenders.coverage import cover
from tests.views import small_view


def slow_cover(regret: np.ndarray, weights: np.ndarray, n: int) -> list[int]:
    """The definition: at each step the config that lowers the weighted mean the most."""
    chosen: list[int] = []
    for _ in range(n):
        best = None
        for config in range(regret.shape[1]):
            if config in chosen:
                continue
            path = regret[:, [*chosen, config]].min(axis=1)
            value = (
                round(float(weights @ path), 10),
                round(float(weights @ regret[:, config]), 10),
            )
            if best is None or value < best[0]:
                best = (value, config)
        assert best is not None
        chosen.append(best[1])
    return chosen


def loss(regret: np.ndarray, weights: np.ndarray, configs: list[int]) -> float:
    return float(weights @ regret[:, configs].min(axis=1))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 7))
@example(2840, 2, 7)  # two configs whose mean regrets differ in the last bit
def test_lazy_greedy_is_greedy(seed: int, n_datasets: int, n_configs: int) -> None:
    rng = np.random.default_rng(seed)
    regret = rng.integers(0, 5, (n_datasets, n_configs)) / 4
    weights = rng.dirichlet(np.ones(n_datasets))
    found = cover(regret, weights, n_configs, np.ones(n_configs, bool)).tolist()
    assert found == slow_cover(regret, weights, n_configs)


def test_lazy_greedy_is_greedy_over_several_chunks() -> None:
    rng = np.random.default_rng(0)
    regret, weights = rng.random((20, 300)) ** 2, rng.dirichlet(np.ones(20))
    found = cover(regret, weights, 12, np.ones(300, bool)).tolist()
    assert found == slow_cover(regret, weights, 12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_gain_is_within_the_submodular_bound_of_the_best_set(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    regret, weights = rng.random((6, 8)), rng.dirichlet(np.ones(6))
    best = min(loss(regret, weights, list(c)) for c in combinations(range(8), n))
    found = loss(regret, weights, cover(regret, weights, n, np.ones(8, bool)).tolist())
    assert 1 - found >= (1 - 1 / np.e) * (1 - best) - 1e-12
    if n == 1:
        assert found == pytest.approx(best)


def test_what_was_reached_needs_no_cover() -> None:
    regret = np.array([[0.0, 0.9, 0.1], [0.8, 0.1, 0.3]])
    weights, pickable = np.array([0.5, 0.5]), np.array([False, True, True])
    assert cover(regret, weights, 2, pickable, reached=regret[:, 0]).tolist() == [1, 2]


def test_datasets_of_no_weight_say_nothing() -> None:
    rng = np.random.default_rng(1)
    regret = rng.random((6, 9))
    weights = np.array([0.2, 0.0, 0.5, 0.3, 0.0, 0.0])
    kept = weights > 0
    everything = np.ones(9, bool)
    expected = cover(regret[kept], weights[kept], 9, everything).tolist()
    assert cover(regret, weights, 9, everything).tolist() == expected


def test_portfolio_goes_on_where_the_observed_configs_left_off() -> None:
    rng = np.random.default_rng(2)
    view = small_view(rng.random((7, 10)))
    one = recommenders.make("portfolio").fit(view.without(["d0"]))
    plan = one.recommend("d0", n=5)
    observed = [recommenders.Observation(r.algorithm, r.config, 0.5) for r in plan[:2]]
    rest = one.recommend("d0", observed, n=3)
    assert [r.config for r in rest] == [r.config for r in plan[2:]]
