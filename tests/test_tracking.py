"""Training functions under the decorator: what counts as a config, and what as a result."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.svm import SVC

from metastore import MetaStore, current_run
from metastore.errors import InvalidInputError
from metastore.journal import NotRecordedWarning
from metastore.tracking import LONGEST, config_of, results_of
from tests.recorded import runs, values

X = np.arange(6.0).reshape(2, 3)


def fit(X: Any = None, lr: Any = 0.1, *rest: Any, depth: Any = 3, **more: Any) -> float:
    return 0.5


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((), {}, {"X": None, "lr": 0.1, "depth": 3}),
        ((X,), {}, {"lr": 0.1, "depth": 3}),
        ((), {"X": X, "lr": 0.2}, {"lr": 0.2, "depth": 3}),
        ((), {"X": pd.DataFrame(X), "y": pd.Series([1, 2])}, {"lr": 0.1, "depth": 3}),
        ((torch.ones(2), torch.tensor(0.5)), {}, {"lr": 0.5, "depth": 3}),
        ((X, np.float32(0.5)), {"depth": np.int64(7)}, {"lr": 0.5, "depth": 7}),
        ((X, None), {"depth": np.bool_(True)}, {"lr": None, "depth": True}),
        ((X, 0.3, 5, 6), {"model": SVC()}, {"lr": 0.3, "depth": 3}),
        (([1.0, 2.0], "auto"), {}, {"lr": "auto", "depth": 3}),
        ((X,), {"depth": (64, 32), "opts": {"a": [1]}}, None),
        ((X,), {"rows": [[1.0] * LONGEST, [2.0]], "depth": b"x"}, {"lr": 0.1}),
        ((X,), {"rows": [X], "depth": {1: 2}}, {"lr": 0.1}),
    ],
)
def test_hyperparameters_are_told_from_data(args: Any, kwargs: Any, expected: Any) -> None:
    expected = expected or {"lr": 0.1, "depth": (64, 32), "opts": {"a": [1]}}
    assert config_of(fit, args, kwargs) == expected
    assert json.loads(json.dumps(config_of(fit, args, kwargs)))


def test_a_function_as_argument_is_left_out_aloud() -> None:
    with pytest.warns(NotRecordedWarning, match="'kernel' of fit is a function"):
        assert config_of(fit, (X,), {"kernel": len}) == {"lr": 0.1, "depth": 3}
    with pytest.warns(NotRecordedWarning, match="'kind' of fit is a class"):
        config_of(fit, (X,), {"kind": SVC})


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (0.5, {"score": 0.5}),
        (np.float32(0.5), {"score": 0.5}),
        (torch.tensor(0.5, requires_grad=True), {"score": 0.5}),
        ({"accuracy": 0.5, "model": SVC(), "name": "x"}, {"accuracy": 0.5}),
        (({"accuracy": 0.5}, SVC()), {"accuracy": 0.5}),
        ((SVC(), 0.5), {"score": 0.5}),
        ((0.5, {"accuracy": 0.25}), {"accuracy": 0.25}),
        (None, {}),
    ],
)
def test_results_are_found_in_what_is_returned(outcome: Any, expected: dict[str, float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert results_of(outcome, "fit", said=False) == expected


@pytest.mark.parametrize("outcome", [SVC(), "done", True, (1.0, 2.0), {"model": SVC()}, X])
def test_what_holds_no_result_is_returned_and_said(store: MetaStore, outcome: Any) -> None:
    @store.track("iris")
    def train(lr: float) -> Any:
        return outcome

    with pytest.warns(NotRecordedWarning, match="train returned"):
        assert train(0.1) is outcome
    (status,) = store.rows("SELECT status FROM run_states")
    assert status["status"] == "completed"


def test_what_said_its_results_itself_may_return_anything(store: MetaStore) -> None:
    @store.track("iris")
    def train(lr: float) -> SVC:
        current_run().result(accuracy=0.5)
        return SVC()

    assert isinstance(train(0.1), SVC)
    assert store.rows("SELECT metric, value FROM metric_values") == [
        {"metric": "accuracy", "value": 0.5}
    ]


def test_a_coroutine_is_recorded_while_it_is_awaited(store: MetaStore) -> None:
    @store.track("iris")
    async def train(lr: float) -> dict[str, float]:
        await asyncio.sleep(0.2)
        current_run().log(loss=lr)
        return {"accuracy": 1 - lr}

    async def both() -> list[dict[str, float]]:
        return await asyncio.gather(train(0.25), train(0.5))

    assert asyncio.run(both()) == [{"accuracy": 0.75}, {"accuracy": 0.5}]
    found = store.rows(
        "SELECT config, metric, value, seconds > 0.15 AS timed FROM run_states "
        "JOIN configs USING (config_id) JOIN metric_values USING (run_id) "
        "WHERE step IS NULL ORDER BY ALL"
    )
    assert [tuple(row.values()) for row in found] == [
        ('{"lr":0.25}', "accuracy", 0.75, True),
        ('{"lr":0.25}', "loss", 0.25, True),
        ('{"lr":0.5}', "accuracy", 0.5, True),
        ('{"lr":0.5}', "loss", 0.5, True),
    ]


def test_what_cannot_be_tracked_is_refused_before_it_runs(store: MetaStore) -> None:
    def steps(lr: float) -> Iterator[float]:
        yield lr

    async def waits(lr: float) -> AsyncIterator[float]:
        yield lr

    for generator in (steps, waits):
        with pytest.raises(InvalidInputError, match="is a generator"):
            store.track("iris")(generator)
    with pytest.raises(InvalidInputError, match="expected a function that trains, got float"):
        store.track("iris")(0.5)  # type: ignore[arg-type]


def test_the_decorator(store: MetaStore) -> None:
    @store.track("iris", seed=1)
    def fit(scale: float, *, C: float, fail: bool = False) -> dict[str, float]:
        """Docs stay."""
        if fail:
            raise RuntimeError("no")
        return {"accuracy": scale * C}

    @store.track("iris", "other")
    def score(x: int) -> int:
        return x

    assert fit(2.0, C=0.25) == {"accuracy": 0.5}
    with pytest.raises(RuntimeError):
        fit(2.0, C=1, fail=True)
    assert score(x=3) == 3
    assert fit.__doc__ == "Docs stay."
    frame = runs(store)
    assert list(frame["algorithm"]) == ["fit", "fit", "other"]
    assert list(frame["status"]) == ["completed", "failed", "completed"]
    assert values(store, "accuracy") == [(None, 0.5)]
    assert values(store, "score") == [(None, 3.0)]


def test_the_decorator_knows_positional_arguments_by_name(store: MetaStore) -> None:
    @store.track("iris")
    def fit(data: list[float], rate: float, *rest: int, deep: bool = False) -> float:
        return rate

    for rate in (0.1, 0.9):
        fit([1.0], rate, 4)
    fit([1.0], 0.5, deep=True)
    assert list(runs(store)["config"]) == [
        '{"deep":false,"rate":0.1}',
        '{"deep":false,"rate":0.9}',
        '{"deep":true,"rate":0.5}',
    ]
    assert store.view("score").n_cells == 3
