"""How a run ends: completed, failed, pruned or interrupted; and it takes nothing more then."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import Generator

import optuna
import pytest

from metastore import HeadstartError, MetaStore
from metastore.run import NotFiniteWarning
from tests.recorded import runs, values


@pytest.mark.parametrize(
    ("error", "status", "failures"),
    [
        (ValueError("bad \udc80 luck"), "failed", 1),
        (SystemExit(3), "failed", 1),
        (KeyboardInterrupt(), "interrupted", 0),
    ],
)
def test_an_exception_ends_the_run_and_is_raised_on(
    store: MetaStore, error: BaseException, status: str, failures: int
) -> None:
    with store.run("wine", "svc", {}) as run:
        run.result(accuracy=0.5)
    with pytest.raises(type(error)) as caught, store.run("iris", "svc", {}) as run:
        run.result(accuracy=0.9)
        raise error
    assert caught.value is error
    row = runs(store).to_dict("records")[-1]
    assert row["status"] == status
    assert type(error).__name__ in row["error"]
    assert len(store.view("accuracy").failed_config) == failures


@pytest.mark.parametrize("status", [None, 0])
def test_leaving_a_script_that_is_done_is_no_failure(store: MetaStore, status: int | None) -> None:
    with pytest.raises(SystemExit), store.run("iris", "svc", {}) as run:
        run.log(accuracy=0.9)
        raise SystemExit(status)
    assert list(runs(store)["status"]) == ["completed"]
    assert store.view("accuracy").cell_score.tolist() == [0.9]


def test_a_very_long_message_is_cut(store: MetaStore) -> None:
    with pytest.raises(ValueError, match="xxx"), store.run("iris", "svc", {}):
        raise ValueError("x" * 10_000_000)
    assert len(runs(store)["error"][0]) == 2000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_result_that_is_not_finite_makes_a_failed_run(store: MetaStore, value: float) -> None:
    with pytest.warns(NotFiniteWarning, match="recorded as failed"):  # noqa: SIM117
        with store.run("iris", "svc", {}) as run:
            run.result(accuracy=value, f1=0.5)
    [row] = runs(store).to_dict("records")
    assert (row["status"], row["error"]) == ("failed", f"accuracy is {value}")
    [(_, stored)] = values(store, "accuracy")
    assert stored == value or (math.isnan(stored) and math.isnan(value))
    view = store.view("accuracy")
    assert (view.n_cells, len(view.failed_config)) == (0, 1)


def test_a_run_that_diverged_while_it_was_logged_failed(store: MetaStore) -> None:
    with pytest.warns(NotFiniteWarning, match="loss is nan"):  # noqa: SIM117
        with store.run("iris", "svc", {}) as run:
            run.log(loss=1.0)
            run.log(loss=math.nan)
    assert list(runs(store)["status"]) == ["failed"]
    assert len(store.view("loss").failed_config) == 1


def test_an_exception_can_be_the_reason(store: MetaStore) -> None:
    with store.run("iris", "svc", {}) as run:
        run.failed(MemoryError("8 GB"))
    assert list(runs(store)["error"]) == ["MemoryError: 8 GB"]


def test_ends_that_were_said(store: MetaStore) -> None:
    with store.run("iris", "svc", {"C": 1}) as run:
        run.log(loss=1.0)
        run.pruned()
    with store.run("iris", "svc", {"C": 2}) as run:
        run.timed_out()
    with store.run("iris", "svc", {"C": 3}) as run:
        run.failed("out of memory")
    with store.run("iris", "svc", {"C": 4}) as run:
        run.result(loss=0.5)
    assert list(runs(store)["status"]) == ["pruned", "timeout", "failed", "completed"]
    assert runs(store)["error"][2] == "out of memory"
    assert store.view("loss").n_cells == 1


def test_a_run_that_goes_on_is_no_failure_yet(store: MetaStore) -> None:
    with store.run("iris", "svc", {"C": 1}) as run:
        run.result(accuracy=0.5)
    with store.run("iris", "svc", {"C": 2}) as run:
        run.result(accuracy=0.6)
        view = store.view("accuracy")
        assert (view.n_cells, len(view.failed_config)) == (1, 0)
    assert store.view("accuracy").n_cells == 2


def test_a_trial_that_is_pruned_inside_a_run_is_a_pruned_run(store: MetaStore) -> None:
    with pytest.raises(optuna.TrialPruned), store.run("iris", "svc", {"C": 1}) as run:
        run.log(step=0, accuracy=0.5)
        raise optuna.TrialPruned
    assert list(runs(store)["status"]) == ["pruned"]


def test_what_is_stopped_from_outside_is_interrupted(store: MetaStore) -> None:
    def by_parts() -> Generator[int]:
        with store.run("iris", "svc", {"C": 1}):
            yield 1

    parts = by_parts()
    next(parts)
    parts.close()

    async def wait() -> None:
        with store.run("iris", "svc", {"C": 2}):
            await asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert list(runs(store)["status"]) == ["interrupted"] * 2


@pytest.mark.parametrize("error", [None, ValueError("no split")])
def test_a_run_that_has_ended_takes_nothing_more(store: MetaStore, error: Exception | None) -> None:
    with contextlib.suppress(ValueError), store.run("d", "svc", {"C": 1}) as run:
        run.result(accuracy=0.5)
        if error is not None:
            raise error
    refused: list[str] = []

    def say_more() -> None:
        for say in (lambda: run.result(accuracy=0.9), lambda: run.log(loss=1.0)):
            try:
                say()
            except HeadstartError as said:
                refused.append(str(said))

    say_more()
    thread = threading.Thread(target=say_more)
    thread.start()
    thread.join()
    assert len(refused) == 4
    assert all("has ended with its `with` block" in words for words in refused)
    found = store.rows("SELECT metric, value FROM metric_values")
    assert found == [{"metric": "accuracy", "value": 0.5}]
