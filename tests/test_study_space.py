"""Configs in two words: the store's and a study's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from metastore.space_columns import ABSENT
from metastore.types import canonical_json
from recommenders.encoding import Key
from recommenders.study_pool import StudyPool
from recommenders.study_space import Offer, StudySpace, distinct
from tests.views import view_from_parquet

CONFIGS: list[dict[str, object]] = [
    {"kernel": "rbf", "C": c, "gamma": g, "trees": 100.0} for c in (0.1, 10.0) for g in (0.01, 1.0)
] + [{"kernel": "linear", "C": c, "trees": 100.0} for c in (0.1, 10.0)]
PAST: list[Key] = [("svc", canonical_json(c)) for c in CONFIGS]
KERNEL = CategoricalDistribution(("linear", "rbf", "poly"))


def test_what_the_study_does_not_suggest_stays_as_it_was() -> None:
    space = StudySpace(PAST, {"C": FloatDistribution(0.01, 100, log=True)})
    assert [dict(offer.config) for offer in space.past] == CONFIGS
    assert [dict(offer.params) for offer in space.past] == [{"C": c["C"]} for c in CONFIGS]


def test_a_stored_spelling_stays_where_the_study_means_the_same() -> None:
    space = StudySpace(PAST, {"trees": IntDistribution(10, 500)})
    (first, *_) = space.past
    assert first.key == PAST[0]
    assert first.params == {"trees": 100}
    assert type(first.params["trees"]) is int


def test_a_value_that_was_moved_makes_another_config() -> None:
    space = StudySpace(PAST, {"C": FloatDistribution(1.0, 5.0), "kernel": KERNEL})
    moved = {float(offer.config["C"]) for offer in space.past}
    assert moved == {1.0, 5.0}
    assert not {offer.key for offer in space.past} & set(PAST)


def test_conditions_that_runs_show_hold_in_the_study() -> None:
    used: dict[str, BaseDistribution] = {
        "kernel": KERNEL,
        "C": FloatDistribution(0.01, 100, log=True),
        "gamma": FloatDistribution(1e-3, 10, log=True),
    }
    space = StudySpace(PAST, used)
    for offer in [*space.past, *space.drawn(50, 0)]:
        assert ("gamma" in offer.params) == (offer.params["kernel"] == "rbf")


def test_what_another_kernel_makes_inactive_is_left_out() -> None:
    space = StudySpace(PAST, {"kernel": KERNEL})
    like = {"kernel": "rbf", "C": 0.1, "gamma": 1.0, "trees": 100.0}
    offer = space.offer({"kernel": "linear"}, like)
    assert dict(offer.config) == {"kernel": "linear", "C": 0.1, "trees": 100.0}


def test_names_of_algorithms_may_be_short() -> None:
    past = [("a.svm.SVC", '{"C":1.0}'), ("a.svm.SVC", '{"C":2.0}'), ("b.Tree", '{"depth":3}')]
    past += [("b.Tree", '{"depth":4}')]
    used: dict[str, BaseDistribution] = {
        "model": CategoricalDistribution(("SVC", "Tree")),
        "C": FloatDistribution(0.1, 10),
        "depth": IntDistribution(1, 9),
    }
    space = StudySpace(past, used, "model")
    assert [offer.key for offer in space.past] == past
    assert [offer.params["model"] for offer in space.past] == ["SVC", "SVC", "Tree", "Tree"]
    for offer in space.drawn(40, 0):
        assert ("C" in offer.params) == (offer.params["model"] == "SVC")
        assert offer.algorithm == {"SVC": "a.svm.SVC", "Tree": "b.Tree"}[offer.params["model"]]
    assert space.fits("model", used["model"], space.joined("b.Tree", {})) == "Tree"


def test_values_as_they_are_asked_for_one_by_one() -> None:
    space = StudySpace(PAST, {})
    config = {"kernel": "rbf", "C": 50.0, "trees": 100.0, "weight": None}
    assert space.fits("C", FloatDistribution(0.1, 10), config) == 10.0
    assert space.fits("trees", IntDistribution(10, 500), config) == 100
    assert space.fits("kernel", CategoricalDistribution(("poly",)), config) is ABSENT
    assert space.fits("weight", CategoricalDistribution((None, "balanced")), config) is None
    assert space.fits("never", FloatDistribution(0, 1), config) is ABSENT


distributions = st.one_of(
    st.tuples(st.floats(0.001, 5), st.floats(5.1, 1e4), st.booleans()).map(
        lambda t: FloatDistribution(t[0], t[1], log=t[2])
    ),
    st.tuples(st.integers(1, 5), st.integers(2, 300), st.integers(1, 3)).map(
        lambda t: IntDistribution(t[0], t[0] + t[1] * t[2], step=t[2])
    ),
    st.lists(st.sampled_from([None, True, "a", "b", 1, 2.5]), min_size=1, unique_by=str).map(
        CategoricalDistribution
    ),
)


@settings(deadline=None, max_examples=25)
@given(first=distributions, second=distributions, seed=st.integers(0, 99))
def test_every_offer_lies_in_the_study(
    first: BaseDistribution, second: BaseDistribution, seed: int
) -> None:
    used = {"x": first, "y": second}
    past = [("a", canonical_json({"x": x, "y": y})) for x in (1, 7.5, "b") for y in (2, "a", None)]
    space = StudySpace(past, used)
    offers = [*space.past, *space.drawn(8, seed)]
    rng = np.random.default_rng(seed)
    offers += space.near(offers[-1].params, 8, rng)
    for offer in offers:
        assert offer.params.keys() == used.keys()
        for name, distribution in used.items():
            value = offer.params[name]
            assert distribution._contains(distribution.to_internal_repr(value))
            assert not isinstance(value, np.generic)
            if isinstance(distribution, CategoricalDistribution):
                assert any(
                    value is c or (value == c and type(value) is type(c))
                    for c in distribution.choices
                )


def test_neighbours_lie_around_what_was_tried() -> None:
    space = StudySpace(PAST, {"C": FloatDistribution(0.01, 100, log=True), "kernel": KERNEL})
    near = space.near({"C": 1.0, "kernel": "rbf"}, 200, np.random.default_rng(0))
    away = np.abs(np.log10([offer.params["C"] for offer in near]))
    drawn = np.abs(np.log10([offer.params["C"] for offer in space.drawn(200, 0)]))
    assert np.median(away) < np.median(drawn) / 3
    assert 0.7 < np.mean([offer.params["kernel"] == "rbf" for offer in near]) < 1


def test_a_pool_stays_the_same_until_the_best_change() -> None:
    pool = StudyPool(PAST, {"C": FloatDistribution(0.01, 100, log=True)}, seed=3)
    pool.surround([])
    before = pool.offers
    pool.surround([])
    assert pool.offers is before
    pool.surround([{"C": 1.0}])
    assert before.keys() < pool.offers.keys()
    again = StudyPool(PAST, pool.used, seed=3)
    again.surround([{"C": 1.0}])
    assert again.offers.keys() == pool.offers.keys()
    assert not pool.open
    assert StudyPool(PAST, {"other": FloatDistribution(0, 1)}).open


def test_the_first_of_equal_offers_stays() -> None:
    offers = [Offer("a", {"x": 1}, {"x": n}) for n in range(3)] + [Offer("a", {"x": 2}, {})]
    assert [dict(o.params) for o in distinct(offers)] == [{"x": 0}, {}]


def test_real_configs_fit_their_own_ranges(realdata: Callable[[str], Path]) -> None:
    """Every recorded forest of OpenML comes back as it is from the ranges it was drawn from."""
    view = view_from_parquet(
        realdata("openml_pimp/runs_random_forest.parquet"), "predictive_accuracy"
    )
    past = [(view.algorithm(i), str(view.config_texts[i])) for i in range(0, view.n_configs, 500)]
    names = {name for _, text in past for name in json.loads(text)}
    assert len(names) > 3
    used = StudySpace(past, {})._stored.distributions
    space = StudySpace(past, used)
    assert len(space.past) >= 0.9 * len(past)
    kept = {offer.key for offer in space.past}
    assert len(kept & set(past)) >= 0.9 * len(past)


@pytest.mark.parametrize("used", [{}, {"other": FloatDistribution(0, 1)}])
def test_nothing_in_common(used: dict[str, BaseDistribution]) -> None:
    space = StudySpace(PAST, used)
    assert space.drawn(5, 0) == space.near({}, 5, np.random.default_rng(0)) == []
    assert StudySpace([], {"C": FloatDistribution(0, 1)}).past == ()
