"""The recommender whose network MAML trained: what it learns, keeps, and does without."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import recommenders
from metastore.errors import InvalidInputError
from metastore.types import Observation
from recommenders.gradient_search import GradientSearch
from tests.test_deep_kernel_search import plan, tables, wave
from tests.views import small_view

torch = pytest.importorskip("torch")
surrogates = pytest.importorskip("recommenders.gradient_surrogate")


def test_a_few_steps_adapt_the_network_to_a_new_dataset() -> None:
    surrogate = surrogates.train(tables(), plan(iterations=300))
    points, truth = np.linspace(0, 1, 40)[:, None], wave(17.5)
    seen = [2, 8, 12, 15, 17, 20, 25, 30, 33, 38]
    mean, deviation = surrogate.adapted(points[seen], truth[seen], 20)(
        points[seen], truth[seen], points
    )
    untrained = surrogates.train(tables(), plan(iterations=1))
    before, _ = untrained.adapted(points[seen], truth[seen], 20)(points[seen], truth[seen], points)
    error = np.abs(mean - truth).mean()
    assert error < 0.2
    assert error < 0.8 * np.abs(before - truth).mean()
    assert (deviation == deviation[0]).all() and deviation[0] > 0


def test_scores_on_another_scale_give_the_same_forecast_on_that_scale() -> None:
    surrogate = surrogates.train(tables(), plan(iterations=20))
    points, truth, seen = np.linspace(0, 1, 40)[:, None], wave(17.5), [2, 17, 33]
    found = [
        surrogate.adapted(points[seen], y[seen], 3)(points[seen], y[seen], points)
        for y in (truth, 100 * truth - 7)
    ]
    np.testing.assert_allclose(100 * found[0][0] - 7, found[1][0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(100 * found[0][1], found[1][1], rtol=1e-6)


def test_episodes_stand_on_the_scale_of_their_support_set() -> None:
    data = [(torch.tensor(x).float(), torch.tensor(y).float()) for x, y in tables()]
    sampler = surrogates.StandardisedRuns(data, 3)
    batch = sampler.sample(5, 64)
    assert torch.equal(batch.support.y, sampler.sample(5, 64).support.y)
    sizes = batch.support.mask.sum(1)
    assert sizes.min() <= 2 and sizes.max() >= 15
    for y, mask in zip(batch.support.y[..., 0], batch.support.mask, strict=True):
        real = y[mask]
        if len(real) > 3 and float(real.abs().max()) < surrogates.FURTHEST:
            assert float(real.mean()) == pytest.approx(0, abs=1e-4)
            assert float(real.std(unbiased=False)) <= 1 + 1e-4
    assert float(batch.query.y.abs().max()) <= surrogates.FURTHEST


def test_what_was_learned_is_kept_by_what_it_was_learned_from(tmp_path: Path) -> None:
    first = surrogates.train(tables(), plan(tmp_path, 10))
    (kept,) = tmp_path.glob("maml-*.json")
    before = kept.stat().st_mtime_ns
    second = surrogates.train(tables(), plan(tmp_path, 10))
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    assert first.error == second.error
    assert kept.stat().st_mtime_ns == before
    surrogates.train(tables()[1:], plan(tmp_path, 10))
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_it_finds_the_peak_of_a_new_dataset() -> None:
    view = small_view([wave(peak) for peak in (4.0, 9.0, 14.0, 19.0, 24.0, 29.0, 34.0)])
    one = GradientSearch(iterations=200).fit(view)
    seen: list[int] = []
    for _ in range(10):
        told = [Observation("a", {"c": c}, float(wave(27)[c])) for c in seen]
        seen.append(one.recommend(recommenders.AskedTask("new"), told)[0].config["c"])
    assert min(abs(c - 27) for c in seen) <= 1


def test_without_torch_every_question_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "recommenders.gradient_surrogate", None)
    one = GradientSearch().fit(small_view([wave(peak) for peak in (5.0, 12.0, 20.0)]))
    told = [Observation("a", {"c": 3}, 0.5)]
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="'maml' needs torch"):
            one.recommend(recommenders.AskedTask("new"), told)
