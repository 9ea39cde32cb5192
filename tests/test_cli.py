"""Each command, as a person at a terminal and as a program behind a pipe sees it."""

from __future__ import annotations

import csv
import io
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import cli
import metastore
import recommenders
from tests.commands import RunIt

ROOT = Path(cli.__file__).parent


def commands() -> Iterator[tuple[str, Any]]:
    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        parts = getattr(command, "commands", None)
        if parts is None:
            yield name, command
        for part, below in (parts or {}).items():
            yield from walk(f"{name} {part}".strip(), below)

    return walk("", typer.main.get_command(cli.application()))


@pytest.mark.parametrize(("name", "command"), [pytest.param(n, c, id=n) for n, c in commands()])
def test_every_command_has_help_with_an_example_that_parses(
    name: str, command: Any, headstart: RunIt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = headstart(*name.split(), "--help")
    assert shown.status == 0
    found = re.search(r"^ +Example: headstart (.+)$", shown.out, re.MULTILINE)
    assert found, f"headstart {name}: its help lacks a line 'Example: headstart ...'"
    words = shlex.split(found[1])
    assert words[: len(name.split())] == name.split()
    command.make_context("headstart", words[len(name.split()) :])
    for parameter in command.params:
        assert getattr(parameter, "help", "") or parameter.name == "help", parameter.name


def test_help_names_every_recommender(headstart: RunIt) -> None:
    shown = headstart("recommend", "--help").out
    assert [name for name in recommenders.names() if name not in shown] == []


def test_help_lists_every_command_with_its_whole_summary(headstart: RunIt) -> None:
    shown = headstart("--help").out
    assert "..." not in shown.partition("Commands:")[2]
    assert {name.split()[0] for name, _ in commands()} <= set(shown.split())


@pytest.mark.parametrize("width", [80, 120])
def test_runs_are_one_line_each(
    width: int, headstart: RunIt, small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = headstart("runs").out.splitlines()
    assert len(lines) == 1 + 16
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:5] == ["run", "dataset", "algorithm", "status", "results"]
    assert any("KNeighborsClassifier" in line or "…" in line for line in lines)
    assert sum("accuracy=0." in line for line in lines) == 15


def test_behind_a_pipe_nothing_is_cropped(
    headstart: RunIt, small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = headstart("runs", "--status", "failed").out
    assert "ZeroDivisionError: no split" in shown
    assert "…" not in shown


LISTING = [
    ("runs",),
    ("datasets",),
    ("show", "iris"),
    ("doctor",),
    ("query", "SELECT * FROM runs"),
    ("recommend", "iris", "--as-new", "--recommender", "portfolio"),
    ("backtest", "--metric", "accuracy", "--recommender", "portfolio"),
]


@pytest.mark.parametrize("words", LISTING, ids=lambda words: words[0])
def test_json_and_csv_can_be_read_back(
    words: tuple[str, ...], headstart: RunIt, small_store: Path
) -> None:
    as_json, as_csv = headstart(*words, "--json"), headstart(*words, "--csv")
    assert as_json.status == as_csv.status == 0
    assert as_json.err == as_csv.err == ""
    found = as_json.json
    rows = list(csv.DictReader(io.StringIO(as_csv.out, newline="")))
    assert rows
    assert None not in rows[0]
    if isinstance(found, list):
        assert len(found) == len(rows)
        assert list(found[0]) == list(rows[0])
    assert headstart(*words).out.strip()


def test_an_empty_answer_is_valid_in_every_form(headstart: RunIt, small_store: Path) -> None:
    nothing = ("query", "SELECT * FROM runs WHERE false")
    assert headstart(*nothing, "--json").json == []
    with_rows = headstart("query", "SELECT * FROM runs", "--csv").out
    assert headstart(*nothing, "--csv").out.split() == with_rows.split()[:1]
    assert headstart(*nothing).out == "nothing found\n"


@pytest.mark.parametrize("name", ["runs", "datasets", "starts"])
def test_csv_without_a_row_has_the_columns_of_one_with_rows(
    name: str, headstart: RunIt, small_store: Path
) -> None:
    metastore.open("empty")
    empty = headstart(name, "--store", "empty", "--csv").out.splitlines()
    said: Any = {"learner": {"type": "Conv4"}, "input_shape": (1, 28, 28)}
    metastore.open(small_store).add_start({"w": np.ones((2, 2))}, name="mine", **said)
    full = headstart(name, "--csv").out.splitlines()
    assert len(full) > 1
    assert empty == full[:1]
    if name == "runs":
        assert headstart("runs", "--status", "pruned", "--csv").out.splitlines() == empty


def test_show_takes_a_run_by_the_end_of_its_id(headstart: RunIt, small_store: Path) -> None:
    listed = headstart("runs", "--metric", "accuracy", "--json").json[0]
    shown = headstart("show", listed["run"][-8:], "--json").json
    assert shown["run"] == listed["run"]
    assert shown["curves"] == [{"metric": "loss", "steps": [0, 1], "values": [1.0, 0.5]}]
    text = headstart("show", listed["run"][-8:]).out
    assert listed["run"] in text
    assert "accuracy" in text
    common = listed["run"][:4]  # the time, which all of these runs share
    refused = headstart("show", common)
    assert refused.status == 2
    assert "several runs" in refused.err


def test_show_a_dataset_tells_its_meta_features(headstart: RunIt, small_store: Path) -> None:
    shown = headstart("show", "iris", "--json").json
    assert shown["metafeatures"]["n_rows"] == 150
    assert "accuracy" in {row["metric"] for row in shown["best"]}


def test_a_direction_is_settled_by_a_command(headstart: RunIt, small_store: Path) -> None:
    with metastore.open(small_store).run("iris", "x", {}) as run:
        run.result(quux=0.5)
    asked = ("recommend", "wine", "--metric", "quux", "--recommender", "random")
    assert "headstart direction quux higher" in headstart(*asked).err
    assert headstart("direction", "quux", "lower").out == "quux: lower is better\n"
    assert headstart(*asked).status == 0
    assert "did you mean 'quux'" in headstart("direction", "quu", "lower").err
    assert "expected higher or lower" in headstart("direction", "quux", "down").err


def test_recommend_says_what_to_run_and_why(headstart: RunIt, small_store: Path) -> None:
    shown = headstart("recommend", "wine", "--as-new", "--recommender", "nearest", "-n", "2")
    assert shown.status == 0
    assert re.search(r"^1\. sklearn\.x\.\w+: expected accuracy 0\.\d+", shown.out)
    assert "because " in shown.out
    assert "Learned from 10 runs on 2 datasets by nearest" in shown.out
    as_json = headstart("recommend", "wine", "--as-new", "--json").json
    assert as_json["dataset"] == "wine"
    assert as_json["recommendations"][0]["evidence"]["neighbours"]


def test_backtest_tells_regret(headstart: RunIt, small_store: Path) -> None:
    words = ("backtest", "--metric", "accuracy", "--recommender", "random", "--budget", "3")
    shown = headstart(*words)
    assert shown.status == 0
    assert "random" in shown.out
    assert "3 datasets, each left out" in shown.out
    found = headstart(*words, "--json").json
    assert found["budget"] == 3


def test_import_twice_changes_nothing(headstart: RunIt, tmp_path: Path) -> None:
    table = "dataset,algorithm,config.C,metric,value\na,svc,1,accuracy,0.5\nb,svc,1,accuracy,0.7\n"
    (tmp_path / "runs.csv").write_text(table)
    first, second = (headstart("import", "table", "runs.csv") for _ in range(2))
    assert "2 new runs" in first.out
    assert "0 new runs" in second.out
    assert "2 runs were there already" in second.out
    (tmp_path / "meta.csv").write_text("dataset,rows\na,3\nb,4\n")
    assert "2 new values" in headstart("import", "metafeatures", "meta.csv").out


def test_real_tables_import_as_they_are(headstart: RunIt, realdata: Any) -> None:
    folder = realdata("sklearn_benchmarks")
    assert "2,408 new runs" in headstart("import", "table", folder / "runs_logreg.parquet").out
    assert headstart("import", "metafeatures", folder / "metafeatures.parquet").status == 0
    shown = headstart("recommend", "iris", "--as-new", "--recommender", "nearest", "--json").json
    assert len(shown["recommendations"]) == 5
    assert shown["abstained"] is False


def test_store_from_the_environment(
    headstart: RunIt, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_store.rename(tmp_path / "elsewhere")
    assert headstart("runs").status == 2
    monkeypatch.setenv("HEADSTART_STORE", str(tmp_path / "elsewhere"))
    assert headstart("runs").status == 0


def test_doctor_exits_1_when_something_needs_a_hand(headstart: RunIt, small_store: Path) -> None:
    assert headstart("doctor").status == 0
    (small_store / "rejected").mkdir(exist_ok=True)
    (small_store / "rejected" / "x.jsonl").write_text("{\n")
    assert headstart("doctor").status == 1


def test_run_returns_the_status_of_the_command(headstart: RunIt) -> None:
    code = "import sys; print('accuracy=0.5'); sys.exit(3)"
    ran = headstart("run", "--dataset", "a", "--algorithm", "b", "--", sys.executable, "-c", code)
    assert (ran.status, ran.out, ran.err) == (3, "accuracy=0.5\n", "")
    (row,) = headstart("runs", "--json").json
    assert row["status"] == "failed"
    assert row["error"] == "exit status 3"


def shell(line: str, store: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {line}"],
        cwd=ROOT,
        env={"HEADSTART_STORE": str(store), "PATH": "/usr/bin:/bin", "PY": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_reader_that_stops_early_is_no_error(small_store: Path) -> None:
    many = '"SELECT * FROM metric_values, range(200)" --csv'
    ended = shell(f"$PY -m cli query {many} | head -1", small_store)
    assert ended.stdout.startswith("run_id,")
    assert ended.stderr == ""
    assert ended.returncode == 141


def test_another_distribution_of_our_name_is_named(small_store: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "recommenders").mkdir(parents=True)
    (tmp_path / "other" / "recommenders" / "__init__.py").write_text("raise ImportError('no')")
    line = f"cd /; PYTHONPATH={tmp_path / 'other'}:{ROOT} $PY -m cli recommend iris"
    ended = shell(line, small_store)
    assert ended.returncode == 2
    (said,) = ended.stderr.splitlines()
    assert said.startswith("headstart: expected Headstart's package 'recommenders' in")
    assert str(tmp_path / "other" / "recommenders") in said
    assert "pip uninstall recommenders" in said


def imported(line: str, store: Path) -> set[str]:
    listed = shell(f"$PY -X importtime {line}", store)
    assert listed.returncode == 0, listed.stderr[-500:]
    return {row.rpartition("|")[2].strip().split(".")[0] for row in listed.stderr.splitlines()}


def test_light_commands_import_light(small_store: Path) -> None:
    heavy = {"torch", "pandas", "sklearn", "duckdb", "optuna", "scipy", "pymfe", "numpy", "pyarrow"}
    assert not heavy & imported("-m cli --help", small_store)
    asked = "-m cli recommend wine --as-new --recommender nearest"
    assert not {"torch", "sklearn", "pymfe"} & imported(asked, small_store)


def test_ctrl_c_is_one_word(small_store: Path) -> None:
    query = "SELECT count(*) FROM range(100000000000) a, range(1000) b"
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "query", query, "--store", str(small_store)],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for _ in range(10):
            time.sleep(4)  # a busy machine may take as long to bring the command up
            process.send_signal(signal.SIGINT)
            if process.poll() is not None:
                break
        process.kill()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
