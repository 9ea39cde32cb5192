"""Another process describes a table file: the same numbers, and nothing of it is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

import metastore
from metastore import describing
from metastore.datasets import describe
from metastore.describing import Describing, begin, mark_of, recall, remember
from metastore.metafeatures import extract
from recommenders import Question, ask
from recommenders.asked_file import as_if_described, teaches_the_same
from recommenders.asking import left_out
from recommenders.explaining import as_json
from tests.processes import ROOT


def write_digits(folder: Path, name: str = "digits.csv") -> str:
    X, y = load_digits(return_X_y=True)
    table = np.column_stack([X[:200, 2:12], y[:200]])
    header = ",".join([*(f"x{i}" for i in range(10)), "y"])
    np.savetxt(folder / name, table, delimiter=",", header=header, comments="")
    return str(folder / name)


def is_alive(pid: int) -> bool:
    """Whether a process is there, and not waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_end(pid: int) -> None:
    until = time.monotonic() + 30
    while is_alive(pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_another_process_finds_what_this_one_does(tmp_path: Path) -> None:
    file = write_digits(tmp_path)
    with Describing(file, "y") as other:
        found = other.result()
    assert found is not None
    ref, table = describe(file, "y")
    assert table is not None
    assert found[0] == ref
    alike = [
        [replace(one, seconds=0.0) for one in features] for features in (found[1], extract(table))
    ]
    assert alike[0] == alike[1]


@pytest.mark.parametrize(
    ("content", "target"), [("", "y"), ("a,b\n1,2\n", "y"), ("a,y\n1\n,,,,\n", "y")]
)
def test_of_a_bad_file_another_process_says_nothing(
    content: str, target: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with Describing(str(tmp_path / "bad.csv"), target) as other:
        assert other.result() is None


def test_what_is_warned_of_is_left_to_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_digits(tmp_path)
    assert describing._described(file, "y") is not None

    def warn(*_: Any) -> Any:
        warnings.warn("something odd", UserWarning, stacklevel=2)
        return describe(file, "y")

    monkeypatch.setattr("metastore.datasets.describe", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert describing._described(file, "y") is None


def test_no_process_is_begun_where_it_does_not_pay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_digits(tmp_path)
    begun: list[str] = []
    monkeypatch.setattr(describing, "Describing", lambda file, target: begun.append(file))
    monkeypatch.setattr(describing, "processors", lambda: 2)
    begin(file, "y", tmp_path)  # scikit-learn is imported already
    assert begun == []
    monkeypatch.delitem(sys.modules, "sklearn")
    begin(file, "y", tmp_path)
    assert begun == [file]
    for other in (str(tmp_path / "none.csv"), "iris", str(tmp_path)):
        begin(other, "y", tmp_path)
    monkeypatch.setattr(describing, "processors", lambda: 1)
    begin(file, "y", tmp_path)
    monkeypatch.setattr(describing, "processors", lambda: 2)
    monkeypatch.setattr(describing, "MOST_BYTES", 10)
    begin(file, "y", tmp_path)
    monkeypatch.undo()
    assert begun == [file]


def described_file(folder: Path) -> tuple[metastore.MetaStore, str]:
    """Return a store that has described a table file, with a run of it, and the file."""
    file = write_digits(folder)
    store = metastore.open(folder / "store")
    ref = store.dataset(file, "y")
    store.add(metastore.RunRecord(ref, "svc", {"C": 1.0}, (metastore.MetricValue("loss", 0.5),)))
    store.set_direction("loss", higher_is_better=False)
    remember(file, "y", store.paths.folder, ref)
    return store, file


def test_a_store_knows_a_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, file = described_file(tmp_path)
    folder = store.paths.folder
    monkeypatch.delitem(sys.modules, "sklearn")
    monkeypatch.setattr(describing, "processors", lambda: 2)
    begun: list[Any] = []
    monkeypatch.setattr(describing, "Describing", lambda *asked: begun.append(asked))
    assert recall(file, "y", folder) == describe(file, "y")[0]
    begin(file, "y", folder)
    assert begun == []
    begin(file, "x1", folder)
    Path(file).write_text(Path(file).read_text() + "0,0,0,0,0,0,0,0,0,0,1\n")
    begin(file, "y", folder)
    assert begun == [(file, "x1"), (file, "y")]
    assert mark_of(str(tmp_path / "none.csv"), "y", folder) is None
    assert not list((folder / "described").glob(f"*.{os.getpid()}"))


def test_what_an_earlier_version_described_is_described_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = described_file(tmp_path)
    folder = store.paths.folder
    assert recall(file, "y", folder) is not None
    for version in ("metastore.fingerprint.SCHEME", "metastore.profiles.VERSION"):
        monkeypatch.setattr(version, "later")
        assert recall(file, "y", folder) is None
        monkeypatch.undo()
    monkeypatch.setattr("metastore.metafeatures.feature.VERSION", "later")
    assert recall(file, "y", folder) is None
    monkeypatch.undo()
    (mark,) = (folder / "described").glob("file-*")
    kept = mark.read_text()
    for damaged in ("", "[]", '{"versions": []}', kept[:-9], kept.replace("n_rows", "rows")):
        mark.write_text(damaged)
        assert recall(file, "y", folder) is None
    mark.write_text(kept)
    for features in (folder / "described").glob("*-1"):
        features.unlink()
    assert recall(file, "y", folder) is None


def test_a_known_file_is_asked_about_without_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = described_file(tmp_path)
    first = ask(store, file, "y")
    monkeypatch.setattr("recommenders.asked_file.describe", None)
    monkeypatch.setattr("metastore.recording.describe", None)
    again = ask(store, file, "y")
    assert as_json(again) == as_json(first)
    assert again.dataset == "digits"
    assert again.observed == 1


def test_a_file_that_another_store_described_is_described_here(tmp_path: Path) -> None:
    store, file = described_file(tmp_path)
    other = metastore.open(tmp_path / "other")
    shutil.copytree(store.paths.folder / "described", other.paths.folder / "described")
    other.add(
        metastore.RunRecord(
            metastore.DatasetRef("iris"), "svc", {"C": 1.0}, (metastore.MetricValue("loss", 0.5),)
        )
    )
    other.set_direction("loss", higher_is_better=False)
    assert ask(other, file, "y").dataset == "digits"
    assert "digits" in {row["name"] for row in other.rows("SELECT name FROM latest_datasets")}


KEEPS_ASKING = """
import sys
from metastore.describing import Describing

sys.path.insert(0, sys.argv[2])
with Describing(sys.argv[1], "y") as other:
    print(other._process.pid, flush=True)
    other.result()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells who is alive")
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_is_left_behind(by: signal.Signals, tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    never = f"import pathlib, time\npathlib.Path({str(reached)!r}).touch()\ntime.sleep(300)\n"
    (tmp_path / "pandas.py").write_text(never)
    with subprocess.Popen(
        [sys.executable, "-c", KEEPS_ASKING, write_digits(tmp_path), str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pid = int(process.stdout.readline())
        until = time.monotonic() + 60
        while not reached.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        assert is_alive(pid)
        if by == signal.SIGINT:  # as a terminal does it: to all processes in front
            os.killpg(process.pid, by)
        else:
            process.send_signal(by)
        wait_for_end(pid)
        process.wait(30)
        said = process.stderr.read()
    assert said.count("KeyboardInterrupt") == (by == signal.SIGINT)


RECOMMEND = """
import sys
import metastore.describing
if sys.argv.pop(1) == "alone":
    metastore.describing.begin = lambda *_: None
else:
    metastore.describing.processors = lambda: 2
import cli
cli.main()
"""


def recommended(how: str, store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RECOMMEND, how, "recommend", *arguments, "--store", str(store)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_answers_alike_with_and_without(small_store: Path, tmp_path: Path) -> None:
    file = write_digits(tmp_path)
    other = Path(shutil.copytree(small_store, tmp_path / "other"))
    alone = recommended("alone", small_store, file, "--target", "y", "--json")
    both = recommended("both", other, file, "--target", "y", "--json")
    assert alone.returncode == both.returncode == 0, both.stderr
    assert both.stdout == alone.stdout
    assert len(list((other / "described").glob("file-*"))) == 1
    described = "SELECT dataset_id, name, value FROM latest_metafeatures ORDER BY ALL"
    stores = [metastore.open(path) for path in (small_store, other)]
    kept = [[row | {"value": str(row["value"])} for row in one.rows(described)] for one in stores]
    assert kept[0] == kept[1]
    again = recommended("both", other, file, "--target", "y", "--json")
    assert json.loads(again.stdout) == json.loads(alone.stdout)


def test_the_command_says_the_same_of_a_bad_file(small_store: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3,4\n")
    said = [
        recommended(how, small_store, str(tmp_path / "bad.csv"), "--target", "y")
        for how in ("alone", "both")
    ]
    assert [one.returncode for one in said] == [2, 2]
    assert said[0].stderr == said[1].stderr
    assert "no column named 'y'" in said[1].stderr


def test_a_twin_that_is_found_out_late_teaches_nothing(small_store: Path, tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)
    X = X / X.max(axis=0)
    header = "a,b,c,d,y"
    file = str(tmp_path / "flowers.csv")
    np.savetxt(file, np.column_stack([X, y])[::-1], delimiter=",", header=header, comments="")
    other = Path(shutil.copytree(small_store, tmp_path / "other"))
    alone = ask(metastore.open(small_store), file, "y", Question(recommender="nearest"))
    with Describing(file, "y") as beside:
        late = ask(metastore.open(other), file, "y", Question(recommender="nearest"), beside)
    assert as_json(late) == as_json(alone)
    assert late.left_out == ("iris",)
    past = {n.dataset for one in late.recommendations for n in one.evidence.neighbours}
    assert past == {"wine", "breast_cancer"}


def test_what_is_learned_before_a_dataset_is_known_must_be_the_same(
    small_store: Path, tmp_path: Path
) -> None:
    store = metastore.open(small_store)
    before = store.view("accuracy")
    guess = as_if_described(before)
    ref = store.dataset(write_digits(tmp_path), "y")
    after = left_out(store.described(before), store.label(ref))
    assert teaches_the_same(guess, after)
    assert not teaches_the_same(guess, after.without(["iris"]))
    assert not teaches_the_same(guess, replace(after, groups={"iris": 0, "wine": 0}))
    changed = replace(after.meta, values=after.meta.values + 1)
    assert not teaches_the_same(guess, replace(after, meta=changed))
    fewer = replace(after.meta, names=after.meta.names[1:], values=after.meta.values[:, 1:])
    assert not teaches_the_same(guess, replace(after, meta=fewer))
