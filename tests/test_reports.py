"""What doctor finds on damaged stores, and what listings say."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from sklearn.datasets import load_iris, load_wine

import metastore
from metastore.errors import InvalidInputError, UnknownNameError
from metastore.reports import RunFilter, datasets, doctor, metrics, runs, show
from metastore.types import DatasetRef, MetricValue, RunRecord


def found(store: metastore.MetaStore) -> dict[str, tuple[bool, str]]:
    return {finding.check: (finding.well, finding.finding) for finding in doctor(store)}


def test_a_sound_store_is_well(small_store: Path) -> None:
    said = found(metastore.open(small_store))
    assert all(well for well, _ in said.values())
    assert said["tables"][1].startswith("16 runs, 3 datasets")
    assert said["meta-features"][1] == "3 of 3 datasets have meta-features"


def test_rejected_lines_need_a_hand(small_store: Path) -> None:
    (small_store / "journals").mkdir(exist_ok=True)
    name = "0194a1b2-0000-7000-8000-000000000000-0000.jsonl"
    (small_store / "journals" / name).write_text('{"event":"run"\nnot json at all\n')
    well, said = found(metastore.open(small_store))["rejected lines"]
    assert not well
    assert said.startswith("1 file")


def test_orphan_runs_need_a_hand(small_store: Path) -> None:
    con = duckdb.connect(str(small_store / "store.duckdb"))
    con.execute("DELETE FROM configs")
    con.close()
    well, said = found(metastore.open(small_store))["references"]
    assert not well
    assert said.startswith("16 runs lack their config or dataset")


def test_mixed_directions_need_a_hand_until_settled(small_store: Path) -> None:
    store = metastore.open(small_store)
    for name, higher in (("iris", True), ("wine", False)):
        with store.run(name, "x", {}, higher_is_better={"m1": higher}) as run:
            run.result(m1=0.5)
    well, said = found(store)["directions"]
    assert not well
    assert "m1" in said
    store.set_direction("m1", higher_is_better=False)
    assert found(store)["directions"][0]


def test_runs_are_filtered_and_the_newest_come_first(small_store: Path) -> None:
    store = metastore.open(small_store)
    assert runs(store, RunFilter())[0]["status"] == "failed"
    assert len(runs(store, RunFilter(dataset="wine"))) == 5
    assert {row["results"][0][:9] for row in runs(store, RunFilter(metric="accuracy"))} == {
        "accuracy="
    }
    assert runs(store, RunFilter(dataset="wine", status="failed")) == []


def test_listings(small_store: Path) -> None:
    store = metastore.open(small_store)
    assert {row["dataset"]: row["runs"] for row in datasets(store)} == {
        "iris": 6,
        "wine": 5,
        "breast_cancer": 5,
    }
    assert {row["metric"]: row["higher_is_better"] for row in metrics(store)} == {
        "accuracy": True,
        "loss": False,
    }


def test_show_by_part_of_an_id(small_store: Path) -> None:
    store = metastore.open(small_store)
    run = runs(store, RunFilter(limit=1))[0]["run"]
    assert show(store, run)["error"] == show(store, run[-8:].upper())["error"]
    with pytest.raises(InvalidInputError, match="say more of it"):
        show(store, run[:5])
    with pytest.raises(UnknownNameError, match="did you mean 'iris'"):
        show(store, "irsi")


def test_two_files_of_one_name_are_two_datasets_everywhere(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store")
    for number, load in enumerate((load_wine, load_iris)):
        ref = store.dataset(*load(return_X_y=True), name="data")
        with store.run(ref, "svc", {"C": number}) as run:
            run.result(accuracy=(1 + number) / 4)
    first, second = sorted(store.view("accuracy").datasets)
    assert (first, second[:5]) == ("data", "data@")
    listed = {row["dataset"]: (row["rows"], row["runs"]) for row in datasets(store)}
    assert listed == {first: (178, 1), second: (150, 1)}
    for label, accuracy in ((first, 0.25), (second, 0.5)):
        assert [row["value"] for row in show(store, label)["best"]] == [accuracy]
        (row,) = runs(store, RunFilter(dataset=label))
        assert (row["dataset"], row["results"]) == (label, [f"accuracy={accuracy}"])
    assert {show(store, label)["metafeatures"]["n_rows"] for label in (first, second)} == {150, 178}
    assert found(store)["tables"][1].startswith("2 runs, 2 datasets")


def test_the_best_is_told_by_the_settled_direction(small_store: Path) -> None:
    store = metastore.open(small_store)
    for value in (0.1, 0.9):
        with store.run("iris", "x", {"value": value}) as run:
            run.result(quux=value)
    store.set_direction("quux", higher_is_better=False)
    best = {row["metric"]: row["value"] for row in show(store, "iris")["best"]}
    assert best["quux"] == 0.1
    said = {row["metric"]: row["higher_is_better"] for row in metrics(store)}
    assert said["quux"] is False


def test_columns_of_one_name_are_kept_apart(small_store: Path) -> None:
    store = metastore.open(small_store)
    sql = "SELECT 1 AS value, 2 AS value, 3 AS value, 4 AS other"
    assert store.rows(sql) == [{"value": 1, "value_1": 2, "value_2": 3, "other": 4}]
    assert list(store.query(sql).columns) == list(store.rows(sql)[0])


def test_results_are_told_as_views_count_them(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store")
    said = [MetricValue("accuracy", v, None, True, fold) for fold, v in enumerate((0.2, 0.4, 0.9))]
    store.add(RunRecord(DatasetRef("d"), "folds", {}, tuple(said)))
    with store.run("d", "corrected", {}) as run:
        run.result(accuracy=0.99)
        run.result(accuracy=0.3)
    listed = {row["algorithm"]: row["results"] for row in runs(store, RunFilter())}
    assert listed == {"folds": ["accuracy=0.5"], "corrected": ["accuracy=0.3"]}
    (best,) = show(store, "d")["best"]
    assert (best["algorithm"], best["value"]) == ("folds", pytest.approx(0.5))
    assert store.view("accuracy").cell_score.max() == pytest.approx(0.5)
