"""Wrong inputs, one by one, as a new user types them: one clear line each, and nothing lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import metastore
import recommenders
from metastore.errors import HeadstartError, InvalidInputError
from recommenders import Question, ask
from tests.commands import RunIt

INJECTION = "'; DROP TABLE runs; --"
UNICODE = "naïve — 数据 🎈 \x1b[31m"


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    """The files that a new user has lying about."""
    (tmp_path / "notes.txt").write_text("Dear diary,\ntoday I trained\n")
    (tmp_path / "notes.csv").write_text("Dear diary,\ntoday, I, trained\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("a,b,y\n")
    (tmp_path / "iris.csv").write_text("a,b,y\n" + "1,2,0\n3,1,1\n" * 30)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 16)
    (tmp_path / "text.duckdb").write_text("not a database\n")
    (tmp_path / "train.py").write_text("print('accuracy=0.5')\n")
    (tmp_path / "mixed.csv").write_text(
        "dataset,algorithm,config,metric,value,higher_is_better\n"
        'a,x,"{}",m1,0.5,true\nb,x,"{}",m1,0.5,false\n'
    )
    (tmp_path / "nan.csv").write_text(
        'dataset,algorithm,config,metric,value\na,x,"{}",accuracy,nan\nb,x,"{}",accuracy,inf\n'
        'c,x,"{}",accuracy,high\nd,x,"{C: 1}",accuracy,0.5\ne,x,"{}",accuracy,0.5\n'
    )


ASK = ("recommend", "iris.csv", "--target")
WRONG = [
    (("runs", "-s", "nowhere"), "there is no store at nowhere"),
    (("recommend", "iris", "-s", "nowhere"), "headstart import table"),
    (("doctor", "-s", "nowhere"), "there is no store"),
    (("runs", "-s", "notes.txt"), "is a file, not a Headstart store"),
    (("runs", "-s", "text.duckdb"), "no Headstart store: it is not a DuckDB database"),
    (("import", "table", "nan.csv", "-s", "text.duckdb"), "it is not a DuckDB database"),
    (("import", "table", "nan.csv", "-s", "/proc/no/store"), "/proc/no"),
    (("runs", "-s", ""), "a store needs a path"),
    ((*ASK, "z"), "no column named 'z'. The columns are: a, b, y"),
    (("recommend", "iris.csv"), "Say --target NAME; its last columns are: a, b, y"),
    (("recommend", "notes.txt", "--target", "y"), "no table"),
    (("recommend", "notes.csv", "--target", "y"), "is no table"),
    (("recommend", "empty.csv", "--target", "y"), "is empty"),
    (("recommend", "header.csv", "--target", "y"), "a header but no rows"),
    (("recommend", "binary.csv", "--target", "y"), "binary.csv is"),
    (("recommend", "none.csv", "--target", "y"), "no file 'none.csv'"),
    (("recommend", "irsi"), "did you mean 'iris'"),
    (("recommend", INJECTION), "no dataset"),
    (("recommend", UNICODE), "no dataset"),
    (("recommend", "iris", "--metric", "acuracy"), "did you mean 'accuracy'"),
    (("recommend", "iris", "--metric", INJECTION), "no metric"),
    (("recommend", "iris", "--algorithm", INJECTION), "no algorithm"),
    (("recommend", "iris", "--recommender", "nearst"), "did you mean 'nearest'"),
    (("recommend", "iris", "-n", "0"), "greater than or equal to 1"),
    (("recommend", "iris", "-n", "few"), "'-n'"),
    (("recommend", "iris", "--json", "--csv"), "choose one of --json, --csv"),
    (("backtest", "--metric", "nope"), "no metric 'nope'"),
    (("backtest", "--metric", "accuracy", "--budget", "0"), "greater than or equal to 1"),
    (("backtest", "--metric", "accuracy", "--recommender", "x"), "no recommender named 'x'"),
    (("backtest",), "--metric"),
    (("runs", "--status", "done"), "expected one of running, completed"),
    (("runs", "--dataset", "irsi"), "did you mean 'iris'"),
    (("runs", "--algorithm", INJECTION), "no algorithm"),
    (("runs", "--metric", INJECTION), "no metric"),
    (("runs", "-n", "0"), "at least 1, got 0"),
    (("show", INJECTION), "no run, dataset or algorithm"),
    (("show", "019aa5f7"), "no run, dataset or algorithm"),
    (("rums",), "rums"),
    (("runs", "--jsn"), "--jsn"),
    (("import", "table", "none.csv"), "no file 'none.csv'"),
    (("import", "table", "."), "is a folder"),
    (("import", "table", "notes.txt"), "expected a table ending in .parquet"),
    (("import", "table", "empty.csv"), "is empty"),
    (("import", "table", "header.csv"), "is no table of runs: no column dataset"),
    (("import", "table", "binary.csv"), "cannot be read as a table"),
    (("import", "metafeatures", "iris.csv"), "expected a column dataset"),
    (("run", "--dataset", "iris"), "'command'"),
    (("run", "--", "true"), "--dataset"),
    (("run", "--dataset", "none.csv", "--", "true"), "no file 'none.csv'"),
    (("run", "--dataset", "iris.csv", "--target", "z", "--", "true"), "no column named 'z'"),
    (("query", ""), "no statement"),
    (("query", "SELEC 1"), "syntax error"),
    (("query", "SELECT * FROM rnus"), "rnus"),
    (("query", INJECTION), "the query failed"),
    (("query", "SELECT * FROM read_csv('/etc/passwd')"), "file system operations are disabled"),
    (("query", "SELECT * FROM '/etc/passwd'"), "the query failed"),
    (("query", "SELECT * FROM glob('/etc/*')"), "disabled"),
    (("query", "COPY (SELECT 1) TO 'out.csv'"), "disabled"),
    (("query", "ATTACH 'other.db'"), "disabled"),
    (("query", "INSTALL httpfs"), "disabled"),
    (("query", "LOAD httpfs"), "the query failed"),
    (("query", "EXPORT DATABASE 'out'"), "the query failed"),
    (("query", "SET enable_external_access = true"), "the query failed"),
    (("query", "SELECT 1; DROP TABLE runs"), "read-only"),
    (("query", "DROP TABLE runs"), "read-only"),
    (("query", "DELETE FROM runs"), "read-only"),
    (("query", "UPDATE runs SET status = 'x'"), "read-only"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"), [pytest.param(words, said, id=" ".join(words)) for words, said in WRONG]
)
def test_one_clear_line(
    words: tuple[str, ...], said: str, headstart: RunIt, small_store: Path, tmp_path: Path
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    ended = headstart(*words)
    assert ended.status == 2
    assert ended.out == ""
    assert "Traceback" not in ended.err
    lines = ended.err.strip().splitlines()
    assert lines[-1].startswith("headstart: ") or words[0] == "query"
    assert lines[0].startswith("headstart: ")
    assert len(lines) == 1 or words[0] == "query"
    assert said.lower() in ended.err.lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    kept = metastore.open(small_store).rows("SELECT count(*) AS n FROM runs")
    assert kept == [{"n": 16}]


def test_bad_rows_are_refused_and_good_ones_land(headstart: RunIt) -> None:
    ended = headstart("import", "table", "nan.csv")
    assert ended.status == 1
    assert "3 new runs (2 without a finite value: failed)" in ended.out
    assert "2 rows were refused" in ended.err
    assert "line 4: " in ended.err
    assert "line 5: config is no JSON object: {C: 1}" in ended.err


def test_mixed_directions_are_refused(headstart: RunIt) -> None:
    ended = headstart("import", "table", "mixed.csv")
    assert ended.status == 1
    assert "mixed directions: metric 'm1'" in ended.err


def test_a_store_from_the_future(headstart: RunIt, small_store: Path) -> None:
    con = duckdb.connect(str(small_store / "store.duckdb"))
    con.execute("INSERT INTO migrations VALUES (99, 'future', now()::TIMESTAMP)")
    con.close()
    ended = headstart("runs")
    assert ended.status == 2
    assert "made by a newer Headstart (it has migration 99" in ended.err
    assert "upgrade" in ended.err


def test_no_name_commands_the_terminal_that_advice_is_printed_on(
    headstart: RunIt, small_store: Path
) -> None:
    name = "red\x1b[31m\x9b2J\r\u202egpj"
    store = metastore.open(small_store)
    for seed in range(3):
        with store.run(name, "SVC" + name, {"C" + name: float(seed)}) as run:
            run.result(accuracy=0.6)
    store.close()
    for asked in (
        ("recommend", "iris", "--metric", "accuracy", "--algorithm", "SVC" + name),
        ("recommend", name, "--algorithm", "SVC" + name),
        ("show", name),
        ("recommend", "no" + name),
    ):
        ended = headstart(*asked)
        assert r"red\x1b[31m\x9b2J" in ended.out + ended.err
        assert not set("\x1b\x9b\r\u202e").intersection(ended.out + ended.err)
    (row,) = json.loads(headstart("query", "SELECT name FROM datasets", "--json").out)[-1:]
    assert row == {"name": name}


@pytest.mark.parametrize("name", [INJECTION, UNICODE, "a\nb", "x" * 900, "-1", "%s{0}", "NULL"])
def test_any_name_is_only_a_name(name: str, headstart: RunIt, small_store: Path) -> None:
    store = metastore.open(small_store)
    with store.run(name, name, {name: name}, tags={name: name}) as run:
        run.result(**{name: 0.5, "accuracy": 0.6})
    store.close()
    (row,) = headstart("runs", "--dataset=" + name, "--json").json
    assert (row["dataset"], row["algorithm"]) == (name.strip(), name.strip())
    assert json.loads(row["config"]) == {name: name}
    assert headstart("show", "--json", "--", name).json["runs"] == 1
    asked = headstart("recommend", "--recommender", "portfolio", "--json", "--", name)
    assert asked.json["recommendations"]
    assert metastore.open(small_store).rows("SELECT count(*) AS n FROM runs") == [{"n": 17}]


RAISING: list[tuple[str, Callable[[metastore.MetaStore], Any], str]] = [
    ("lambda", lambda s: s.run("d", "a", {"f": lambda x: x}), "cannot be stored"),
    ("object", lambda s: s.run("d", "a", {"f": object()}), "'object'"),
    ("nan", lambda s: s.run("d", "a", {"C": float("nan")}), "C=.*finite number"),
    ("10 MB", lambda s: s.run("d", "a", {"text": "x" * 10_000_000}), "longest value is 'text'"),
    ("no mapping", lambda s: s.run("d", "a", [1]), "expected a mapping"),  # type: ignore[arg-type]
    ("number name", lambda s: s.run("d", "a", {1: 1}), "must be strings"),  # type: ignore[dict-item]
    ("no name", lambda s: s.run(" ", "a", {}), "empty name"),
    ("no algorithm", lambda s: s.run("d", " ", {}), "algorithm: expected a name"),
    ("target", lambda s: s.dataset(np.zeros((3, 2)), [1, 2]), "3"),
    (
        "text metric",
        lambda s: s.run("d", "a", {}).__enter__().result(accuracy="high"),
        "a number, got 'high'",
    ),  # type: ignore[arg-type]
    (
        "half a step",
        lambda s: s.run("d", "a", {}).__enter__().log(step=0.5, loss=1.0),
        "an integer, got 0.5",
    ),  # type: ignore[arg-type]
    ("metric", lambda s: s.view("accurracy"), "did you mean 'accuracy'"),
    ("algorithm", lambda s: s.view("accuracy", "SVC"), "no algorithm 'SVC'"),
    ("dataset", lambda s: s.view("accuracy", exclude=["irsi"]), "did you mean 'iris'"),
    ("ask", lambda s: ask(s, "irsi"), "did you mean 'iris'"),
    (
        "n",
        lambda s: ask(s, "iris", question=Question(n=0)),
        "n: expected a positive whole number, got 0",
    ),
    (
        "n within a time",
        lambda s: ask(s, "iris", question=Question(n=0, budget_seconds=60.0)),
        "n: expected a positive whole number, got 0",
    ),
    ("query", lambda s: s.query("DROP TABLE runs"), "read-only"),
    ("recommender", lambda s: recommenders.make("nearst"), "did you mean 'nearest'"),
]


@pytest.mark.parametrize(("call", "said"), [pytest.param(c, s, id=n) for n, c, s in RAISING])
def test_python_raises_one_clear_error(
    call: Callable[[metastore.MetaStore], Any], said: str, small_store: Path
) -> None:
    store = metastore.open(small_store)
    with pytest.raises(HeadstartError, match=said):
        call(store)
    assert store.rows("SELECT count(*) AS n FROM runs WHERE algorithm <> 'a'") == [{"n": 16}]


def test_mixed_directions_in_python_name_the_way_out(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store")
    for name, higher in (("a", True), ("b", False)):
        with store.run(name, "x", {}, higher_is_better={"m1": higher}) as run:
            run.result(m1=0.5)
    with pytest.raises(HeadstartError, match=r"settle it with store\.set_direction"):
        store.view("m1")
    store.set_direction("m1", higher_is_better=True)
    assert store.view("m1").n_datasets == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_result_that_is_not_finite_fails_the_run_not_the_training(
    value: float, tmp_path: Path
) -> None:
    store = metastore.open(tmp_path / "store")
    with pytest.warns(UserWarning, match="recorded as failed"), store.run("a", "x", {}) as run:
        run.result(accuracy=value)
    (row,) = store.rows("SELECT status, error FROM run_states")
    assert row == {"status": "failed", "error": f"accuracy is {value}"}


def test_a_store_that_cannot_be_made_does_not_stop_training(headstart: RunIt) -> None:
    ended = headstart("run", "-s", "/proc/no", "--dataset", "d", "--", "echo", "accuracy=0.5")
    assert (ended.status, ended.out) == (0, "accuracy=0.5\n")
    assert "not recorded" in ended.err


def test_a_store_whose_file_was_lost_says_so(headstart: RunIt, small_store: Path) -> None:
    shutil.rmtree(small_store)
    small_store.mkdir()
    assert "there is no store at headstart-store" in headstart("runs").err


def test_errors_are_values_errors_too() -> None:
    assert issubclass(InvalidInputError, ValueError)
