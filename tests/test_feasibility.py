"""What observed failures say of configs that did not run yet."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metastore.view import View
from recommenders.feasibility import (
    ANYWHERE,
    IN_REGION,
    MEETINGS,
    MOST_REGIONS,
    NO_RULE,
    OUTSIDE,
    chances,
    hopeless,
)
from recommenders.scores import Past, Table
from recommenders.sessions import slowness
from tests.views import small_view


def likelihood(prior: tuple[float, float], failed: int, ran: int) -> float:
    """The probability of a sequence, one run after the other (Polya's urn)."""
    bad, fine = prior
    p = 1.0
    for _ in range(failed):
        p *= bad / (bad + fine)
        bad += 1
    for _ in range(ran):
        p *= fine / (bad + fine)
        fine += 1
    return p


def one_by_one(points: np.ndarray, ran: list[int], failed: list[int]) -> np.ndarray:
    """Average every rule in turn, from the definition."""
    regions = []
    for column in range(points.shape[1]):
        values = np.unique(points[:, column])
        ends = [(a + b) / 2 for a, b in itertools.pairwise(values)]
        regions += [(column, end, up) for end in ends for up in (True, False)]
    count = {c: sum(r[0] == c for r in regions) for c, *_ in regions}
    live = len(count)

    def inside(config: int, *some: tuple[int, float, bool]) -> bool:
        return all((points[config, c] > end) == up for c, end, up in some)

    def rate(prior: tuple[float, float], bad: int, fine: int) -> float:
        return (prior[0] + bad) / (sum(prior) + bad + fine)

    found = [
        (
            NO_RULE * likelihood(ANYWHERE, len(failed), len(ran)),
            [rate(ANYWHERE, len(failed), len(ran))] * len(points),
        )
    ]
    for first, second in itertools.product(regions, regions):
        if first == second:
            prior = (1 - MEETINGS) / (live * count[first[0]])
        else:
            prior = MEETINGS / (live * count[first[0]]) / (live * count[second[0]])
        bad = sum(inside(c, first, second) for c in failed)
        fine = sum(inside(c, first, second) for c in ran)
        bad_out, fine_out = len(failed) - bad, len(ran) - fine
        weight = likelihood(IN_REGION, bad, fine) * likelihood(OUTSIDE, bad_out, fine_out)
        rates = rate(IN_REGION, bad, fine), rate(OUTSIDE, bad_out, fine_out)
        expected = [rates[not inside(c, first, second)] for c in range(len(points))]
        found.append(((1 - NO_RULE) * prior * weight, expected))
    weights = np.array([weight for weight, _ in found])
    return 1 - weights @ np.array([rates for _, rates in found]) / weights.sum()


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3))
def test_as_every_rule_in_turn(seed: int, d: int, ran: int, failed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 4, (8, d)) / 3
    order = np.random.default_rng(seed + 1).permutation(8)
    fine, bad = order[:ran], order[ran : ran + failed]
    expected = one_by_one(points, fine.tolist(), bad.tolist())
    assert chances(points, fine, bad) == pytest.approx(expected, rel=1e-9)


def test_the_prior_of_all_rules_adds_up() -> None:
    """Without any observed run all rules together say what their priors do."""
    points = np.random.default_rng(0).random((30, 3))
    nothing = np.empty(0, np.int64)
    low, high = (p[0] / sum(p) for p in (OUTSIDE, IN_REGION))
    fails = 1 - chances(points, nothing, nothing)
    assert (fails > NO_RULE * ANYWHERE[0] / sum(ANYWHERE) + (1 - NO_RULE) * low).all()
    assert (fails < NO_RULE * ANYWHERE[0] / sum(ANYWHERE) + (1 - NO_RULE) * high).all()


def test_a_category_that_fails_is_told_from_one_that_does_not() -> None:
    rng = np.random.default_rng(1)
    kernel, rest = rng.random(60) < 0.5, rng.random((60, 4))
    points = np.column_stack([kernel, rest])
    bad, fine = np.flatnonzero(kernel), np.flatnonzero(~kernel)
    found = chances(points, fine[:3], bad[:3])
    assert found[bad].max() < 0.35
    assert found[fine].min() > 0.7


def test_an_end_of_an_interval_that_fails() -> None:
    points = np.column_stack([np.linspace(0, 1, 41), np.tile([0.0, 1.0], 21)[:41]])
    found = chances(points, np.array([0, 9, 14]), np.array([24, 33, 40]))
    assert (np.diff(found[::2]) <= 1e-12).all()  # likelier to fail, the higher
    assert found[:12].min() > 0.8
    assert found[28:].max() < 0.25


def test_two_conditions_that_fail_together_alone() -> None:
    kernel, c = (part.ravel() for part in np.meshgrid([0.0, 1.0], np.linspace(0, 1, 20)))
    points = np.column_stack([kernel, c])
    truth = (kernel == 1) & (c > 0.5)
    tried = np.random.default_rng(2).permutation(40)[:16]
    found = chances(points, tried[~truth[tried]], tried[truth[tried]])
    assert found[truth].mean() < 0.25
    assert found[(kernel == 0) & (c > 0.5)].mean() > 0.7
    assert found[(kernel == 1) & (c < 0.5)].mean() > 0.6


def test_all_that_was_tried_failed() -> None:
    """What is unlike the failed ones is the hope that is left."""
    points = np.column_stack([np.linspace(0, 1, 21), np.zeros(21)])
    found = chances(points, np.empty(0, np.int64), np.array([18, 19, 20]))
    assert (np.diff(found) <= 1e-12).all()
    assert found[0] > 2 * found[17]


def test_failures_without_any_pattern_say_little() -> None:
    rng = np.random.default_rng(3)
    points, order = rng.random((300, 5)), rng.permutation(300)
    found = chances(points, order[:75], order[75:100])
    assert found.mean() == pytest.approx(0.75, abs=0.06)
    assert found.std() < 0.1


def test_which_came_first_and_configs_beside_change_nothing() -> None:
    rng = np.random.default_rng(4)
    points = rng.integers(0, 5, (40, 3)) / 4
    ran, failed = np.array([1, 5, 9]), np.array([2, 7])
    found = chances(points, ran, failed)
    assert chances(points, ran[::-1], failed[::-1]) == pytest.approx(found)
    twice = np.concatenate([points, points[:10]])
    assert chances(twice, ran, failed)[:40] == pytest.approx(found)
    assert chances(points[:, ::-1], ran, failed) == pytest.approx(found)


def test_without_columns_and_with_very_many() -> None:
    ran, failed = np.array([0]), np.array([1, 2])
    rate = (ANYWHERE[0] + 2) / (sum(ANYWHERE) + 3)
    for points in (np.empty((5, 0)), np.ones((5, 2))):
        assert chances(points, ran, failed) == pytest.approx(np.full(5, 1 - rate))
    wide = np.random.default_rng(5).integers(0, 2, (50, MOST_REGIONS)).astype(float)
    wide[:, 123] = np.arange(50) % 2
    bad, fine = np.arange(1, 30, 2), np.arange(0, 30, 2)
    found = chances(wide, fine, bad)
    assert found[31::2].max() < 0.2
    assert found[30::2].min() > 0.8


@given(st.integers(0, 1_000))
def test_a_probability(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, d = int(rng.integers(2, 60)), int(rng.integers(0, 6))
    points, order = rng.random((count, d)).round(1), rng.permutation(count)
    ran = int(rng.integers(0, count))
    found = chances(points, order[:ran], order[ran:])
    assert found.shape == (count,)
    assert ((found > 0) & (found < 1)).all()
    assert not math.isnan(float(found.sum()))


def test_what_is_hopeless_is_so_beside_the_likeliest_that_is_open() -> None:
    chance = np.array([0.9, 0.2, 0.17, 0.01])
    assert hopeless(chance, np.array([False] * 4)).tolist() == [False, False, True, True]
    assert hopeless(chance, np.array([True, True, False, False])).tolist() == [False] * 3 + [True]
    assert hopeless(chance, np.array([True] * 4)).tolist() == [False] * 4


def timed(seconds: np.ndarray) -> Table:
    """A table of a past in which configs took so long, NaN where unknown."""
    view: View = small_view(np.random.default_rng(0).random(seconds.shape))
    return Past.of(replace(view, cell_seconds=seconds.ravel())).default_pool


def test_how_much_slower_configs_are_beside_others() -> None:
    base = np.array([1.0, 10.0, 100.0])
    every = np.outer([1.0, 7.0, 0.01], base)
    weights = np.array([0.5, 0.3, 0.2])
    expected = np.log(base) - np.log(base).mean()
    order = [int(text[5:-1]) for _, text in timed(every).keys]
    assert slowness(timed(every), weights) == pytest.approx(expected[order])
    every[1, 0] = np.nan
    found = slowness(timed(every), np.array([0.0, 1.0, 0.0]))
    rest = np.log([10.0, 100.0])
    assert found[order.index(0)] == 0
    assert found[order.index(2)] == pytest.approx(rest[1] - rest.mean())
    assert slowness(timed(np.full((3, 3), np.nan)), weights).tolist() == [0, 0, 0]
