"""The ranker's network: what it learns, keeps and resumes; which of the two models leads."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import recommenders
from metastore.errors import InvalidInputError, MissingDependencyError
from metastore.view import FloatArray
from recommenders.moved_rows import LeftOut, Ranking, left_out
from recommenders.own_pools import left_out_rows
from recommenders.rank_choice import LIGHTGBM, NETWORK, Wanted, leader
from recommenders.rank_model import Lists
from recommenders.ranker import FEWEST_GROUPS, Ranker
from recommenders.recommender import AskedTask
from tests.contracts.recommender_contract import (
    MakeOne,
    RecommenderContract,
    example,
    observations,
)
from tests.processes import python
from tests.test_ranker import C, D, turning
from tests.views import small_view

torch = pytest.importorskip("torch")

from recommenders.rank_network import RUNS, Drawn, learn  # noqa: E402 - needs torch
from recommenders.surrogate_training import Plan, tensors  # noqa: E402

SIDES = np.array([[0.0, 1.5, 0.0], [0.0, -1.5, 0.0]])


class TestContract(RecommenderContract):
    @pytest.fixture
    def make_one(self) -> MakeOne:
        return lambda: recommenders.make("ranker", seed=4, model="network", iterations=5)


def lists_of_turning() -> tuple[Lists, FloatArray]:
    meta, scores = turning()
    points = np.linspace(0, 1, C)[:, None]
    return Lists([points] * D, list(scores.max(axis=1, keepdims=True) - scores), meta), points


def test_it_ranks_by_configs_and_meta_features() -> None:
    lists, points = lists_of_turning()
    every = np.arange(D)
    model = learn(lists, every, Plan())
    found = model.scores(points, SIDES)
    assert found.shape == (2, C)
    assert found.argmax(axis=1).tolist() == pytest.approx([20, 3], abs=3)
    again = learn(lists, every, Plan()).scores(points, SIDES)
    assert again.tolist() == found.tolist()
    assert learn(lists, every, Plan(seed=1)).scores(points, SIDES).tolist() != found.tolist()
    alone = model.scores(points[4:7], SIDES[:1])
    assert alone[0].tolist() == found[0, 4:7].tolist()


def test_a_missing_meta_feature_counts_as_the_median() -> None:
    lists, points = lists_of_turning()
    model = learn(lists, np.arange(D), Plan(5))
    asked = np.array([[0.3, np.nan, -0.2], [0.3, 0.0, -0.2]])
    first, second = model.scores(points, asked)
    assert first.tolist() == second.tolist()


def test_where_no_list_prefers_anything_nothing_is_preferred() -> None:
    points = np.linspace(0, 1, 4)[:, None]
    lists = Lists([points, points[:1]], [np.zeros(4), np.zeros(1)], np.zeros((2, 3)))
    assert not learn(lists, np.arange(2), Plan(5)).scores(points, SIDES).any()


def test_drawn_lists_are_of_one_dataset_and_depend_on_their_number_alone() -> None:
    sizes = (2, 20, 50)
    past = [(np.full((n, 1), float(n)), np.arange(n) + 100.0 * n) for n in sizes]
    sampler = Drawn(tensors(past), 3)
    one, again, other = sampler.sample(5, 64), sampler.sample(5, 64), sampler.sample(6, 64)
    assert torch.equal(one.support.y, again.support.y)
    assert not torch.equal(one.support.y, other.support.y)
    seen = set()
    for i in range(64):
        parts = (one.support, one.query)
        assert all(part.mask[i].any() for part in parts)
        x = torch.cat([part.x[i][part.mask[i]] for part in parts])
        y = torch.cat([part.y[i][part.mask[i]] for part in parts])
        (n,) = set(x.flatten().tolist())
        seen.add(n)
        assert len(y) == len(set(y.flatten().tolist())) == min(n, RUNS)
        assert (y // 100 == n).all()
    assert seen == set(sizes)


def test_what_was_learned_is_kept_by_what_it_was_learned_from(tmp_path: Path) -> None:
    lists, points = lists_of_turning()
    plan = Plan(5, cache=tmp_path)
    first = learn(lists, np.arange(D), plan)
    (kept,) = tmp_path.glob("*.json")
    before = kept.stat().st_mtime_ns
    second = learn(lists, np.arange(D), plan)
    assert first.scores(points, SIDES).tolist() == second.scores(points, SIDES).tolist()
    assert kept.stat().st_mtime_ns == before
    learn(lists, np.arange(D - 1), plan)
    assert len(list(tmp_path.glob("rank-network-*.json"))) == 2
    assert len(list(tmp_path.glob("rank-network-*.safetensors"))) == 2


def test_training_that_was_cut_goes_on_to_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists, points = lists_of_turning()
    every, steps = np.arange(D), 510
    whole = learn(lists, every, Plan(steps)).scores(points, SIDES)
    asked: list[int] = []
    plain = Drawn.sample

    def cut(self: Drawn, index: int, n_episodes: int) -> object:
        asked.append(index)
        if index == 505 and len(asked) > 500:
            raise KeyboardInterrupt
        return plain(self, index, n_episodes)

    with monkeypatch.context() as patched:
        patched.setattr(Drawn, "sample", cut)
        with pytest.raises(KeyboardInterrupt):
            learn(lists, every, Plan(steps, cache=tmp_path))
        asked.clear()
        resumed = learn(lists, every, Plan(steps, cache=tmp_path))
    assert min(index for index in asked if index) == 500
    assert resumed.scores(points, SIDES).tolist() == whole.tolist()


def test_a_recommender_keeps_its_networks_beside_the_store(tmp_path: Path) -> None:
    meta, scores = turning()
    view = small_view(scores, meta=meta)
    task = AskedTask("new", SIDES[0])
    first, second = (
        recommenders.make("ranker", model="network", iterations=5, cache=tmp_path).fit(view)
        for _ in range(2)
    )
    assert len(list(tmp_path.glob("rank-network-*.json"))) == 5
    assert repr(first.recommend(task, n=5)) == repr(second.recommend(task, n=5))


def test_the_network_leads_by_name_to_the_best_guess() -> None:
    meta, scores = turning()
    one = Ranker(model="network").fit(small_view(scores, meta=meta))
    assert (one.leads, one.why) == ("network", "")
    assert one.share > 0.4
    for side, good in ((1.5, range(17, 24)), (-1.5, range(7))):
        found = one.recommend(AskedTask("new", np.array([0.0, side, 0.0])), n=3)
        assert found[0].config["c"] in good


def test_the_note_says_which_model_leads_and_why() -> None:
    meta, scores = turning()
    one = Ranker(iterations=30).fit(small_view(scores, meta=meta))
    assert one.leads in ("lightgbm", "network")
    (found,) = one.recommend(AskedTask("new", SIDES[0]))
    assert found.evidence.note == one.why
    assert "past datasets left out" in one.why
    assert "standard error of the difference" in one.why
    few = Ranker().fit(example())
    assert few.leads == "lightgbm"
    assert "do not tell which model is better" in few.why


@dataclass(frozen=True)
class Peaked:
    """A ranking that takes the configs next to one place for the best, wherever asked."""

    place: float

    def scores(self, points: FloatArray, described: FloatArray) -> FloatArray:
        return np.tile(-np.abs(points[:, 0] - self.place), (len(described), 1))


@dataclass(frozen=True)
class Knowing:
    """A ranking that knows where `turning` has its peak."""

    def scores(self, points: FloatArray, described: FloatArray) -> FloatArray:
        spread = points[:, 0].max() - points[:, 0].min()
        scaled = (points[:, 0] - points[:, 0].min()) / spread
        return -np.abs(scaled[None] - (0.4 + 0.3 * np.tanh(2 * described[:, 1:2])))


def rankings() -> tuple[dict[str, Ranking], list[LeftOut]]:
    meta, scores = turning()
    one = Ranker(model="lightgbm").fit(small_view(scores, meta=meta))
    fold = np.arange(D) % 2
    rows = left_out_rows(one.past, 24)
    cases = left_out(one.past, rows, one.believe_left_out(rows))
    good, poor = (
        Ranking(one.past, one._z, fold, (model, model), model) for model in (Knowing(), Peaked(0.0))
    )
    return {"good": good, "poor": poor}, cases


def test_the_one_that_does_better_on_datasets_left_out_leads() -> None:
    some, cases = rankings()
    good, poor = some["good"], some["poor"]
    found = leader({LIGHTGBM: poor, NETWORK: good}, cases, Wanted())
    assert (found.model, found.ranking.whole) == (NETWORK, good.whole)
    assert f"on {len(cases)} past datasets left out" in found.why
    found = leader({LIGHTGBM: good, NETWORK: poor}, cases, Wanted())
    assert (found.model, found.ranking.whole) == (LIGHTGBM, good.whole)
    assert leader({LIGHTGBM: good, NETWORK: good}, cases, Wanted()).model == LIGHTGBM
    assert leader({LIGHTGBM: poor, NETWORK: good}, cases[:1], Wanted()).model == LIGHTGBM
    assert leader({LIGHTGBM: poor, NETWORK: good}, [], Wanted()).model == LIGHTGBM


@pytest.mark.parametrize("datasets", [1, FEWEST_GROUPS - 1])
def test_with_few_datasets_it_is_nearest(datasets: int) -> None:
    view = example()
    view = view.without(view.datasets[datasets:])
    task = AskedTask("new", view.meta.values[0] + 0.1)
    ours, near = Ranker(model="network"), recommenders.make("nearest")
    first, second = (one.fit(view).recommend(task, n=6) for one in (ours, near))
    assert [r.config for r in first] == [r.config for r in second]
    assert ours.leads == ""


def test_without_any_meta_features_it_is_the_portfolio() -> None:
    view, seen = small_view(example().matrix()), observations(example(), "d1", [0, 3])
    ours, cover = Ranker(model="network"), recommenders.make("portfolio")
    first, second = (one.fit(view).recommend(AskedTask("new"), n=6) for one in (ours, cover))
    assert [r.config for r in first] == [r.config for r in second]
    assert ours.recommend(AskedTask("new"), seen, n=3)


def test_constant_scores_and_configs_of_several_algorithms_that_nobody_ran() -> None:
    meta, scores = turning()
    scores = scores[:9].copy()
    scores[:8] = 0.5
    configs = [{"c": i, "kind": "ab"[i % 2]} for i in range(C)]
    for some in (scores, np.full_like(scores, 0.5)):
        view = small_view(some, meta=meta[:9], configs=configs)
        one = Ranker(model="network", iterations=5).fit(view)
        candidates = [("a", {"c": 3, "kind": "z"}), ("b", {"depth": 2}), ("a", configs[5])]
        found = one.recommend(AskedTask("new", meta[3]), n=5, candidates=candidates)
        assert len(found) == 3


def test_lightgbm_or_torch_will_do_and_neither_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "lightgbm", None)
        one = Ranker(iterations=5).fit(example())
        assert (one.leads, "lightgbm is not installed" in one.why) == ("network", True)
    monkeypatch.setitem(sys.modules, "torch", None)
    one = Ranker().fit(example())
    assert (one.leads, "torch is not installed" in one.why) == ("lightgbm", True)
    with pytest.raises(MissingDependencyError, match=r"headstart\[learners\]"):
        Ranker(model="network").fit(example())
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingDependencyError, match=r"headstart\[rank\].*headstart\[learners\]"):
        Ranker().fit(example())


def test_torch_that_cannot_be_imported_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "recommenders.rank_network", None)
    with pytest.raises(MissingDependencyError, match="model='lightgbm'"):
        Ranker(model="network").fit(example())


def test_torch_is_not_imported_before_a_network_trains() -> None:
    code = (
        "import sys, recommenders\n"
        "from tests.contracts.recommender_contract import example\n"
        "view = example()\n"
        "recommenders.make('ranker', model='network').fit(view.without(view.datasets[5:]))\n"
        "recommenders.make('ranker', model='lightgbm').fit(view)\n"
        "recommenders.make('ranker').fit(view)\n"
        "assert 'torch' not in sys.modules"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_arguments_that_are_none() -> None:
    with pytest.raises(InvalidInputError, match="'auto', 'lightgbm' or 'network'"):
        recommenders.make("ranker", model="trees")
    with pytest.raises(InvalidInputError, match="iterations"):
        recommenders.make("ranker", iterations=-1)
