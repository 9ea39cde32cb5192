"""Past configs in the user's space: every drop and every change has a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from metastore.errors import InvalidInputError
from metastore.search_space import Condition, SearchSpace
from metastore.space_inference import infer
from metastore.space_reconcile import Policy, reconcile
from tests.test_search_space import spaces

STORED = SearchSpace(
    {
        "C": FloatDistribution(0.01, 100.0),
        "kernel": CategoricalDistribution(("rbf", "sigmoid")),
        "shrinking": CategoricalDistribution((True, False)),
    }
)


def fit(
    asked: SearchSpace, config: dict[str, Any], policy: Policy | None = None
) -> dict[str, Any] | str:
    """Return what one config becomes, or why it is dropped; it must be one or the other."""
    result = reconcile(STORED, asked, [config], policy)
    assert len(result.kept) + len(result.dropped) == 1
    return result.kept[0] if result.kept else result.dropped[0][1]


def test_what_fits_is_kept_as_it_is() -> None:
    config = {"C": 1.0, "kernel": "rbf", "shrinking": True}
    result = reconcile(STORED, STORED, [config])
    assert (result.kept, result.kept_index) == ([config], [0])
    assert (result.dropped, result.projected, result.notes) == ([], [], [])


def test_a_renamed_parameter() -> None:
    asked = SearchSpace({"regularisation": FloatDistribution(0.01, 100.0)})
    policy = Policy(renames={"C": "regularisation"})
    assert fit(asked, {"C": 2.0}, policy) == {"regularisation": 2.0}
    notes = reconcile(STORED, asked, [], policy).notes
    assert "'C' is called 'regularisation' in the asked space" in notes
    assert "'kernel': not in the asked space" in notes


def test_a_name_that_is_taken_twice_drops_the_config() -> None:
    asked = SearchSpace({"C": FloatDistribution(0.01, 100.0)})
    policy = Policy(renames={"kernel": "C"})
    assert "its new name 'C' is taken" in fit(asked, {"C": 2.0, "kernel": "rbf"}, policy)


def test_changed_bounds_project_or_drop() -> None:
    asked = SearchSpace({"C": FloatDistribution(0.1, 10.0, log=True)})
    result = reconcile(STORED, asked, [{"C": 50.0}, {"C": 1.0}, {"C": 0.0}])
    assert [config["C"] for config in result.kept] == [10.0, 1.0, 0.1]
    assert result.projected == [
        (0, "'C': 50.0 is outside [0.1, 10.0], moved to 10.0"),
        (2, "'C': 0.0 is outside [0.1, 10.0], moved to 0.1"),
    ]
    assert "linear in the stored space, log in the asked one" in result.summary()
    result = reconcile(STORED, asked, [{"C": 50.0}, {"C": 1.0}], Policy(outside="drop"))
    assert result.dropped == [(0, "'C': 50.0 is outside [0.1, 10.0]")]
    assert result.kept_index == [1]


def test_a_grid_takes_the_nearest_point_and_integers_become_integers() -> None:
    asked = SearchSpace({"C": IntDistribution(0, 100, step=5)})
    assert fit(asked, {"C": 12.9}) == {"C": 15}
    kept = fit(asked, {"C": 10.0})
    assert kept == {"C": 10}
    assert isinstance(kept, dict)
    assert type(kept["C"]) is int
    assert not reconcile(STORED, asked, [{"C": 10.0}]).projected


def test_new_parameters_need_a_default() -> None:
    asked = SearchSpace(
        {"C": FloatDistribution(0.01, 100.0), "tol": FloatDistribution(1e-5, 0.1, log=True)}
    )
    assert fit(asked, {"C": 1.0}) == "'tol': missing; give a default to keep such configs"
    result = reconcile(STORED, asked, [{"C": 1.0}], Policy(defaults={"tol": 1e-3}))
    assert result.kept == [{"C": 1.0, "tol": 1e-3}]
    assert result.projected == [(0, "'tol': missing, given 0.001")]
    assert "'tol': new in the asked space" in result.notes


def test_removed_parameters_are_left_out_or_drop_the_config() -> None:
    asked = SearchSpace({"C": FloatDistribution(0.01, 100.0)})
    result = reconcile(STORED, asked, [{"C": 1.0, "shrinking": True}])
    assert result.kept == [{"C": 1.0}]
    assert result.projected == [(0, "'shrinking': left out, not a parameter of the asked space")]
    reason = fit(asked, {"C": 1.0, "shrinking": True}, Policy(removed="drop"))
    assert reason == "'shrinking': not a parameter of the asked space"


def test_missing_and_renamed_categories() -> None:
    asked = SearchSpace({"kernel": CategoricalDistribution(("RBF", "linear"))})
    policy = Policy(categories={"kernel": {"rbf": "RBF"}})
    result = reconcile(STORED, asked, [{"kernel": "rbf"}, {"kernel": "sigmoid"}], policy)
    assert result.kept == [{"kernel": "RBF"}]
    assert result.projected == [(0, "'kernel': 'rbf' is now 'RBF'")]
    assert result.dropped == [(1, "'kernel': 'sigmoid' is none of 'RBF', 'linear'")]
    assert "'kernel': the asked space lacks 'rbf', 'sigmoid'" in result.notes
    assert "'kernel': the asked space adds 'RBF', 'linear'" in result.notes


def test_inactive_parameters_are_left_out_and_missing_active_ones_need_a_default() -> None:
    asked = SearchSpace(
        {
            "gamma": FloatDistribution(0.0, 1.0),
            "kernel": CategoricalDistribution(("rbf", "sigmoid")),
        },
        conditions={"gamma": Condition("kernel", ("rbf",))},
    )
    assert fit(asked, {"kernel": "sigmoid", "gamma": 0.5}) == {"kernel": "sigmoid"}
    assert fit(asked, {"kernel": "sigmoid"}) == {"kernel": "sigmoid"}
    assert "'gamma': missing" in fit(asked, {"kernel": "rbf"})
    kept = fit(asked, {"kernel": "rbf"}, Policy(defaults={"gamma": 0.1}))
    assert kept == {"gamma": 0.1, "kernel": "rbf"}
    assert list(kept) == ["gamma", "kernel"]


def test_the_first_reason_to_drop_is_the_one_given() -> None:
    asked = SearchSpace({"C": FloatDistribution(0.01, 1.0), "kernel": FloatDistribution(0.0, 1.0)})
    reason = fit(asked, {"C": "big", "kernel": "rbf"})
    assert reason == "'C': 'big' is not a number"


def test_wrong_types_drop_with_a_reason() -> None:
    asked = SearchSpace({"C": FloatDistribution(0.01, 100.0)})
    assert fit(asked, {"C": "big"}) == "'C': 'big' is not a number"
    assert "nan" in fit(asked, {"C": float("nan")})
    assert fit(asked, {"C": float("inf")}) == {"C": 100.0}


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Policy(renames={"X": "C"}), "'X' is not a parameter of the stored space"),
        (Policy(renames={"C": "X"}), "'X' is not a parameter of the asked space"),
        (Policy(defaults={"X": 1}), "'X' is not a parameter of the asked space"),
        (Policy(outside="clip"), "expected one of .'project', 'drop'.*'clip'"),  # type: ignore[arg-type]
        (Policy(removed="project"), "expected one of .'ignore', 'drop'"),  # type: ignore[arg-type]
    ],
)
def test_policies_that_mean_nothing_are_refused(policy: Policy, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        reconcile(STORED, STORED, [], policy)


@settings(max_examples=100, deadline=None)
@given(spaces(), spaces(), st.integers(0, 2**32 - 1), st.sampled_from(["project", "drop"]))
def test_every_config_is_kept_inside_the_asked_space_or_dropped_with_a_reason(
    stored: SearchSpace, asked: SearchSpace, seed: int, outside: Any
) -> None:
    configs = stored.sample(6, seed)
    result = reconcile(stored, asked, configs, Policy(outside=outside))
    dropped = [index for index, reason in result.dropped if reason]
    assert sorted([*result.kept_index, *dropped]) == list(range(6))
    assert len(result.kept) == len(result.kept_index)
    assert all(asked.why_not(config) == "" for config in result.kept)
    assert {index for index, _ in result.projected} <= set(result.kept_index)
    changed = {index for index, _ in result.projected}
    for index, config in zip(result.kept_index, result.kept, strict=True):
        if index not in changed:
            assert config == configs[index]


def test_real_svc_runs_in_a_narrower_space(realdata: Callable[[str], Path]) -> None:
    table = pq.read_table(realdata("openml_pimp/runs_svc.parquet"), columns=["config"])
    configs = [json.loads(text) for text in table["config"].to_pylist()[:500]]
    asked = SearchSpace(
        {
            "C": FloatDistribution(0.1, 1000.0, log=True),
            "gamma": FloatDistribution(1e-4, 1.0, log=True),
            "kernel": CategoricalDistribution(("rbf", "poly")),
            "degree": IntDistribution(2, 5),
        },
        conditions={"degree": Condition("kernel", ("poly",))},
    )
    result = reconcile(infer(configs), asked, configs, Policy(defaults={"degree": 3}))
    sigmoid = [i for i, config in enumerate(configs) if config["kernel"] == "sigmoid"]
    assert [index for index, _ in result.dropped] == sigmoid
    assert all("'sigmoid' is none of" in reason for _, reason in result.dropped)
    assert all(asked.contains(config) for config in result.kept)
