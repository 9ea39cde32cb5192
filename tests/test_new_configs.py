"""Configs that nobody ran yet."""

from __future__ import annotations

import json

import pytest

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
