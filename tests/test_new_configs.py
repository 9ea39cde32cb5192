"""Configs that nobody ran yet."""

from __future__ import annotations

import json
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from metastore.search_space import SearchSpace
from metastore.space_inference import infer
from metastore.types import Config, canonical_json
from recommenders.encoding import Key
from recommenders.new_configs import EACH, TOGETHER, new_configs


def keys(configs: list[Config], algorithm: str = "svc") -> list[Key]:
    return [(algorithm, canonical_json(config)) for config in configs]


def configs_of(found: tuple[Key, ...]) -> list[Config]:
    return [json.loads(text) for _, text in found]


NETWORKS: list[Config] = [
    {"solver": "lbfgs", "penalty": "l2", "C": c, "n_jobs": 1} for c in (0.01, 1.0, 100.0)
] + [{"solver": "saga", "penalty": p, "C": 1.0, "n_jobs": 1} for p in ("l1", "l2")]
DEEP: list[Config] = [
    {"layers": k, "units1": 8 * u, **({"units2": 16 * u} if k > 1 else {})}
    for k in (1, 2)
    for u in (1, 2, 5)
]


@pytest.mark.parametrize("configs", [NETWORKS, DEEP])
def test_they_lie_in_the_space_that_past_ones_show(configs: list[Config]) -> None:
    space, past = infer(configs), keys(configs)
    found = new_configs(past, 0)
    assert len(found) > EACH // 4
    assert found == tuple(sorted(set(found)))
    assert not set(found) & set(past)
    for config in configs_of(found):
        assert space.contains(config), space.why_not(config)


def test_only_combinations_of_categories_that_ran() -> None:
    ran = {(c["solver"], c["penalty"]) for c in NETWORKS}
    found = configs_of(new_configs(keys(NETWORKS), 0))
    assert {(c["solver"], c["penalty"]) for c in found} == ran
    assert {c["n_jobs"] for c in found} == {1}
    assert len({c["C"] for c in found}) == len(found)


def test_hyperparameters_come_and_go_as_in_the_past() -> None:
    found = configs_of(new_configs(keys(DEEP), 0))
    assert {c["layers"] for c in found} == {1, 2}
    assert all(("units2" in c) == (c["layers"] > 1) for c in found)


def test_the_order_of_the_past_does_not_matter_and_the_seed_does() -> None:
    past = keys(NETWORKS)
    assert new_configs(past, 0) == new_configs(past[::-1], 0)
    assert not set(new_configs(past, 0)) & set(new_configs(past, 1))
    assert new_configs(past, -1)


def test_more_rounds_add_to_fewer() -> None:
    past = keys(NETWORKS)
    few, many = set(new_configs(past, 0)), set(new_configs(past, 0, rounds=3))
    assert few < many
    assert len(many) == 3 * len(few) == 3 * EACH


def test_many_algorithms_share_what_is_drawn() -> None:
    past = [key for i in range(100) for key in keys(NETWORKS, f"a{i}")]
    found = new_configs(past, 0)
    assert len({algorithm for algorithm, _ in found}) == 100
    assert len(found) <= TOGETHER
    assert len(new_configs([key for i in range(999) for key in keys(NETWORKS, f"a{i}")], 0)) == 999


def test_no_numbers_no_new_configs() -> None:
    assert new_configs(keys([{"kernel": "rbf"}, {"kernel": "linear"}]), 0) == ()
    assert new_configs(keys([{"C": 1.0}, {"C": 1.0, "p": "x"}]), 0) == ()
    assert new_configs([], 0) == ()


WIDE = SearchSpace(
    {
        "C": FloatDistribution(1e-6, 1e6, log=True),
        "penalty": CategoricalDistribution(("l1", "l2", "none")),
    }
)


def test_a_given_space_counts_in_place_of_what_past_configs_show() -> None:
    past = keys([{"C": 1.0, "penalty": "l2"}, {"C": 2.0, "penalty": "l2"}])
    found = configs_of(new_configs(past, 0, spaces={"svc": WIDE, "other": WIDE}))
    assert len(found) == EACH
    assert all(WIDE.contains(config) for config in found)
    assert {c["penalty"] for c in found} == {"l1", "l2", "none"}
    assert min(c["C"] for c in found) < 0.01
    assert max(c["C"] for c in found) > 100
    once, twice = (set(new_configs(past, 0, rounds, {"svc": WIDE})) for rounds in (1, 2))
    assert once < twice


def test_what_a_space_does_not_speak_of_is_as_in_past_configs_of_it() -> None:
    l1: dict[str, Any] = {"penalty": "l1"}
    inside = [l1 | {"C": c, "n_jobs": jobs} for c in (1.0, 9.0) for jobs in (2, 3)]
    strange = [{"C": 1.0, "kernel": "rbf"}, l1 | {"C": -1.0, "n_jobs": 7}]
    found = configs_of(new_configs(keys([*inside, *strange]), 0, spaces={"svc": WIDE}))
    assert all(set(c) == {"C", "penalty", "n_jobs"} for c in found)
    assert {c["n_jobs"] for c in found} == {2, 3}
    assert len({c["C"] for c in found}) == len(found)


def test_a_space_of_choices_gives_what_is_left_of_it() -> None:
    choices = SearchSpace({"kernel": CategoricalDistribution(("rbf", "linear", "poly"))})
    found = new_configs(keys([{"kernel": "rbf"}]), 0, spaces={"svc": choices})
    assert {c["kernel"] for c in configs_of(found)} == {"linear", "poly"}
