"""Files of tables: what is one, whatever it and its columns are called, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

import metastore
from metastore import MetaStore
from metastore.errors import InvalidInputError
from tests.run_tables import counts, rows, write

NAMES = {
    "sql": "'; DROP TABLE runs; --",
    "quote": 'a"b',
    "unicode": "Größe 数据 🚀",
    "brace": "{file} $1 ? %s",
    "time": "00:30",
    "number": "007",
    "uuid": "F47AC10B-58CC-4372-A567-0E02B2C3D479",
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("label", NAMES)
def test_strange_names_are_only_names(
    store: MetaStore, tmp_path: Path, label: str, suffix: str
) -> None:
    name = NAMES[label]
    table = [
        {**row, "dataset": name, "algorithm": name, "metric": name, f"config.{name}": name}
        for row in rows(2)
    ]
    for row in table:
        del row["config"]
    report = store.import_table(write(tmp_path / f"{name}{suffix}", table))
    assert (report.refused, report.new_runs) == (0, 2)
    view = store.view(name, algorithm=name)
    assert (view.datasets, view.algorithms) == ((name,), (name,))
    assert store.view(name, exclude=[name]).n_cells == 0
    assert view.config(0) == {name: name}
    assert counts(store)[0] == 2


def test_a_file_and_a_store_with_glob_characters(tmp_path: Path) -> None:
    folder = tmp_path / "runs [1]*"
    folder.mkdir()
    store = metastore.open(folder / "it's")
    report = store.import_table(write(folder / "x[1].csv", rows(2)))
    store.add(metastore.RunRecord(metastore.DatasetRef("d9"), "svc", {}))
    assert report.new_runs == 2
    assert counts(store)[0] == 3


def test_columns_that_share_names_with_the_importers_own(store: MetaStore, tmp_path: Path) -> None:
    table = [{**row, "line": "x", "raw": "y", "problem": "z", "run_id": 1} for row in rows(2)]
    for suffix in (".csv", ".jsonl", ".parquet"):
        report = store.import_table(write(tmp_path / f"a{suffix}", table))
        assert (report.refused, report.rows) == (0, 2)
    assert counts(store)[0] == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("empty.csv", "", "empty"),
        ("header.csv", "dataset,config,metric,value\n", None),
        ("prose.csv", "This is a text,\nnot a table. It has; commas, too\n", "no table"),
        ("README.md", "# Runs\n", "expected a table"),
        ("runs", "dataset,config,metric,value\n", "no suffix"),
        ("runs.csv", "dataset,metric\nd,accuracy\n", "value"),
        ("binary.csv", "\x00\x01\x02\x89PNG\r\n\x1a\n", "table"),
        ("fake.parquet", "not parquet at all", "cannot be read"),
        ("list.jsonl", "[1, 2]\n[3]\n", "table"),
        ("prose.jsonl", "hello world\n", "table"),
    ],
)
def test_files_that_are_no_tables(
    store: MetaStore, tmp_path: Path, name: str, text: str, said: str | None
) -> None:
    path = tmp_path / name
    path.write_text(text)
    if said is None:
        assert store.import_table(path).rows == 0
        return
    with pytest.raises(InvalidInputError, match=said):
        store.import_table(path)
    assert counts(store) == (0,) * 6


def test_a_folder_and_a_file_that_is_not_there(store: MetaStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is a folder"):
        store.import_table(tmp_path)
    with pytest.raises(InvalidInputError, match="no file"):
        store.import_table(tmp_path / "nowhere.csv")


def test_utf_16_is_told_by_its_name(store: MetaStore, tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_text("dataset,algorithm,config.C,metric,value\nd,svc,1,accuracy,0.5\n", "utf-16")
    with pytest.raises(InvalidInputError, match="UTF-16"):
        store.import_table(file)
