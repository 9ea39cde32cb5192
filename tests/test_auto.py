"""Auto answers by whoever the store shows to be best, and says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastore.types import Observation
from metastore.view import View
from recommenders.auto import Auto, choices
from recommenders.own_pools import own_pool
from recommenders.scores import Past
from tests.views import small_view


def neighbourly(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that follow the meta-features closely: nearest must win."""
    rng = np.random.default_rng(seed)
    meta = rng.uniform(-2, 2, size=(60, 2))
    centres = rng.uniform(-2, 2, size=(30, 2))
    scores = -((meta[:, None] - centres[None]) ** 2).sum(axis=2)
    return scores, meta


def test_who_looks_at_meta_features_wins_where_they_tell() -> None:
    scores, meta = neighbourly()
    auto = Auto().fit(small_view(scores, meta=meta))
    assert auto.chosen[0] == "empirical_bayes"
    (found,) = auto.recommend("d0")
    assert found.evidence.method == "auto: empirical_bayes"
    assert "lowest regret after 1 on 12 past datasets" in found.evidence.note


def test_they_are_refused_where_meta_features_mislead() -> None:
    """The same meta-features stand for opposite tastes: a neighbour is the worst guide."""
    rng = np.random.default_rng(1)
    meta = np.repeat(rng.normal(size=(20, 2)), 2, axis=0) + 1e-9 * rng.normal(size=(40, 2))
    taste = np.tile([1.0, -1.0], 20)[:, None] * rng.normal(size=(1, 20))
    scores = taste + 0.1 * np.abs(rng.normal(size=20))
    auto = Auto().fit(small_view(scores, meta=meta))
    place = [member.name for member in auto.members].index("nearest")
    assert auto.table[place, 0] > auto.table[:, 0].min()
    assert auto.chosen[0] not in ("nearest", "empirical_bayes")


def test_what_is_left_out_teaches_the_others_nothing() -> None:
    """Where every dataset has configs of its own, predictions must not see the one left out."""
    rng = np.random.default_rng(0)
    scores = np.full((4, 40), np.nan)
    for d in range(4):
        scores[d, 10 * d : 10 * d + 10] = rng.random(10)
    other = scores.copy()
    other[0, 1:9] = rng.permutation(scores[0, 1:9])
    tables = [own_pool(Past.of(small_view(s)), 0)[0] for s in (scores, other)]
    first, second = ({k: t.regret[1:, i] for i, k in enumerate(t.keys)} for t in tables)
    assert first.keys() == second.keys()
    for key, regret in first.items():
        assert regret.tolist() == second[key].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.5))
def test_nobody_who_is_chosen_is_shown_to_be_worse_than_a_simpler_one(
    seed: int, apart: float
) -> None:
    rng = np.random.default_rng(seed)
    regret = rng.random((4, 12, 5)) + apart * rng.random((4, 1, 5))
    for at, chosen in enumerate(choices(regret)):
        for simpler in range(chosen):
            difference = regret[chosen, :, at] - regret[simpler, :, at]
            error = difference.std(ddof=1) / np.sqrt(12)
            assert difference.mean() <= 2 * error


def test_the_best_over_all_budgets_answers_unless_shown_to_be_worse_at_one() -> None:
    rng = np.random.default_rng(0)
    regret = 0.5 + 0.1 * rng.random((3, 20, 5))
    regret[2] -= 0.3
    assert choices(regret) == [2] * 5
    regret[2, :, 1] += 0.6
    assert choices(regret)[1] in (0, 1)
    assert choices(regret)[2:] == [2] * 3
    assert choices(np.zeros((3, 20, 5))) == [0] * 5


def test_equals_go_to_the_simplest() -> None:
    auto = Auto().fit(small_view(np.full((8, 5), 0.5), meta=np.arange(16.0).reshape(8, 2)))
    assert auto.chosen == ("random",) * 5


def test_too_few_datasets_make_a_portfolio() -> None:
    scores, meta = neighbourly()
    auto = Auto().fit(small_view(scores[:2], meta=meta[:2]))
    (found,) = auto.recommend("d0")
    assert found.evidence.method == "auto: portfolio"
    assert "too few" in found.evidence.note


def own_configs(datasets: int) -> View:
    """Every dataset has its own configs, and what is good follows the meta-features."""
    rng = np.random.default_rng(0)
    x, meta = rng.uniform(-1, 1, size=(datasets, 25)), rng.uniform(-1, 1, size=(datasets, 1))
    scores = np.full((datasets, x.size), np.nan)
    for d in range(datasets):
        scores[d, 25 * d : 25 * d + 25] = -((x[d] - meta[d]) ** 2)
    return small_view(scores, meta=meta, configs=[{"x": float(value)} for value in x.ravel()])


def test_a_learned_kernel_answers_for_the_mixture_once_there_is_a_score(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("recommenders.learned_kernel.ITERATIONS", 5)
    view = own_configs(20)
    auto = Auto(cache=tmp_path).fit(view.without(["d0"]))
    auto.chosen = ("empirical_bayes",) * 4 + ("nearest",)
    seen = [Observation("a", view.config(c), float(view.cell_score[c])) for c in range(12)]
    methods = {k: auto.recommend("d0", seen[:k])[0].evidence for k in (0, 1, 4, 12)}
    assert [said.method.removeprefix("auto: ") for said in methods.values()] == [
        *("empirical_bayes", "deep_mixture", "deep_mixture", "nearest"),
    ]
    assert "on a kernel learned from past datasets" in methods[4].note
    assert list(tmp_path.glob("learned-kernel-*.safetensors"))


def test_the_mixture_answers_itself_without_torch_or_with_little_to_learn_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Auto().fit_past(Past.of(own_configs(12))).deep() is None
    monkeypatch.setattr("recommenders.auto.find_spec", lambda name: None)
    assert Auto().fit_past(Past.of(own_configs(20))).deep() is None


def test_each_step_is_answered_by_the_member_of_its_budget() -> None:
    scores, meta = neighbourly()
    auto = Auto().fit(small_view(scores, meta=meta))
    auto.chosen = ("nearest", "portfolio", "best_on_average", "random", "nearest")
    methods = []
    for observed in (0, 1, 2, 3, 4, 9, 10, 24, 29):
        seen = [Observation("a", {"c": c}, float(c % 7)) for c in range(observed)]
        methods.append(auto.recommend("d0", seen)[0].evidence.method.removeprefix("auto: "))
    assert methods == [
        *("nearest", "portfolio", "portfolio", "best_on_average", "best_on_average"),
        *("random", "nearest", "nearest", "nearest"),
    ]
