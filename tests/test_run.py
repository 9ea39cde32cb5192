"""Runs that are open while they train: training is never broken, and what it said is kept."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import os
import subprocess
import threading
import warnings
from collections.abc import Generator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from sklearn.svm import SVC

import metastore
from metastore import HeadstartError, MetaStore, current_run
from metastore.errors import InvalidInputError
from metastore.journal import NotRecordedWarning
from metastore.run import NotFiniteWarning, Run
from metastore.types import DatasetRef, MetricValue, RunRecord
from tests.processes import python


def runs(store: MetaStore) -> pd.DataFrame:
    return store.query(
        "SELECT r.*, d.name AS dataset, c.config FROM run_states AS r "
        "LEFT JOIN latest_datasets AS d USING (dataset_id) "
        "LEFT JOIN configs AS c USING (config_id) ORDER BY started_at"
    )


def values(store: MetaStore, metric: str) -> list[tuple[int | None, float]]:
    rows = store.query(
        "SELECT step, value FROM metric_values WHERE metric = ? ORDER BY ALL", [metric]
    )
    return [(None if pd.isna(s) else int(s), v) for s, v in rows.to_numpy()]


def test_a_run_records_what_it_was_given_and_what_it_said(store: MetaStore) -> None:
    with store.run("iris", "svc", {"C": 1}, seed=np.int64(3), fidelity=np.float32(0.5),
                   split="5-fold", tags={"who": 1}) as run:  # fmt: skip
        run.log(step=0, loss=1.0)
        run.log(step=np.int32(1), loss=np.float32(0.5))
        run.result(accuracy=np.float64(0.9), f1=1)
    [row] = runs(store).to_dict("records")
    assert (row["status"], row["dataset"], row["algorithm"]) == ("completed", "iris", "svc")
    assert (row["seed"], row["fidelity"], row["split"]) == (3, 0.5, "5-fold")
    assert (row["config"], row["tags"]) == ('{"C":1}', '{"who":"1"}')
    assert row["seconds"] >= 0
    assert abs((row["started_at"] - pd.Timestamp.now("UTC").tz_localize(None)).total_seconds()) < 60
    assert values(store, "loss") == [(0, 1.0), (1, 0.5), (None, 0.5)]
    assert values(store, "accuracy") == [(None, 0.9)]


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


def test_a_curve_may_hold_nan(store: MetaStore) -> None:
    with store.run("iris", "svc", {}) as run:
        run.log(loss=1.0)
        run.log(loss=math.nan)
        run.result(accuracy=0.5)
    assert runs(store)["status"][0] == "completed"
    assert [step for step, _ in values(store, "loss")] == [0, 1, None]
    view = store.view("loss")
    assert (view.n_cells, len(view.failed_config)) == (0, 1)
    assert store.view("accuracy").n_cells == 1


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


def test_a_metric_that_was_only_logged_counts_with_its_last_value(store: MetaStore) -> None:
    with store.run("iris", "svc", {}) as run:
        for accuracy in (0.1, 0.7, 0.6):
            run.log(accuracy=accuracy)
    assert store.view("accuracy").cell_score.tolist() == [0.6]


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


def test_nested_runs_and_the_current_one(store: MetaStore) -> None:
    with pytest.raises(HeadstartError, match="no run is open"):
        current_run()
    with store.run("iris", "search", {}) as outer:
        assert current_run() is outer
        with store.run("iris", "svc", {}, parent=outer.id) as inner:
            assert current_run() is inner
            current_run().result(accuracy=0.5)
        assert current_run() is outer
    frame = runs(store)
    assert str(frame["parent_id"][1]) == str(outer.id)


def test_threads_log_into_one_run(store: MetaStore) -> None:
    def work() -> None:
        for _ in range(10):
            current_run().log(loss=1.0)

    with store.run("iris", "svc", {}):
        context = contextvars.copy_context
        threads = [threading.Thread(target=context().run, args=(work,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert values(store, "loss") == [*((i, 1.0) for i in range(40)), (None, 1.0)]


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


def test_runs_beside_a_bad_one_are_kept_and_whole(store: MetaStore) -> None:
    good = RunRecord(DatasetRef("d"), "svc", {"C": 1}, (MetricValue("accuracy", 0.5),))
    bad = RunRecord(DatasetRef("d"), "svc", {"C": object()})
    said = r"2 of 4 runs cannot be stored, the others were: run 2 \(and 1 more\): .*C="
    with pytest.raises(InvalidInputError, match=said):
        store.add([good, bad, bad, good])
    assert store.add([good]) == 1
    assert list(runs(store)["config"]) == ['{"C":1}'] * 3


def test_runs_beside_one_that_is_too_long_are_kept_and_whole(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metastore.recorder, "MAX_LINE_BYTES", 5_000)
    curve = tuple(MetricValue("loss", float(i), step=i) for i in range(1000))
    long = RunRecord(DatasetRef("other"), "svc", {"C": 2}, curve)
    good = [RunRecord(DatasetRef(d), "svc", {"C": c}) for d in ("d", "other") for c in (1, 2)]
    with pytest.raises(InvalidInputError, match=r"1 of 5 runs cannot be stored.*run 1: a run of"):
        store.add([long, *good])
    assert sorted(zip(runs(store)["dataset"], runs(store)["config"], strict=True)) == [
        ("d", '{"C":1}'), ("d", '{"C":2}'), ("other", '{"C":1}'), ("other", '{"C":2}'),
    ]  # fmt: skip


def test_a_disk_that_is_full_for_a_while_leaves_later_runs_whole(
    store: MetaStore, tmp_path: Path
) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", tmp_path / "store"],
                      check=False, capture_output=True).returncode:  # fmt: skip
        pytest.skip("cannot mount a small disk here")
    try:
        small = metastore.open(tmp_path / "elsewhere")
        small._recorder.journal.folder = tmp_path / "store" / "journals"
        with small.run("iris", "svc", {"C": 1}) as run:
            run.result(accuracy=0.5)
        filler = tmp_path / "store" / "filler"
        with pytest.warns(NotRecordedWarning, match="No space left") as caught:
            with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as out:
                while True:
                    out.write(bytes(1024))
            for i in range(3):
                with small.run("other", "svc", {"C": 2}) as run:
                    while not small._recorder.journal.lost:
                        run.log(loss=1.0)
                    run.result(accuracy=float(i))
        assert len(caught) == 1
        filler.unlink()
        with small.run("other", "svc", {"C": 2}) as run:
            run.result(accuracy=0.7)
        small._recorder.journal.close()
        for file in sorted((tmp_path / "store" / "journals").iterdir()):
            (tmp_path / "elsewhere" / "journals").mkdir(exist_ok=True)
            (tmp_path / "elsewhere" / "journals" / file.name).write_bytes(file.read_bytes())
    finally:
        subprocess.run(["umount", "-l", tmp_path / "store"], check=True)
    view = small.view("accuracy")
    assert view.datasets == ("iris", "other")
    assert sorted(view.cell_score) == [0.5, 0.7]
    assert small.absorb().rejected == 0


def test_after_a_failed_write_everything_a_run_refers_to_is_said_again(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(store._recorder.journal, "append", lambda lines: False)
        assert store.add(RunRecord(DatasetRef("d"), "svc", {"C": 1})) == 0
    with store.run("d", "svc", {"C": 1}) as run:
        run.result(accuracy=0.5)
    assert list(runs(store)["config"]) == ['{"C":1}']
    assert store.view("accuracy").datasets == ("d",)


def _log_in_child() -> None:
    current_run().log(accuracy=0.25)
    current_run().result(f1=0.5)


def test_a_forked_child_adds_to_its_parents_run_and_does_not_end_it(store: MetaStore) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with store.run("iris", "svc", {}) as run:
            child = get_context("fork").Process(target=_log_in_child)
            child.start()
            child.join()
            pid = _fork_and_leave(run)
            os.waitpid(pid, 0)
            assert runs(store)["status"][0] == "running"
            run.result(accuracy=0.9)
    assert runs(store)["status"][0] == "completed"
    assert values(store, "f1") == [(None, 0.5)]
    assert values(store, "accuracy") == [(0, 0.25), (None, 0.9)]


def _fork_and_leave(run: Run) -> int:
    """Fork a child that leaves the run's block by an exception."""
    pid = os.fork()
    if pid == 0:
        run.__exit__(SystemExit, SystemExit(1), None)
        os._exit(0)
    return pid


SCRIPT = """
import metastore
run = metastore.current_run()
for accuracy in (0.1, 0.2, 0.3):
    run.log(accuracy=accuracy, quux_error=1 - accuracy)
run.result(f1=0.75)
assert metastore.current_run() is run
"""


def test_a_script_under_another_process_adds_to_its_run(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.run("iris", "train.py", {"lr": 0.1}) as run:
        for name, value in run.environment(store.paths).items():
            monkeypatch.setenv(name, value)
        done = python(SCRIPT)
        assert done.returncode == 0, done.stderr
    assert values(store, "accuracy") == [(0, 0.1), (1, 0.2), (2, 0.3), (None, 0.3)]
    assert store.view("accuracy").cell_score.tolist() == [0.3]
    assert store.view("f1").cell_score.tolist() == [0.75]
    assert store.view("quux_error").higher_is_better is False


def test_a_working_folder_that_was_deleted_breaks_nothing(
    store: MetaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with store.run("iris", "svc", {}) as run:
        run.result(accuracy=0.5)
    monkeypatch.chdir(tmp_path)
    assert store.view("accuracy").n_cells == 1


def test_a_class_is_named_as_its_estimators_are(store: MetaStore) -> None:
    for algorithm in (SVC, SVC(), "sklearn.svm.SVC"):
        with store.run("d", algorithm, {"C": 1.0}) as run:
            run.result(accuracy=0.5)
    assert store.view("accuracy").algorithms == ("sklearn.svm.SVC",)


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


def test_calls_without_a_step_go_on_after_those_with_one(store: MetaStore) -> None:
    with store.run("iris", "svc", {}) as run:
        for step in (0, 1, 5):
            run.log(step=step, loss=1.0 + step)
        run.log(loss=0.5, other=3.0)
        run.log(loss=0.25)
    steps = [(0, 1.0), (1, 2.0), (5, 6.0), (6, 0.5), (7, 0.25), (None, 0.25)]
    assert values(store, "loss") == steps
    assert values(store, "other") == [(0, 3.0), (None, 3.0)]


def test_a_loss_that_still_has_its_gradient_is_a_number(store: MetaStore) -> None:
    torch = pytest.importorskip("torch")
    loss = torch.ones(1, requires_grad=True).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with store.run("iris", "net", {}) as run:
            run.log(loss=loss)
            run.result(accuracy=torch.tensor([0.5]))
    assert values(store, "loss") == [(0, 1.0), (None, 1.0)]
    assert values(store, "accuracy") == [(None, 0.5)]


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
