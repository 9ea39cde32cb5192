"""Every recommender keeps the contract; `make` and the tasks it can be asked about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

import recommenders
from metastore import MetaStore
from metastore.errors import InvalidInputError, UnknownNameError
from metastore.search_space import SearchSpace
from recommenders.explaining import explanation
from recommenders.recommender import AskedTask, Recommender
from recommenders.tasks import resolve
from tests.contracts.recommender_contract import (
    MakeOne,
    RecommenderContract,
    example,
    observations,
)
from tests.views import small_view


class TestContract(RecommenderContract):
    @pytest.fixture(params=recommenders.names())
    def make_one(self, request: pytest.FixtureRequest) -> MakeOne:
        return lambda: recommenders.make(request.param, seed=4)


def test_make_knows_names_and_options() -> None:
    assert isinstance(recommenders.make("nearest", adapt=False), Recommender)
    with pytest.raises(UnknownNameError, match="did you mean 'portfolio'"):
        recommenders.make("portfolo")
    with pytest.raises(InvalidInputError, match="depth"):
        recommenders.make("random", depth=3)


@pytest.mark.parametrize("name", recommenders.names())
def test_a_seed_is_a_whole_number(name: str) -> None:
    options = {"iterations": 2} if name in ("deep_kernel", "maml", "deep_mixture") else {}
    seen = observations(example(), "d1", [0, 1, 2])
    one, same = (
        recommenders.make(name, seed=seed, **options).fit(example()).recommend("d1", seen)
        for seed in (3, np.int64(3))
    )
    assert [r.config for r in one] == [r.config for r in same]
    for wrong in (None, "3", 1.5, True):
        with pytest.raises(InvalidInputError, match="seed: expected a whole number"):
            recommenders.make(name, seed=wrong)  # type: ignore[arg-type]


def test_seeds_differ_and_random_order_depends_on_the_task() -> None:
    view = example()
    orders = {
        (seed, task): tuple(
            r.config["c"]
            for r in recommenders.make("random", seed=seed).fit(view).recommend(task, n=14)
        )
        for seed in (0, 1, 2)
        for task in ("d0", "d1")
    }
    assert len(set(orders.values())) == 6


def test_random_order_is_uniform() -> None:
    view = small_view(np.random.default_rng(0).random((3, 5)))
    firsts = np.bincount(
        [
            recommenders.make("random", seed=s).fit(view).recommend("d0")[0].config["c"]
            for s in range(1000)
        ],
        minlength=5,
    )
    assert firsts.min() > 150


def test_best_on_average_is_the_lowest_mean_regret() -> None:
    view = example()
    scores = view.matrix()[1:]
    regret = (scores.max(1, keepdims=True) - scores) / np.ptp(scores, axis=1, keepdims=True)
    one = recommenders.make("best_on_average").fit(view.without(["d0"]))
    found = [r.config["c"] for r in one.recommend("d0", n=14)]
    assert found == np.argsort(regret.mean(axis=0)).tolist()


def test_asking_with_meta_features_of_the_wrong_length_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="expected 4 meta-features"):
        resolve(AskedTask("x", np.zeros(3)), example())
    with pytest.raises(InvalidInputError, match="expected a dataset's name"):
        resolve(3, example())


def test_without_candidates_answers_lie_in_the_search_space() -> None:
    view = example()
    space = SearchSpace({"c": IntDistribution(5, 40)})
    one = recommenders.make("portfolio").fit(view, {"a": space})
    found = one.recommend("d0", n=1_000)
    assert {r.algorithm for r in found} == {"a"}
    assert all(space.contains(r.config) for r in found)
    past = {view.config(i)["c"] for i in range(view.n_configs)}
    assert {r.config["c"] for r in found} - past, "nothing was drawn from the space"
    assert {r.config["c"] for r in found} & past, "past configs were left out"
    assert one.fit(view).recommend("d0", n=1_000) != found


def test_what_became_of_past_configs_in_a_given_space_is_said() -> None:
    view = example()
    past = sorted(int(view.config(i)["c"]) for i in range(view.n_configs))
    high = past[-2] - 1
    space = SearchSpace({"c": FloatDistribution(past[1] + 0.5, high + 0.5)})
    one = recommenders.make("portfolio").fit(view, {"a": space})
    found = one.reconciled["a"]
    assert len(found.kept) == view.n_configs
    assert len(found.projected) == 4
    said = {r.config["c"]: r.evidence.changed for r in one.recommend("d0", n=1_000)}
    assert f"'c': {past[-1]} is outside" in said[high + 0.5]
    assert sum(map(bool, said.values())) == 2
    assert not any(said[float(c)] for c in past[2:-2])
    (advice,) = one.recommend("d0", candidates=[("a", {"c": high + 0.5})])
    assert recommenders.make("portfolio").fit(view).reconciled == {}
    assert "changed to fit the space" in explanation(advice, "accuracy")


def test_distributions_by_parameter_are_a_space() -> None:
    view = small_view([[0.1, 0.2], [0.3, 0.1]])
    plain = {"n": IntDistribution(100, 105)}
    for space in (plain, SearchSpace(plain)):
        fitted = recommenders.make("random").fit(view, search_space={"other": space})
        found = fitted.recommend("d0", None, n=9)
        assert {one.config["n"] for one in found} == set(range(100, 106))
    assert fitted.recommend_within("d0", np.inf, None) is not None


@pytest.mark.parametrize(
    "given", [{"C": FloatDistribution(1, 5)}, {"svc": {"C": (1, 5)}}, {"svc": None}, [1]]
)
def test_what_is_no_search_space_by_algorithm_is_one_clear_error(given: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"search_space.*algorithm"):
        recommenders.make("random").fit(small_view([[0.1, 0.2]]), search_space=given)


def test_a_store_is_no_view(store: MetaStore) -> None:
    for given in (store, None):
        with pytest.raises(InvalidInputError, match=r"store\.view\('accuracy'\)"):
            recommenders.make("random").fit(given)  # type: ignore[arg-type]


def test_one_question_draws_a_bounded_number_of_new_configs() -> None:
    configs: list[dict[str, object]] = [{"c": i / 7} for i in range(9)]
    view = small_view(np.random.default_rng(0).random((3, 9)), configs=configs)
    one = recommenders.make("portfolio").fit(view)
    found = one.recommend("d0", n=10**9)
    assert 2000 < len(found) < 3000
    assert len(one.recommend("d0", n=1_500)) == 1_500


def test_no_space_no_answer() -> None:
    one = recommenders.make("portfolio").fit(example(), {})
    assert one.recommend("d0", n=3) == []


def test_values_stay_within_what_the_metric_seems_bounded_by() -> None:
    view = example()
    assert view.cell_score.min() >= 0
    assert view.cell_score.max() <= 1
    for found in recommenders.make("nearest").fit(view.without(["d0"])).recommend("d0", n=9):
        assert 0 <= found.interval[0] <= found.value <= found.interval[1] <= 1


def test_what_is_observed_in_another_shape_is_one_clear_error() -> None:
    view = example()
    one = recommenders.make("nearest").fit(view.without(["d0"]))
    seen = observations(view, "d0", [1, 2])
    assert repr(one.recommend("d0", (o for o in seen))) == repr(one.recommend("d0", seen))
    for wrong, words in (
        (
            ("a", {"c": 1}, 0.5),
            r"expected Observation\(.*\) values, got tuple",
        ),
        (replace(seen[0], value="0.5"), "expected a number or None as value, got '0.5'"),
        (replace(seen[0], status="done"), "no status 'done'; expected one of running, completed"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            one.recommend("d0", [wrong])
    with pytest.raises(InvalidInputError, match=r"expected \{algorithm: SearchSpace"):
        one.fit(view, SearchSpace({}))  # type: ignore[arg-type]


@pytest.mark.parametrize("pool", [[{"c": 1}], "abc", ["ab"], [("a", {"c": 1}, 0.5)], [7]])
def test_candidates_in_another_shape_are_one_clear_error(pool: object) -> None:
    one = recommenders.make("nearest").fit(example())
    with pytest.raises(InvalidInputError, match="candidates: expected"):
        one.recommend("d0", candidates=pool)  # type: ignore[arg-type]
