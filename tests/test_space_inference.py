"""What recorded configs say about their space, on made and on real runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from metastore.errors import InvalidInputError
from metastore.search_space import Condition, SearchSpace
from metastore.space_inference import MAX_CATEGORIES, infer
from tests.test_search_space import spaces


def column(*values: Any) -> SearchSpace:
    return infer([{"x": value} for value in values])


@pytest.mark.parametrize(
    ("values", "distribution", "alternatives"),
    [
        ((1, 2, 3), IntDistribution(1, 3), ()),
        ((0.5, 0.7, 0.6), FloatDistribution(0.5, 0.7), ()),
        ((0.01, 0.1, 1, 10), FloatDistribution(0.01, 10.0, log=True), ()),
        ((16, 32, 64, 128, 256), IntDistribution(16, 256, log=True), ()),
        ((0.1, 0.2, 0.3, 0.4, 0.5), FloatDistribution(0.1, 0.5), ()),
        ((0.0, 0.1, 0.2, 0.5), FloatDistribution(0.0, 0.5), ()),
        ((0.0, 1e-4, 1e-3, 1e-2, 1e-1), FloatDistribution(1e-4, 0.1, log=True), (0.0,)),
        ((-1.0, 0.5), FloatDistribution(-1.0, 0.5), ()),
        ((3.5, 3.5), FloatDistribution(3.5, 3.5), ()),
        ((True, False), CategoricalDistribution((False, True)), ()),
        (("b", "a", None), CategoricalDistribution((None, "a", "b")), ()),
        (("scale", 0.1, 0.2), FloatDistribution(0.1, 0.2), ("scale",)),
        (("sqrt", 0.5, None), CategoricalDistribution((None, "sqrt", 0.5)), ()),
        ((None, 5, 10), IntDistribution(5, 10), (None,)),
        ((np.float64(0.5), np.int64(2)), FloatDistribution(0.5, 2.0), ()),
        ((False, 1, 2), IntDistribution(1, 2), (False,)),
    ],
)
def test_types_bounds_and_scales(
    values: tuple[Any, ...], distribution: Any, alternatives: tuple[Any, ...]
) -> None:
    space = column(*values)
    assert space.distributions["x"] == distribution
    assert space.alternatives.get("x", ()) == alternatives
    assert all(space.contains({"x": value}) for value in values)


def test_whole_floats_stay_floats() -> None:
    space = column(1.0, 10.0, 100.0)
    assert space.distributions["x"] == IntDistribution(1, 100, log=True)
    assert space.whole_floats == {"x"}
    decoded = space.decode(space.encode([{"x": 10.0}]))[0]["x"]
    assert decoded == 10.0
    assert type(decoded) is float
    assert "whole float" in space.describe()


@pytest.mark.parametrize(("low", "high"), [(1e-5, 1e-1), (0.03, 32768.0), (1e-10, 1e3)])
def test_random_draws_show_their_scale(low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    logarithmic = np.exp(rng.uniform(np.log(low), np.log(high), 50)).tolist()
    linear = rng.uniform(low, high, 50).tolist()
    for values, log in ((logarithmic, True), (linear, False)):
        found = column(*values).distributions["x"]
        assert isinstance(found, FloatDistribution)
        assert found.log is log
    assert "decades" in column(*logarithmic).describe()


def test_lists_are_categories_by_json_text() -> None:
    space = column([50, 50], (100,), None)
    assert space.structured == {"x"}
    assert space.contains({"x": [100]})
    assert space.decode(space.encode([{"x": [50, 50]}]))[0] == {"x": [50, 50]}


def test_only_frequent_categories_are_kept_and_the_note_says_so() -> None:
    rare = [f"r{i:03}" for i in range(MAX_CATEGORIES + 5)]
    space = column(*rare, "often", "often")
    distribution = space.distributions["x"]
    assert isinstance(distribution, CategoricalDistribution)
    assert len(distribution.choices) == MAX_CATEGORIES
    assert "often" in distribution.choices
    assert "most frequent of 106 categories" in space.describe()


def test_order_of_the_configs_does_not_matter() -> None:
    configs = [{"k": k, "x": x} for k in ("b", None, "a") for x in (1, 5)]
    assert infer(configs) == infer(configs[::-1])


KERNELS = [{"kernel": "linear", "C": c} for c in (1.0, 2.0)] + [
    {"kernel": kernel, "C": 1.0, "gamma": gamma}
    for kernel in ("rbf", "poly")
    for gamma in (0.1, 0.5)
]


def test_a_gap_that_a_parent_explains_is_a_condition() -> None:
    space = infer(KERNELS)
    assert space.conditions == {"gamma": Condition("kernel", ("poly", "rbf"))}
    assert space.optional == frozenset()


def test_a_gap_that_no_parent_explains_makes_a_parameter_optional() -> None:
    space = infer([*KERNELS, {"kernel": "rbf", "C": 2.0}])
    assert space.conditions == {}
    assert space.optional == {"gamma"}
    assert "optional" in space.describe()


def test_an_integer_can_be_a_parent() -> None:
    configs = [
        {"layers": n, **{f"units{i}": 8 * (i + 1) * (k + 1) for i in range(n)}}
        for n in (1, 2, 3)
        for k in range(2)
    ]
    space = infer(configs)
    assert space.conditions == {
        "units1": Condition("layers", (2, 3)),
        "units2": Condition("layers", (3,)),
    }


def test_an_integer_explains_only_by_a_threshold() -> None:
    configs = [{"n": n, **({"x": 1} if n in (2, 5) else {})} for n in (1, 2, 3, 4, 5, 6)]
    assert infer(configs).optional == {"x"}


def test_a_categorical_parent_goes_before_an_integer_one() -> None:
    configs = [
        {"x_size": n, "kind": kind, **({"x_of_b": n} if kind == "b" else {})}
        for n, kind in ((1, "a"), (2, "a"), (3, "b"), (4, "b"))
    ]
    assert infer(configs).conditions == {"x_of_b": Condition("kind", ("b",))}


def test_of_two_parents_the_one_with_the_nearer_name_is_taken() -> None:
    configs = [
        {"model": kind, "prep": kind, **({"prep:b:k": k} if kind == "b" else {})}
        for kind in ("a", "b")
        for k in (1, 2)
    ]
    assert infer(configs).conditions["prep:b:k"].parent == "prep"


def test_one_config_explains_nothing() -> None:
    space = infer([{"a": "x", "b": 1}, {"a": "y"}, {"a": "z"}])
    assert space.conditions == {}


def test_nothing_and_not_a_number_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least one recorded config"):
        infer([])
    with pytest.raises(InvalidInputError, match="'x' holds NaN or infinity"):
        column(1.0, float("nan"))


@settings(max_examples=100, deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_every_config_is_in_the_space_inferred_from_it(space: SearchSpace, seed: int) -> None:
    configs = space.sample(12, seed)
    found = infer(configs)
    for config in configs:
        assert found.why_not(config) == ""


RUNS = {
    "autosklearn_md/runs.parquet": "classifier:liblinear_svc:C",
    "openml_pimp/runs_random_forest.parquet": "",
    "openml_pimp/runs_svc.parquet": "C gamma tol",
    "blackbox_geoalgo/runs_DeepAR.parquet": "",
    "blackbox_geoalgo/runs_XGBoost.parquet": "",
    "blackbox_geoalgo/runs_nas_bench102.parquet": "",
    "taskset_curves/runs.parquet": "epsilon exponential_decay l1 l2 learning_rate linear_decay",
    "sklearn_benchmarks/runs_logreg.parquet": "C",
}


@pytest.mark.parametrize("name", RUNS)
def test_real_runs(name: str, realdata: Callable[[str], Path]) -> None:
    texts = pq.read_table(realdata(name), columns=["config"])["config"].unique().to_pylist()
    configs = [json.loads(text) for text in texts]
    space = infer(configs)
    assert all(space.contains(config) for config in configs[:2000])
    log = {n for n, d in space.distributions.items() if getattr(d, "log", False)}
    wanted = set(RUNS[name].split())
    assert wanted <= log
    if not name.startswith("autosklearn"):
        assert log == wanted
        assert not space.conditions
        assert not space.optional


def test_conditions_of_auto_sklearn_are_found(realdata: Callable[[str], Path]) -> None:
    table = pq.read_table(realdata("autosklearn_md/runs.parquet"), columns=["config"])
    space = infer([json.loads(text) for text in table["config"].to_pylist()])
    choice = "classifier:__choice__"
    assert space.optional == frozenset()
    for name, condition in space.conditions.items():
        part, value, *_ = name.split(":")
        if condition.parent.endswith("__choice__"):
            assert condition == Condition(f"{part}:__choice__", (value,))
    assert space.conditions["classifier:liblinear_svc:C"].parent == choice
    assert space.conditions["classifier:sgd:l1_ratio"] == Condition(
        "classifier:sgd:penalty", ("elasticnet",)
    )
    assert space.conditions["classifier:libsvm_svc:degree"] == Condition(
        "classifier:libsvm_svc:kernel", ("poly",)
    )
    assert space.conditions["one_hot_encoding:minimum_fraction"] == Condition(
        "one_hot_encoding:use_minimum_fraction", (True,)
    )
