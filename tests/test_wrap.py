"""`headstart run`: what is recorded of a command, whatever it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metastore
from metastore.command_words import parse
from metastore.errors import InvalidInputError
from metastore.journal import NotRecordedWarning
from metastore.printed import metrics_of
from metastore.reports import RunFilter, runs, show
from metastore.wrap import run_command
from tests.test_cli import ROOT

PY = sys.executable


@pytest.fixture
def store(tmp_path: Path) -> metastore.MetaStore:
    return metastore.open(tmp_path / "store")


def ran(store: metastore.MetaStore, code: str, *words: str, **options: Any) -> dict[str, Any]:
    """Run a script and return what is recorded of it, its exit status under `returned`."""
    script = store.paths.folder / "train.py"
    script.write_text(code)
    returned = run_command(store, [PY, str(script), *words], "iris", **options)
    (row,) = runs(store, RunFilter(limit=1))
    return {**show(store, row["run"]), "returned": returned}


def test_options_become_the_config() -> None:
    words = "python train.py --lr 0.1 --depth=3 -n -5 --deep --name x data/a.csv wd=1e-4 true"
    command = parse(words.split())
    assert command.config == {
        "lr": 0.1, "depth": 3, "n": -5, "deep": True, "name": "x", "arg1": "data/a.csv",
        "wd": 1e-4, "arg2": True,
    }  # fmt: skip
    assert (command.name, command.text) == ("train.py", words)


@pytest.mark.parametrize(
    ("line", "name", "config"),
    [
        ("/usr/bin/python3.11 -m pkg.train --lr 1", "pkg.train", {"lr": 1}),
        ("./fit.sh 3", "fit.sh", {"arg1": 3}),
        ("/opt/bin/trainer in.csv", "trainer", {"arg1": "in.csv"}),
        ("python sub/train.py sub/data.csv", "train.py", {"arg1": "sub/data.csv"}),
    ],
)
def test_the_program_is_the_name(line: str, name: str, config: dict[str, Any]) -> None:
    command = parse(line.split())
    assert (command.name, dict(command.config)) == (name, config)


def test_nothing_to_run_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="put it after --"):
        parse([])


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8))
def test_any_words_make_a_config_that_can_be_stored(words: list[str]) -> None:
    from metastore.types import canonical_json  # noqa: PLC0415

    canonical_json(parse(["python", *words]).config)


SECRETS = [
    ["--api-key", "K7SECRET"],
    ["--password=K7SECRET"],
    ["--password", "-K7SECRET"],
    ["-p", "K7SECRET"],
    ["DB_PASSWORD=K7SECRET"],
    ["--url", "https://me:K7SECRET@host/x"],
    ["--db=postgres://me:K7SECRET@host"],
    ["https://me:K7SECRET@host/x"],
    ["--header", "Authorization: Bearer K7SECRET"],
    ["--env", "TOKEN=K7SECRET"],
]


@pytest.mark.parametrize("words", SECRETS, ids=" ".join)
def test_secrets_are_not_recorded(
    words: list[str], store: metastore.MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "K8SECRET")
    code = "import os, sys; sys.exit(f'cannot use {sys.argv} {os.environ[\"HF_TOKEN\"]}')"
    seen = ran(store, code, *words, "--lr", "0.1")
    assert seen["config"]["lr"] == 0.1
    assert seen["status"] == "failed"
    store.close()
    for path in store.paths.folder.rglob("*"):
        if path.is_file() and path.name != "train.py":
            assert b"K7SECRET" not in path.read_bytes(), path.name
            assert b"K8SECRET" not in path.read_bytes(), path.name


def test_printed_pairs_become_metrics_and_epochs_curves(store: metastore.MetaStore) -> None:
    code = (
        "for e in range(3): print(f'epoch={e} loss={1 / (e + 1)}')\n"
        "print('saved model=3 files')\nprint('accuracy=0.9', end='')"
    )
    seen = ran(store, code)
    assert seen["status"] == "completed"
    assert seen["returned"] == 0
    assert {row["metric"]: row["value"] for row in seen["results"]} == {
        "accuracy": 0.9,
        "loss": pytest.approx(1 / 3),
    }
    (loss,) = [row for row in seen["curves"] if row["metric"] == "loss"]
    assert loss["steps"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("loss=nan", True),
        ("a=1, b=2; c = 3 | d=-1e-3", True),
        ("n=3 files", False),
        ("url=http://x", False),
        ("", False),
    ],
)
def test_only_lines_of_pairs_are_metrics(line: str, found: bool) -> None:
    assert bool(metrics_of(line)[1]) is found


@pytest.mark.parametrize(
    "line", ["step=nan loss=0.5", "epoch=inf loss=0.5", f"step={10**19} loss=0.5"]
)
def test_a_step_that_is_no_number_of_a_step_loses_nothing(
    line: str, store: metastore.MetaStore, capfd: pytest.CaptureFixture[str]
) -> None:
    code = f"print('{line}')\nfor e in range(9000): print('noise', e)\nprint('loss=0.25')"
    seen = ran(store, code, timeout=30)
    assert (seen["status"], seen["results"][0]["value"]) == ("completed", 0.25)
    assert "noise 8999" in capfd.readouterr().out


def test_a_line_that_cannot_be_recorded_is_told_once(store: metastore.MetaStore) -> None:
    code = f"for e in range(3): print('{'x' * 1001}=1')\nprint('loss=0.25')"
    with pytest.warns(NotRecordedWarning, match="a printed line was not recorded") as told:
        seen = ran(store, code, timeout=30)
    assert len(told) == 1
    assert [(row["metric"], row["value"]) for row in seen["results"]] == [("loss", 0.25)]


def test_a_listener_that_breaks_does_not_stop_the_training(
    store: metastore.MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(self: object, text: str) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr("metastore.printed.PrintedMetrics.line", breaks)
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    seen = ran(store, "for e in range(99999): print('noise', e)", timeout=30)
    assert seen["status"] == "completed"


def test_a_script_reports_to_its_run(
    store: metastore.MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    seen = ran(store, "import metastore; metastore.current_run().result(f1=0.5)")
    assert [(row["metric"], row["value"]) for row in seen["results"]] == [("f1", 0.5)]


@pytest.mark.parametrize(
    ("code", "returned", "status", "error"),
    [
        ("raise RuntimeError('no way')", 1, "failed", "exit status 1: RuntimeError: no way"),
        ("import os; os.kill(os.getpid(), 9)", 137, "failed", "ended by signal SIGKILL"),
        ("import os; os.kill(os.getpid(), 15)", 143, "interrupted", "ended by signal SIGTERM"),
        ("import time; time.sleep(60)", 124, "timeout", None),
    ],
)
def test_ends(
    code: str, returned: int, status: str, error: str | None, store: metastore.MetaStore
) -> None:
    seen = ran(store, code, timeout=1.5)
    assert (seen["returned"], seen["status"], seen["error"] or None) == (returned, status, error)


def test_timeout_ends_what_the_command_started(store: metastore.MetaStore) -> None:
    start = time.monotonic()
    assert run_command(store, ["sh", "-c", "sleep 61.25; true"], "iris", timeout=0.5) == 124
    assert time.monotonic() - start < 5
    assert not [
        line for line in subprocess.getoutput("ps -eo args").splitlines() if line == "sleep 61.25"
    ]


@pytest.mark.parametrize(("word", "returned"), [("no-such-command", 127), ("./data", 126)])
def test_a_command_that_cannot_start(
    word: str,
    returned: int,
    store: metastore.MetaStore,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(store.paths.folder)
    Path("data").write_text("x")
    assert run_command(store, [word], "iris") == returned
    assert f"cannot start '{word}'" in capfd.readouterr().err
    assert runs(store, RunFilter())[0]["status"] == "failed"


def test_output_passes_through_as_it_is(
    store: metastore.MetaStore, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    code = (
        "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4)\n"
        "sys.stdout.write('x' * 20_000_000); sys.stderr.write('bar\\rbar 2')"
    )
    start = time.monotonic()
    assert ran(store, code)["status"] == "completed"
    assert time.monotonic() - start < 10
    found = capfdbinary.readouterr()
    assert found.out == bytes(range(256)) * 4 + b"x" * 20_000_000
    assert found.err == b"bar\rbar 2"


def headstart(store: metastore.MetaStore, *command: str, **options: Any) -> subprocess.Popen[str]:
    line = [PY, "-m", "cli", "run", "-s", str(store.paths.folder), "--dataset", "iris", "--"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*line, *command], cwd=ROOT, text=True, **{**pipes, **options})


def test_standard_input_reaches_the_command(store: metastore.MetaStore) -> None:
    out, err = headstart(store, "cat").communicate("accuracy=0.25\n", timeout=30)
    assert (out, err) == ("accuracy=0.25\n", "")
    assert runs(store, RunFilter())[0]["results"] == ["accuracy=0.25"]


def test_a_reader_that_leaves_does_not_stop_the_training(store: metastore.MetaStore) -> None:
    code = "for e in range(30000): print('loss=1', 'noise' * 9)\nprint('accuracy=0.75')"
    process = headstart(store, PY, "-c", code)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    process.communicate(timeout=30)
    assert runs(store, RunFilter())[0]["results"] == ["accuracy=0.75"]


@pytest.fixture
def hangs_up() -> Iterator[None]:
    """What is started heeds SIGHUP, even where these tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "status", "error"),
    [
        (signal.SIGTERM, "interrupted", "ended by signal SIGTERM"),
        (signal.SIGHUP, "interrupted", "ended by signal SIGHUP"),
        (signal.SIGINT, "interrupted", "KeyboardInterrupt"),
        (signal.SIGKILL, "crashed", "the process that ran it"),
    ],
)
def test_signals_to_the_wrapper(
    number: int, status: str, error: str, store: metastore.MetaStore, hangs_up: None
) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(20)"
    process = headstart(store, PY, "-c", code)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    os.kill(process.pid, number)
    process.wait(30)
    if number == signal.SIGKILL:
        os.kill(child, signal.SIGKILL)
    else:
        assert process.returncode == 128 + number
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    process.communicate(timeout=10)
    (row,) = runs(store, RunFilter())
    assert row["status"] == status
    assert row["error"].startswith(error)


def test_several_hang_ups_are_one(store: metastore.MetaStore, hangs_up: None) -> None:
    code = (
        "import signal, time\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGTERM, lambda *_: exit(time.sleep(1)))\n"
        "print('ready', flush=True); time.sleep(20)"
    )
    process = headstart(store, PY, "-c", code)
    assert process.stdout is not None
    assert process.stdout.readline()
    for _ in range(3):
        os.kill(process.pid, signal.SIGHUP)
        time.sleep(0.3)
    process.communicate(timeout=30)
    (row,) = runs(store, RunFilter())
    assert (row["status"], row["error"]) == ("interrupted", "ended by signal SIGHUP")


def test_a_hang_up_is_ignored_under_nohup(store: metastore.MetaStore, hangs_up: None) -> None:
    code = "print('ready', flush=True); import time; time.sleep(2); print('accuracy=0.5')"
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process = headstart(store, PY, "-c", code)
    assert process.stdout is not None
    assert process.stdout.readline()
    os.kill(process.pid, signal.SIGHUP)
    process.communicate(timeout=30)
    assert runs(store, RunFilter())[0]["status"] == "completed"
