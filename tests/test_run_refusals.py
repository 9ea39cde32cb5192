"""What cannot be recorded is refused before training, in words, and breaks nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from optuna.distributions import FloatDistribution

from metastore import HeadstartError, MetaStore
from metastore.errors import InvalidInputError
from metastore.types import DatasetRef, RunRecord
from tests.recorded import runs, values


def test_a_run_without_with_is_refused_before_anything_is_lost(store: MetaStore) -> None:
    run = store.run("iris", "svc", {})
    for record in (run.log, run.result):
        with pytest.raises(HeadstartError, match=r"inside `with store.run"):
            record(accuracy=0.9)
    with run:
        run.result(accuracy=0.9)
    with pytest.raises(HeadstartError, match="begun before"), run:
        pass
    assert values(store, "accuracy") == [(None, 0.9)]


class _Odd:
    def __repr__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"config": {"f": lambda x: x}}, "f="),
        ({"config": {"code": "x" * 10_000_000}}, "10,000,0"),
        ({"config": [1]}, "mapping"),
        ({"config": {"C": math.nan}}, "C="),
        ({"config": {"name": "\udc80"}}, "name="),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**64}, "64 bits"),
        ({"seed": "one"}, "seed"),
        ({"fidelity": "half"}, "fidelity"),
        ({"fidelity": math.inf}, "fidelity"),
        ({"tags": ["a"]}, "tags"),
        ({"algorithm": ""}, "algorithm"),
        ({"algorithm": "x" * 2000}, "algorithm"),
        ({"dataset": ""}, "name"),
        ({"dataset": "bad\udc80"}, "dataset"),
        ({"dataset": "nul\0"}, "NUL"),
        ({"dataset": _Odd()}, ""),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_training(
    store: MetaStore, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        store.run(**{"dataset": "iris", "algorithm": "svc", "config": {}, **given})
    assert said in str(caught.value)
    assert len(str(caught.value)) < 600
    store.add(RunRecord(DatasetRef("iris"), "svc", {}))
    assert len(runs(store)) == 1


@pytest.mark.parametrize("bad", ["0.5", None, True, "x", object(), 10**400, 1j])
def test_a_metric_that_is_no_number_is_refused(store: MetaStore, bad: Any) -> None:
    with store.run("iris", "svc", {}) as run:
        with pytest.raises(InvalidInputError, match="accuracy"):
            run.result(accuracy=bad)
        with pytest.raises(InvalidInputError, match="accuracy"):
            run.log(loss=1.0, accuracy=bad)
        for step in (0.5, "x", math.inf, 2**70):
            with pytest.raises(InvalidInputError, match="step"):
                run.log(step=step, loss=1.0)  # type: ignore[arg-type]
        run.log(loss=1.0)
    assert values(store, "loss") == [(0, 1.0), (None, 1.0)]


def test_distributions_by_parameter_are_a_space(store: MetaStore) -> None:
    with store.run("d", "svc", {"C": 2.0}, space={"C": FloatDistribution(1, 5)}) as run:
        run.result(accuracy=0.5)
    assert store.search_space("svc").distributions == {"C": FloatDistribution(1, 5)}
    for given in ({"C": (1, 5)}, "C"):
        with pytest.raises(InvalidInputError, match=r"space: expected a SearchSpace, or optuna"):
            store.run("d", "svc", {"C": 2.0}, space=given)  # type: ignore[arg-type]


def test_a_direction_is_given_by_metric(store: MetaStore) -> None:
    with pytest.raises(InvalidInputError, match=r"higher_is_better: expected True or False by met"):
        store.run("d", "svc", {}, higher_is_better=True)  # type: ignore[arg-type]
