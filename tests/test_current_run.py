"""The open run: nested, in threads, in forked children and in scripts of other processes."""

from __future__ import annotations

import contextvars
import os
import threading
import warnings
from multiprocessing import get_context

import pytest

from metastore import HeadstartError, MetaStore, current_run
from metastore.run import Run
from tests.processes import python
from tests.recorded import runs, values


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
