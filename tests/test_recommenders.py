"""Every recommender keeps the contract; `make` and the tasks it can be asked about."""

from __future__ import annotations

import numpy as np
import pytest

import recommenders
from metastore.errors import InvalidInputError, UnknownNameError
from recommenders.recommender import AskedTask, Recommender
from recommenders.tasks import resolve
from tests.contracts.recommender_contract import MakeOne, RecommenderContract, example
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


def test_search_space_narrows_the_pool_to_its_algorithms() -> None:
    one = recommenders.make("portfolio").fit(example(), {})
    assert one.recommend("d0", n=3) == []
