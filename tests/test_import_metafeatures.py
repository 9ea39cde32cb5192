"""Tables of meta-features: as they are, once, and only numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastore import DatasetRef, MetaStore, MetricValue, RunRecord
from metastore.errors import InvalidInputError

REAL = ["autosklearn_md", "openml_pimp", "sklearn_benchmarks"]


def with_a_run(store: MetaStore) -> MetaStore:
    store.add(RunRecord(DatasetRef("d0"), "svc", {}, (MetricValue("accuracy", 0.5),)))
    return store


@pytest.mark.parametrize("name", REAL)
def test_real_tables_come_back_as_they_are_and_twice_changes_nothing(
    store: MetaStore, realdata: Callable[[str], Path], name: str
) -> None:
    file = realdata(f"{name}/metafeatures.parquet")
    frame = pd.read_parquet(file)
    report = store.import_metafeatures(file)
    assert (report.rows, report.refused) == (len(frame), 0)
    meta = with_a_run(store).view("accuracy").meta
    numbers = frame.set_index("dataset").select_dtypes("number")
    assert set(meta.names) == set(numbers.columns)
    found = pd.DataFrame(meta.values, index=list(meta.datasets), columns=list(meta.names))
    expected = numbers.astype(float).replace([np.inf, -np.inf], np.nan)
    pd.testing.assert_frame_equal(
        found.sort_index()[sorted(found)], expected.sort_index()[sorted(expected)],
        check_names=False, check_index_type=False, check_column_type=False,
    )  # fmt: skip
    again = store.import_metafeatures(file)
    assert (again.new_runs, again.known_runs) == (0, report.new_runs)


def test_what_changed_is_new_and_the_latest_counts(store: MetaStore, tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        pd.DataFrame({"dataset": ["d0", "d1"], "a": [0.5, value]}).to_csv(
            tmp_path / "m.csv", index=False
        )
        report = store.import_metafeatures(tmp_path / "m.csv")
    assert report.new_runs == 1
    meta = with_a_run(store).view("accuracy").meta
    row = meta.of("d1")
    assert row is not None
    assert row.tolist() == [2.0]


def test_missing_and_infinite_values_are_not_applicable(store: MetaStore, tmp_path: Path) -> None:
    values = [1.0, float("nan"), float("inf"), None]
    pd.DataFrame({"dataset": list("abcd"), "x": values}).to_parquet(tmp_path / "m.parquet")
    store.import_metafeatures(tmp_path / "m.parquet")
    found = store.query("SELECT status FROM metafeatures JOIN latest_datasets AS d USING "
                        "(dataset_id) ORDER BY d.name")  # fmt: skip
    assert list(found["status"]) == ["computed", *["not_applicable"] * 3]


def test_names_are_only_names_and_text_columns_are_named(store: MetaStore, tmp_path: Path) -> None:
    name = "'; DROP TABLE runs; -- 数据"
    frame = pd.DataFrame({"dataset": [name], name: [1.5], "line": [2.0], "note": ["hello"]})
    for suffix in ("csv", "parquet"):
        file = tmp_path / f"m.{suffix}"
        frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
        report = store.import_metafeatures(file)
        assert report.notes == ("columns not used: note",)
    meta = with_a_run(store).view("accuracy").meta
    assert (meta.datasets, set(meta.names)) == ((name,), {name, "line"})


def test_rows_without_a_dataset_are_refused_by_line(store: MetaStore, tmp_path: Path) -> None:
    pd.DataFrame({"dataset": ["a", "", "c"], "x": [1, 2, 3]}).to_parquet(tmp_path / "m.parquet")
    report = store.import_metafeatures(tmp_path / "m.parquet")
    assert (report.rows, report.refused, report.reasons) == (3, 1, ((2, "no dataset"),))
    (tmp_path / "m.csv").write_text("dataset,x\na,1\n,2\nc,3\n")  # the header is line 1
    assert store.import_metafeatures(tmp_path / "m.csv").reasons == ((3, "no dataset"),)


def values(store: MetaStore) -> list[tuple[str, str, float]]:
    found = store.query(
        "SELECT d.name AS dataset, m.name AS name, value FROM latest_metafeatures AS m "
        "JOIN latest_datasets AS d USING (dataset_id) ORDER BY ALL"
    )
    return [tuple(row) for row in found.to_numpy().tolist()]


def test_a_cell_of_text_costs_neither_its_column_nor_its_row(
    store: MetaStore, tmp_path: Path
) -> None:
    (tmp_path / "m.csv").write_text("dataset,x,y\na,1.5,2\nb,unknown,3\nc,2.5,?\n")
    report = store.import_metafeatures(tmp_path / "m.csv")
    assert (report.rows, report.new_runs, report.refused) == (3, 5, 1)
    assert report.reasons == ((3, "x unknown is not a number"),)
    assert [row[:2] for row in values(store)] == [
        ("a", "x"), ("a", "y"), ("b", "y"), ("c", "x"), ("c", "y"),
    ]  # fmt: skip
    (tmp_path / "m.jsonl").write_text('{"dataset":"d","x":1.5}\n{"dataset":"e","x":"much"}\n')
    report = store.import_metafeatures(tmp_path / "m.jsonl")
    assert (report.new_runs, report.reasons) == (1, ((2, "x much is not a number"),))


def test_a_text_cell_far_down_is_told_by_its_line(store: MetaStore, tmp_path: Path) -> None:
    rows = [f"d{i},{i}" for i in range(30_000)] + ["late,many", "last,1"]
    (tmp_path / "m.csv").write_text("\n".join(["dataset,x", *rows]))
    report = store.import_metafeatures(tmp_path / "m.csv")
    assert (report.new_runs, report.reasons) == (30_001, ((30_002, "x many is not a number"),))


def test_a_name_of_digits_stays_as_it_is_written(store: MetaStore, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Dataset;x\n0031;1\n1e3;2\n")
    store.import_metafeatures(tmp_path / "m.csv")
    assert values(store) == [("0031", "x", 1.0), ("1e3", "x", 2.0)]


def test_a_row_that_cannot_be_split_is_refused_and_the_others_land(
    store: MetaStore, tmp_path: Path
) -> None:
    (tmp_path / "m.csv").write_text("dataset,x\na,1\nb,2,3\n,4\nc,5\n")
    report = store.import_metafeatures(tmp_path / "m.csv")
    assert (report.rows, report.refused, [line for line, _ in report.reasons]) == (4, 2, [3, 4])
    assert [row[0] for row in values(store)] == ["a", "c"]


def test_rows_that_disagree_are_told_and_importing_twice_changes_nothing(
    store: MetaStore, tmp_path: Path
) -> None:
    (tmp_path / "m.csv").write_text("dataset,x,y\na,1,2\nb,1,2\na,1,3\na,1,2\n")
    report = store.import_metafeatures(tmp_path / "m.csv")
    assert report.reasons == ((4, "dataset a is in line 2 already, with another y"),)
    assert (report.new_runs, report.refused) == (4, 1)
    again = store.import_metafeatures(tmp_path / "m.csv")
    assert (again.new_runs, again.known_runs) == (0, 4)


def test_blank_lines_count_as_lines(store: MetaStore, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("dataset,x,y\n\na,1,2\n\nb,much,2\na,1,3\n\nc,1,2,3\n")
    report = store.import_metafeatures(tmp_path / "m.csv")
    assert [line for line, _ in report.reasons] == [5, 6, 8]
    assert report.reasons[1][1] == "dataset a is in line 3 already, with another y"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "name,x\na,1\n", "expected a column dataset"),
        ("m.csv", "dataset,x\na,b\n", "numeric columns"),
        ("m.csv", "", "is empty"),
        ("m.txt", "dataset,x\na,1\n", "expected a table"),
        ("m.parquet", "no parquet", "cannot be read"),
    ],
)
def test_files_that_are_no_meta_features(
    store: MetaStore, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=said):
        store.import_metafeatures(tmp_path / name)
    assert store.query("SELECT count(*) FROM datasets").iloc[0, 0] == 0


def test_a_column_without_any_cell_is_the_same_in_every_kind_of_file(
    store: MetaStore, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"dataset": ["a", "b"], "x": [1.0, 2.0], "none": [np.nan, np.nan]})
    frame.to_csv(tmp_path / "m.csv", index=False)
    frame.to_parquet(tmp_path / "m.parquet")
    report = store.import_metafeatures(tmp_path / "m.csv")
    assert (report.new_runs, report.notes) == (4, ())
    again = store.import_metafeatures(tmp_path / "m.parquet")
    assert (again.new_runs, again.known_runs) == (0, 4)
