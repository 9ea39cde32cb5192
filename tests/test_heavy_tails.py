"""Scores that diverged: bounded metrics are left alone, and how far away they are says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recommenders
from metastore.types import Observation, RunStatus
from metastore.view import View
from recommenders.backtest import backtest
from recommenders.heavy_tails import FURTHEST, telling, tempered, without_tails
from recommenders.scores import Past
from tests.views import small_view, view_from_parquet

D, P = 12, 20


@given(st.lists(st.floats(-1e18, 1e3), min_size=3, max_size=30))
def test_the_best_and_their_order_stay(values: list[float]) -> None:
    scores = np.array(values)
    found = tempered(scores)
    middle = np.median(scores)
    assert found.max() == scores.max()
    assert (found >= scores).all()
    assert (found[scores >= middle] == scores[scores >= middle]).all()
    assert (np.diff(found[np.argsort(scores)]) >= 0).all()
    if middle < scores.max():
        furthest = middle - FURTHEST * (scores.max() - middle)
        assert found.min() == pytest.approx(max(scores.min(), furthest))


def test_what_is_left_where_half_of_the_scores_are_the_best() -> None:
    assert tempered(np.array([1.0, 1.0, 1.0, 0.9, -1e9])).min() == pytest.approx(
        0.9 - FURTHEST * 0.1
    )
    assert tempered(np.array([1.0, 1.0, 1.0])).tolist() == [1.0, 1.0, 1.0]
    assert tempered(np.array([1.0, -1e9])).tolist() == [1.0, -1e9]


def losses(diverged: float, unit: float = 1.0) -> View:
    """Losses of D datasets, on each of which some configs diverged, or none if that is 0."""
    rng = np.random.default_rng(0)
    scores = -unit * (2 + rng.normal(size=P) + 0.3 * rng.normal(size=(D, P)))
    if diverged:
        scores[:, :3] = -diverged * (1 + rng.random((D, 3)))
    return replace(small_view(scores), higher_is_better=False)


@pytest.mark.parametrize("name", ["portfolio", "nearest", "empirical_bayes", "auto"])
def test_how_far_a_run_diverged_says_nothing(name: str) -> None:
    found = []
    for diverged in (1e6, 1e18):
        view = losses(diverged)
        one = recommenders.make(name).fit(view.without(["d0"]))
        pool = [(view.algorithm(c), view.config(c)) for c in range(P)]
        seen = [Observation(*pool[c], -float(view.matrix()[0, c])) for c in (0, 5, 6, 7)]
        found.append([r.config for r in one.recommend("d0", seen, n=5, candidates=pool)])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["nearest", "empirical_bayes", "auto"])
@pytest.mark.parametrize("others", [(), (5,), (5, 6)])
@pytest.mark.parametrize(
    "view",
    [
        pytest.param(losses(1e12), id="past ones too"),
        pytest.param(losses(1e12, 0.02), id="the others far below 1"),
        pytest.param(losses(0, 0.02), id="the first one ever"),
    ],
)
def test_a_run_that_diverged_is_a_run_that_failed(
    name: str, others: tuple[int, ...], view: View
) -> None:
    """Beside others; a lone one may be in units of its own, and says nothing."""
    one = recommenders.make(name).fit(view.without(["d0"]))
    pool = [(view.algorithm(c), view.config(c)) for c in range(P)]
    seen = [Observation(*pool[c], -float(view.matrix()[0, c])) for c in others]
    diverged = Observation(*pool[0], 3e12)
    failed = Observation(*pool[0], None, RunStatus.FAILED if others else RunStatus.CRASHED)
    found = [one.recommend("d0", [*seen, bad], n=3, candidates=pool) for bad in (diverged, failed)]
    assert [r.config for r in found[0]] == [r.config for r in found[1]]
    assert [r.evidence.risk > 0 for r in found[0]] == [bool(others)] * 3


def test_scores_in_units_of_their_own_still_tell() -> None:
    best, spread = np.array([-1.0, -2.0]), np.array([3.0, 5.0])
    told, level = telling(np.array([-1e6, -1e6 - 2, -1e6 - 4]), best, spread)
    assert told.tolist() == [True, True, True]
    assert not level
    assert telling(np.array([-1e6]), best, spread)[0].tolist() == [False]
    assert telling(np.array([-2.0, -1e6]), best, spread)[0].tolist() == [True, False]
    assert telling(np.array([-2.0]), best, spread)[1]


def test_a_bounded_metric_is_left_as_it_is() -> None:
    rng = np.random.default_rng(1)
    accuracy = small_view(rng.random((D, P)))
    assert without_tails(accuracy) is accuracy
    errors = replace(small_view(-rng.random((D, P))), higher_is_better=False)
    assert without_tails(errors) is errors
    r2 = small_view(np.where(rng.random((D, P)) < 0.1, -1e5, rng.random((D, P))))
    assert without_tails(r2).cell_score.min() > -FURTHEST - 1


@pytest.mark.parametrize("unit", [1.0, 0.02])
def test_evidence_has_the_number_that_was_recorded(unit: float) -> None:
    view = losses(1e9, unit)
    past = Past.of(view)
    keys = past.keys_of(np.arange(P))
    table = past.table(tuple(keys))
    for at in (0, 4):
        row = past.datasets.index(f"d{at}")
        for column in (0, 9):
            found = past.value(row, keys[column], float(table.regret[row, column]))
            assert found == pytest.approx(-float(view.matrix()[at, column]))
    assert past.value(0, keys[0], 1.0) >= 1e9


def test_diverged_text_networks_do_not_hide_the_good_ones(realdata) -> None:
    """12 tasks of real training losses from 0.1 to 1e18, 1000 configs each."""
    view = view_from_parquet(realdata("taskset_curves/runs.parquet"), "final_valid_loss")
    assert view.cell_score.min() < -1e16
    found = backtest(view, ["empirical_bayes"], budget=10, jobs=1)
    ranks = []
    for name, path in zip(found.datasets, found.measured[0].regret, strict=True):
        past = Past.of(view)
        row = past.datasets.index(name)
        _, regrets = past.own(row)
        ranks.append((regrets < path[9] - 1e-12).mean())
    assert np.mean(ranks) < 0.002
