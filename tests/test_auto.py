"""Auto answers by whoever the store shows to be best, and says why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastore.types import Observation
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
    (found,) = auto.recommend("d0")
    assert "random has the lowest regret, as others have, after 1" in found.evidence.note


def test_where_too_few_datasets_compare_who_weighs_the_past_answers() -> None:
    scores, meta = neighbourly()
    auto = Auto().fit(small_view(scores[:2], meta=meta[:2]))
    (found,) = auto.recommend("d0")
    assert found.evidence.method == "auto: empirical_bayes"
    assert "too few" in found.evidence.note
    seen = [Observation("a", {"c": c}, float(c % 7)) for c in range(28)]
    assert auto.recommend("d0", seen)[0].evidence.method == "auto: empirical_bayes"


def test_a_list_stands_back_once_more_was_observed_than_lists_were_compared_on() -> None:
    scores, meta = neighbourly()
    auto = Auto().fit(small_view(scores, meta=meta))
    assert auto.later == "empirical_bayes"
    auto.chosen = ("portfolio",) * 5
    for observed, method in ((24, "portfolio"), (25, "empirical_bayes"), (28, "empirical_bayes")):
        seen = [Observation("a", {"c": c}, float(c % 7)) for c in range(observed)]
        (found,) = auto.recommend("d0", seen)
        assert found.evidence.method == f"auto: {method}"
    assert "empirical_bayes learns from scores, as portfolio does not" in found.evidence.note
    auto.chosen = ("nearest",) * 5
    assert auto.recommend("d0", seen)[0].evidence.method == "auto: nearest"


def test_who_is_shown_to_be_worse_does_not_come_back_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    regret = np.full((5, 12, 25), 0.5) + 0.01 * np.random.default_rng(0).random((5, 12, 25))
    regret[2] -= 0.2  # the portfolio is the best, and nearest better than empirical_bayes
    regret[4] += 0.2
    monkeypatch.setattr("recommenders.auto._compare", lambda *_: regret)
    scores, meta = neighbourly()
    auto = Auto().fit(small_view(scores, meta=meta))
    assert (auto.chosen, auto.later) == (("portfolio",) * 5, "nearest")


def test_one_standard_error_is_not_enough() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(12, 1))
    noise -= noise.mean()
    error = float(noise.std(ddof=1)) / np.sqrt(12)
    for times, chosen in ((1.8, 1), (2.2, 0)):
        regret = np.full((2, 12, 5), 100.0)
        regret[1] += noise + times * error
        assert choices(regret) == [chosen] * 5


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
