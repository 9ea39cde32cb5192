"""The deep-kernel recommender: what it learns, keeps, and does without."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import recommenders
from metastore.errors import InvalidInputError
from metastore.types import Observation
from recommenders.deep_kernel import DeepKernelSearch
from recommenders.deep_surrogate import RescaledRuns, train
from recommenders.surrogate_training import Plan, forget_older
from tests.views import small_view

torch = pytest.importorskip("torch")


def wave(peak: float) -> np.ndarray:
    return np.exp(-((np.arange(40) - peak) ** 2) / 50)


def tables() -> list[tuple[np.ndarray, np.ndarray]]:
    points = np.linspace(0, 1, 40)[:, None]
    return [(points, wave(peak)) for peak in np.linspace(4, 36, 9)]


def plan(cache: Path | None = None, iterations: int = 60) -> Plan:
    return Plan(iterations, 0, "cpu", cache, progress=False)


def test_the_learned_process_predicts_a_new_dataset_from_a_few_runs() -> None:
    surrogate = train(tables(), plan(iterations=250))
    points, truth = np.linspace(0, 1, 40)[:, None], wave(17.5)
    seen = [2, 10, 17, 25, 33]
    mean, deviation = surrogate.adapted(points[seen], truth[seen], 5)(
        points[seen], truth[seen], points
    )
    assert np.abs(mean - truth).mean() < 0.05
    assert (deviation > 0).all()
    assert deviation[seen].mean() < deviation.mean()


def test_scores_on_another_scale_give_the_same_forecast_on_that_scale() -> None:
    surrogate = train(tables(), plan())
    points, truth, seen = np.linspace(0, 1, 40)[:, None], wave(17.5), [2, 17, 33]
    found = [
        surrogate.adapted(points[seen], y[seen], 3)(points[seen], y[seen], points)
        for y in (truth, 100 * truth - 7)
    ]
    np.testing.assert_allclose(100 * found[0][0] - 7, found[1][0], rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(100 * found[0][1], found[1][1], rtol=1e-3)


def test_episodes_have_random_scales_and_depend_on_their_number_alone() -> None:
    data = [(torch.tensor(x).float(), torch.tensor(y).float()) for x, y in tables()]
    sampler = RescaledRuns(data, 3)
    one, again, other = sampler.sample(5, 8), sampler.sample(5, 8), sampler.sample(6, 8)
    assert torch.equal(one.support.y, again.support.y)
    assert not torch.equal(one.support.y, other.support.y)
    tops = one.support.y.amax(dim=(1, 2))
    assert tops.min() < 2 < tops.max() or len(set(tops.tolist())) == 8
    rows = (one.support.mask.sum(1) + one.query.mask.sum(1)).tolist()
    assert rows == [40] * 8


def test_what_was_learned_is_kept_by_what_it_was_learned_from(tmp_path: Path) -> None:
    first = train(tables(), plan(tmp_path, 30))
    (kept,) = tmp_path.glob("*.json")
    before = kept.stat().st_mtime_ns
    second = train(tables(), plan(tmp_path, 30))
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    assert kept.stat().st_mtime_ns == before
    train(tables()[1:], plan(tmp_path, 30))
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_of_what_was_learned_the_newest_is_kept(tmp_path: Path) -> None:
    view, other = tmp_path / "maml-0f.json", tmp_path / "maml-0f.1a.safetensors"
    for part in (view, other):
        part.touch()
    runs = np.random.default_rng(0).random((3, 12, 2))
    pasts = [[(points, (points**2).sum(axis=1))] for points in runs]
    plan = Plan(iterations=1, cache=tmp_path)
    for past in pasts:
        train(past, plan)
    paths = sorted(tmp_path.glob("deep-kernel-*.json"), key=lambda one: one.stat().st_mtime)
    assert len(paths) == 3
    forget_older(paths[0], 2)
    left = {one.name.partition(".")[0] for one in tmp_path.glob("deep-kernel-*")}
    assert left == {paths[0].stem, paths[2].stem}
    assert len(list(tmp_path.glob("deep-kernel-*.safetensors"))) == 2
    assert view.exists()
    assert other.exists()
    train(pasts[0], plan)


def test_it_finds_the_peak_of_a_dataset_unlike_the_others() -> None:
    view = small_view([wave(8 + k % 3) for k in range(9)])
    one = DeepKernelSearch(iterations=100).fit(view)
    seen: list[int] = []
    for _ in range(12):
        told = [Observation("a", {"c": c}, float(wave(31)[c])) for c in seen]
        seen.append(one.recommend(recommenders.AskedTask("new"), told)[0].config["c"])
    assert min(abs(c - 31) for c in seen) <= 2


def test_several_at_once_differ_from_each_other() -> None:
    view = small_view([wave(peak) for peak in (5.0, 12.0, 20.0, 30.0)])
    one = DeepKernelSearch(iterations=100).fit(view)
    told = [Observation("a", {"c": c}, float(wave(17)[c])) for c in (3, 20)]
    found = [r.config["c"] for r in one.recommend(recommenders.AskedTask("new"), told, n=4)]
    assert len(set(found)) == 4
    assert max(found) - min(found) >= 3


def test_steps_must_not_be_negative() -> None:
    with pytest.raises(InvalidInputError, match="fine_tune"):
        DeepKernelSearch(fine_tune=-1)


def test_without_torch_every_question_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "recommenders.deep_surrogate", None)
    one = DeepKernelSearch().fit(small_view([wave(peak) for peak in (5.0, 12.0, 20.0)]))
    told = [Observation("a", {"c": 3}, 0.5)]
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="install headstart"):
            one.recommend(recommenders.AskedTask("new"), told)
