"""The one encoder: round trips, layout, identity, speed."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from decimal import Decimal

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

from metastore.errors import InvalidInputError
from metastore.search_space import Condition, SearchSpace

CHOICES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)


@st.composite
def distributions(draw: st.DrawFn) -> BaseDistribution:
    kind = draw(st.sampled_from(["float", "log", "step", "int", "intlog", "intstep", "choice"]))
    if kind == "choice":
        choices = draw(st.lists(CHOICES, min_size=1, max_size=4, unique_by=lambda c: (type(c), c)))
        return CategoricalDistribution(choices)
    if kind == "float":
        low = draw(st.floats(-1e3, 1e3))
        return FloatDistribution(low, low + draw(st.floats(0.0, 1e3)))
    if kind == "step":
        step = Decimal(draw(st.sampled_from(["0.1", "0.25", "3"])))
        first, n_steps = draw(st.integers(-50, 50)), draw(st.integers(0, 99))
        bounds = float(first * step), float((first + n_steps) * step)
        return FloatDistribution(*bounds, step=float(step))
    if kind == "log":
        low = draw(st.floats(1e-12, 1e3))
        return FloatDistribution(low, low * draw(st.floats(1.0, 1e9)), log=True)
    low_int = draw(st.integers(1 if kind == "intlog" else -1000, 1000))
    high = low_int + draw(st.integers(0, 10_000))
    step_int = draw(st.integers(1, 7)) if kind == "intstep" else 1
    high = low_int + (high - low_int) // step_int * step_int
    return IntDistribution(low_int, high, log=kind == "intlog", step=step_int)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Spaces with conditions on categorical and integer parents, alternatives, optionals."""
    names = [f"p{i}" for i in range(draw(st.integers(1, 6)))]
    dists = {name: draw(distributions()) for name in names}
    numeric = [n for n in names if not isinstance(dists[n], CategoricalDistribution)]
    alternatives = {n: draw(st.sampled_from([("auto",), (None, "auto"), (True,)])) for n in numeric}
    alternatives = {n: a for n, a in alternatives.items() if draw(st.booleans())}
    conditions = {}
    for i, name in enumerate(names[1:], start=1):
        parent = names[draw(st.integers(0, i - 1))]
        distribution = dists[parent]
        if draw(st.booleans()) and not isinstance(distribution, FloatDistribution):
            values: tuple[object, ...]
            if isinstance(distribution, CategoricalDistribution):
                values = distribution.choices[: draw(st.integers(1, len(distribution.choices)))]
            else:
                assert isinstance(distribution, IntDistribution)
                values = (distribution.low, distribution.high)
            conditions[name] = Condition(parent, values)
    optional = frozenset(n for n in names if draw(st.booleans()))
    whole = frozenset(
        n for n in numeric if isinstance(dists[n], IntDistribution) and draw(st.booleans())
    )
    return SearchSpace(
        dists, conditions, alternatives, optional, whole_floats=whole - set(_parents(conditions))
    )


def _parents(conditions: dict[str, Condition]) -> list[str]:
    return [condition.parent for condition in conditions.values()]


def assert_same(a: dict[str, object], b: dict[str, object]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert type(value) is type(b[name]), name
        if isinstance(value, float):
            assert value == pytest.approx(b[name], rel=1e-9, abs=1e-9), name
        else:
            assert value == b[name], name


@settings(max_examples=200, deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_a_config_survives_encoding_and_decoding(space: SearchSpace, seed: int) -> None:
    configs = space.sample(8, seed)
    vectors = space.encode(configs)
    assert vectors.shape == (8, space.n_features)
    assert vectors.dtype == np.float64
    assert ((vectors >= 0) & (vectors <= 1)).all()
    for config, decoded in zip(configs, space.decode(vectors), strict=True):
        assert space.why_not(config) == ""
        assert_same(config, decoded)


@settings(max_examples=100, deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_every_vector_decodes_to_a_config_of_the_space(space: SearchSpace, seed: int) -> None:
    vectors = np.random.default_rng(seed).uniform(-0.2, 1.2, (8, space.n_features))
    for config in space.decode(vectors):
        assert space.why_not(config) == ""


@settings(max_examples=100, deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_json_keeps_the_space_and_its_id(space: SearchSpace, seed: int) -> None:
    again = SearchSpace.from_json(space.to_json())
    assert again == space
    assert again.id == space.id
    assert again.to_json() == space.to_json()
    configs = space.sample(4, seed)
    np.testing.assert_array_equal(space.encode(configs), again.encode(configs))


@settings(max_examples=50, deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_encoding_row_by_row_is_encoding_at_once(space: SearchSpace, seed: int) -> None:
    configs = space.sample(5, seed)
    rows = np.concatenate([space.encode([config]) for config in configs])
    np.testing.assert_array_equal(rows, space.encode(configs))


def svc() -> SearchSpace:
    return SearchSpace(
        {
            "C": FloatDistribution(0.01, 100.0, log=True),
            "kernel": CategoricalDistribution(("linear", "rbf", "poly")),
            "gamma": FloatDistribution(0.001, 10.0, log=True),
            "degree": IntDistribution(2, 5),
        },
        conditions={
            "gamma": Condition("kernel", ("rbf", "poly")),
            "degree": Condition("kernel", ("poly",)),
        },
        alternatives={"gamma": ("scale", "auto")},
        name="SVC",
    )


def test_layout_of_the_columns() -> None:
    space = svc()
    assert space.feature_names == (
        "C",
        "kernel=linear",
        "kernel=rbf",
        "kernel=poly",
        "gamma",
        "gamma=scale",
        "gamma=auto",
        "gamma:active",
        "degree",
        "degree:active",
    )
    x = space.encode(
        [
            {"C": 1.0, "kernel": "linear"},
            {"C": 0.01, "kernel": "rbf", "gamma": "scale"},
            {"C": 100.0, "kernel": "poly", "gamma": 0.1, "degree": 2},
        ]
    )
    np.testing.assert_allclose(
        x,
        [
            [0.5, 1, 0, 0, 0.5, 0, 0, 0, 0.5, 0],
            [0.0, 0, 1, 0, 0.5, 1, 0, 1, 0.5, 0],
            [1.0, 0, 0, 1, 0.5, 0, 0, 1, 0.125, 1],
        ],
    )
    assert space.columns["gamma"] == slice(4, 8)


def test_out_of_bounds_unknown_and_inactive_values_have_their_documented_columns() -> None:
    space = svc()
    x = space.encode(
        [
            {"C": 1e9, "kernel": "sigmoid", "gamma": 0.1},
            {"C": -1, "kernel": "linear", "gamma": 3.0, "degree": 4},
            {"kernel": ["a", "list"], "C": math.nan},
        ]
    )
    np.testing.assert_array_equal(x[0, :4], [1, 0, 0, 0])
    np.testing.assert_array_equal(x[1], [0, 1, 0, 0, 0.5, 0, 0, 0, 0.5, 0])
    np.testing.assert_array_equal(x[2, :4], [0.5, 0, 0, 0])


def test_true_is_not_one_and_numpy_values_are_plain_values() -> None:
    space = SearchSpace({"x": CategoricalDistribution((1, True, "1"))})
    x = space.encode([{"x": 1}, {"x": True}, {"x": "1"}, {"x": np.int64(1)}, {"x": np.bool_(True)}])
    np.testing.assert_array_equal(x.argmax(axis=1), [0, 1, 2, 0, 1])
    ints = SearchSpace({"n": IntDistribution(1, 3)})
    np.testing.assert_array_equal(
        ints.encode([{"n": np.int64(2)}, {"n": 2.0}, {"n": True}, {"n": "2"}])[:, 0], [0.5] * 4
    )
    assert not ints.contains({"n": True})
    assert ints.contains({"n": np.float64(2.0)})
    assert not ints.contains({"n": 2.5})


def test_grid_points_are_drawn_equally_often() -> None:
    space = SearchSpace({"n": IntDistribution(1, 3)})
    counts = np.bincount([config["n"] for config in space.sample(6000, 0)])
    assert counts[1:].tolist() == pytest.approx([2000] * 3, rel=0.1)


def test_the_same_seed_gives_the_same_sample() -> None:
    assert svc().sample(5, 7) == svc().sample(5, 7)
    assert svc().sample(5, 7) != svc().sample(5, 8)
    assert svc().sample(0, 7) == []


def test_name_and_notes_do_not_count_but_everything_else_does() -> None:
    space = svc()
    renamed = SearchSpace(
        space.distributions, space.conditions, space.alternatives, name="x", notes={"C": "y"}
    )
    assert renamed == space
    assert hash(renamed) == hash(space)
    assert SearchSpace(space.distributions, space.conditions) != space
    assert SearchSpace(space.distributions, alternatives=space.alternatives) != space


def test_lists_and_dicts_are_categories_by_their_json_text() -> None:
    space = SearchSpace(
        {"layers": CategoricalDistribution(("[50,50]", "[100]", '{"a":1}'))},
        structured=frozenset({"layers"}),
    )
    configs = [{"layers": [50, 50]}, {"layers": (100,)}, {"layers": {"a": 1}}]
    x = space.encode(configs)
    np.testing.assert_array_equal(x, np.eye(3))
    assert space.decode(x)[1] == {"layers": [100]}
    assert space.contains({"layers": np.array([50, 50])})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"C": 1.0, "kernel": "linear"}, ""),
        ({"C": 1.0}, "'kernel' is missing"),
        ({"C": 1.0, "kernel": "rbf"}, "'gamma' is missing"),
        ({"C": 1000.0, "kernel": "linear"}, "'C': 1000.0 is outside [0.01, 100.0]"),
        ({"C": "x", "kernel": "linear"}, "'C': 'x' is not a number"),
        ({"C": 1.0, "kernel": "rbf", "gamma": "x"}, "'scale', 'auto'"),
        ({"C": 1.0, "kernel": "linear", "gamma": 1.0}, "inactive"),
        ({"C": 1.0, "kernel": "cosine"}, "none of 'linear', 'rbf', 'poly'"),
        ({"C": 1.0, "kernel": "linear", "tol": 1}, "'tol' is not a parameter"),
    ],
)
def test_why_a_config_is_not_in_the_space(config: dict[str, object], reason: str) -> None:
    assert reason in svc().why_not(config)
    assert svc().contains(config) == (reason == "")


def test_describe_shows_scale_conditions_and_alternatives() -> None:
    text = svc().describe()
    assert "C          float   [0.01, 100]                     log" in text
    assert "'scale', 'auto'" in text
    assert "kernel is one of 'rbf', 'poly'" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conditions": {"y": Condition("x", (1,))}}, "'y' has a condition"),
        ({"conditions": {"x": Condition("y", (1,))}}, "'y' has a condition, an alternative or a"),
        ({"conditions": {"x": Condition("x", (1,))}}, "circle: x needs x"),
        ({"alternatives": {"c": ("a",)}}, "'c' is categorical"),
    ],
)
def test_impossible_spaces_are_refused(arguments: dict[str, object], message: str) -> None:
    dists = {"x": IntDistribution(0, 1), "c": CategoricalDistribution(("a",))}
    with pytest.raises(InvalidInputError, match=message):
        SearchSpace(dists, **arguments)  # type: ignore[arg-type]


def test_ranges_wider_than_a_float_and_foreign_objects_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no finite range"):
        _ = SearchSpace({"x": FloatDistribution(-1e308, 1e308)}).codecs
    with pytest.raises(InvalidInputError, match=r"needs a distribution of optuna"):
        _ = SearchSpace({"x": (0, 1)}).codecs  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"parameters":[{}]}', '{"parameters":[{"name":"x"}]}', "nonsense"]
)
def test_text_that_is_no_space_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"expected the JSON that SearchSpace.to_json"):
        SearchSpace.from_json(text)


def test_choices_without_json_are_refused() -> None:
    space = SearchSpace({"x": CategoricalDistribution((1.0, math.nan))})
    with pytest.raises(InvalidInputError, match="a choice cannot be written as JSON"):
        space.to_json()


def test_vectors_of_the_wrong_shape_or_with_nan_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"\(n, 10\), got \(2, 3\)"):
        svc().decode(np.zeros((2, 3)))
    with pytest.raises(InvalidInputError, match="NaN"):
        svc().decode(np.full((2, 10), np.nan))


def test_bounds_too_near_for_a_logarithm_are_a_constant() -> None:
    space = SearchSpace({"x": FloatDistribution(0.125, math.nextafter(0.125, 1), log=True)})
    assert space.encode([{"x": 0.125}]).shape == (1, 0)
    assert space.sample(1, 0) == [{"x": 0.125}]


def test_a_space_without_parameters_encodes_to_no_columns() -> None:
    space = SearchSpace({})
    assert space.encode([{}, {}]).shape == (2, 0)
    assert space.sample(2, 0) == [{}, {}]
    assert SearchSpace.from_json(space.to_json()) == space


def test_a_hundred_thousand_configs_encode_within_a_second_or_so() -> None:
    space = SearchSpace(
        {
            **{f"f{i}": FloatDistribution(1e-3, 1e3, log=True) for i in range(6)},
            **{f"n{i}": IntDistribution(1, 100) for i in range(2)},
            **{f"c{i}": CategoricalDistribution(("a", "b", "c")) for i in range(2)},
        }
    )
    configs = space.sample(100_000, 0)
    start = time.perf_counter()
    vectors = space.encode(configs)
    assert time.perf_counter() - start < 2.0  # 0.2 s on an idle core
    np.testing.assert_array_equal(vectors[[9000, -1]], space.encode([configs[9000], configs[-1]]))


def test_importing_the_store_does_not_import_optuna() -> None:
    code = "import sys, metastore, metastore.search_space; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
