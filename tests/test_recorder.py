"""What the recorder writes: runs beside one that cannot be stored are kept and whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import metastore
from metastore import MetaStore
from metastore.errors import InvalidInputError
from metastore.journal import NotRecordedWarning
from metastore.types import DatasetRef, MetricValue, RunRecord
from tests.recorded import runs


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
