"""Tables of runs: what lands, and that twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from metastore import MetaStore
from tests.run_tables import content, counts, rows, write

REAL = [
    ("autosklearn_md/runs.parquet", 74_200, 0),
    ("blackbox_geoalgo/runs_DeepAR.parquet", 2_510, 0),
    ("blackbox_geoalgo/runs_XGBoost.parquet", 50_000, 0),
    ("blackbox_geoalgo/runs_nas_bench102.parquet", 46_875, 0),
    ("openml_pimp/runs_random_forest.parquet", 47_000, 0),
    ("openml_pimp/runs_svc.parquet", 25_000, 0),
    ("sklearn_benchmarks/runs_logreg.parquet", 2_408, 0),
    ("sklearn_benchmarks/runs_logreg_raw_repeats.parquet", 72_240, 0),
    ("taskset_curves/runs.parquet", 12_000, 917),
]


@pytest.mark.parametrize(("name", "n", "failed"), REAL)
def test_real_tables_import_as_they_are_and_twice_changes_nothing(
    store: MetaStore, realdata: Callable[[str], Path], name: str, n: int, failed: int
) -> None:
    report = store.import_table(realdata(name))
    assert (report.refused, report.known_runs, report.failed_runs) == (0, 0, failed)
    assert report.rows == n
    values = store.query("SELECT count(*) FROM metric_values").iloc[0, 0]
    expected = duckdb.sql(
        f"SELECT count(*) FROM '{realdata(name)}' WHERE "
        + ("accuracy" if "raw_repeats" in name else "value")
        + " IS NOT NULL"
    ).fetchall()[0][0]
    assert values == expected
    before = counts(store)
    again = store.import_table(realdata(name))
    assert (again.new_runs, again.known_runs) == (0, report.new_runs)
    assert counts(store) == before
    bad = store.query("SELECT count(*) FROM configs WHERE md5(config)::UUID <> config_id")
    assert bad.iloc[0, 0] == 0


def test_order_of_rows_does_not_matter(store: MetaStore, tmp_path: Path) -> None:
    table = rows(20) + rows(3)
    store.import_table(write(tmp_path / "a.csv", table))
    before = content(store)
    assert len(before) == 23
    report = store.import_table(write(tmp_path / "b.csv", table[::-1]))
    assert report.new_runs == 0
    assert content(store) == before


def test_a_grown_file_brings_only_its_new_runs(store: MetaStore, tmp_path: Path) -> None:
    store.import_table(write(tmp_path / "a.jsonl", rows(4)))
    before = content(store)
    report = store.import_table(write(tmp_path / "a.jsonl", rows(7) + rows(1)))
    assert (report.new_runs, report.known_runs) == (4, 4)
    assert set(before) < set(content(store))


def test_a_file_that_grew_by_a_metric_brings_only_its_new_runs(
    store: MetaStore, tmp_path: Path
) -> None:
    store.import_table(write(tmp_path / "a.csv", rows(4) + rows(1)))
    other = [{**row, "metric": "f1", "dataset": "other"} for row in rows(3)]
    report = store.import_table(write(tmp_path / "a.csv", rows(4) + rows(1) + other))
    assert (report.new_runs, report.known_runs) == (3, 5)


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl", ".parquet", ".ndjson", ".pq"])
def test_formats_give_the_same_runs(store: MetaStore, tmp_path: Path, suffix: str) -> None:
    table = [{**row, "seed": i, "runtime_s": i / 8} for i, row in enumerate(rows(9))]
    store.import_table(write(tmp_path / "a.csv", table))
    written = write(tmp_path / f"b{ {'.ndjson': '.jsonl', '.pq': '.parquet'}.get(suffix, suffix)}",
                    table)  # fmt: skip
    report = store.import_table(written.rename(written.with_suffix(suffix)))
    assert (report.new_runs, report.known_runs) == (0, 9)


def test_several_metrics_steps_and_folds_of_one_run_are_one_run(
    store: MetaStore, tmp_path: Path
) -> None:
    base = {"dataset": "d", "algorithm": "a", "config": "{}", "higher_is_better": True, "seed": 1}
    table = [
        {**base, "metric": m, "value": 0.5 + k / 10, "fold": k}
        for m in ("accuracy", "f1")
        for k in range(3)
    ]
    report = store.import_table(write(tmp_path / "a.csv", table))
    assert report.new_runs == 1
    view = store.view("accuracy")
    assert view.cell_score.tolist() == pytest.approx([0.6])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None])
def test_a_row_without_a_finite_value_is_a_failed_run(
    store: MetaStore, tmp_path: Path, suffix: str, value: float | None
) -> None:
    table = rows(3)
    table[1]["value"] = value
    report = store.import_table(write(tmp_path / f"a{suffix}", table))
    assert (report.new_runs, report.failed_runs, report.refused) == (3, 1, 0)
    failed = store.query("SELECT error FROM run_states WHERE status = 'failed'")
    assert "no finite value" in failed.iloc[0, 0]
    view = store.view("accuracy")
    assert (view.n_cells, len(view.failed_config)) == (2, 1)


def test_missing_numbers_of_pandas_are_missing(store: MetaStore, tmp_path: Path) -> None:
    table = [{**row, "seed": i, "runtime_s": 1.0, "started_at": 1.7e9, "fidelity": 0.5}
             for i, row in enumerate(rows(4))]  # fmt: skip
    table[2] |= dict.fromkeys(("seed", "runtime_s", "started_at", "fidelity"), float("nan"))
    for suffix in (".parquet", ".csv"):
        report = store.import_table(write(tmp_path / f"a{suffix}", table))
        assert (report.refused, report.new_runs) == (0, 4 if suffix == ".parquet" else 0), report
    frame = store.query("SELECT seed, seconds, started_at, fidelity FROM runs ORDER BY seed")
    assert frame.iloc[3].isna().all()
    assert frame["started_at"].iloc[0] == pd.Timestamp(1.7e9, unit="s")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_wide_tables(store: MetaStore, tmp_path: Path, suffix: str) -> None:
    table = [
        {"dataset": f"d{i}", "C": 2.0**i, "accuracy": i / 10, "log_loss": 1.0, "seed": i}
        for i in range(4)
    ]
    report = store.import_table(write(tmp_path / f"svc{suffix}", table))
    assert (report.new_runs, report.rows) == (4, 4)
    assert store.view("accuracy").algorithms == ("svc",)
    assert not store.view("log_loss").higher_is_better
    assert any("hyperparameters: C" in note for note in report.notes)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_column_of_words_is_no_metric(store: MetaStore, tmp_path: Path, suffix: str) -> None:
    table = [
        {"dataset": "d", "loss": loss, "accuracy": value, "f1": value}
        for loss, value in (("hinge", 0.5), ("log_loss", 0.75))
    ]
    report = store.import_table(write(tmp_path / f"sgd{suffix}", table))
    assert (report.new_runs, report.refused) == (2, 0)
    view = store.view("accuracy")
    found = {view.config(c)["loss"]: float(s) for c, s in enumerate(view.matrix()[0])}
    assert found == {"hinge": 0.5, "log_loss": 0.75}


def test_a_curve_alone_counts_with_its_last_value(store: MetaStore, tmp_path: Path) -> None:
    base = {"dataset": "d", "algorithm": "a", "metric": "accuracy", "higher_is_better": True}
    table = [
        {**base, "config": f'{{"n": {n}}}', "value": (step + n) / 10, "step": step, "status": said}
        for n, said in ((1, ""), (2, ""), (3, "pruned"))
        for step in range(3)
    ]
    table += [{**base, "config": '{"n": 2}', "value": 0.9, "step": None, "status": ""}]
    assert store.import_table(write(tmp_path / "a.csv", table)).new_runs == 3
    view = store.view("accuracy")
    found = {view.config(c)["n"]: float(s) for c, s in enumerate(view.matrix()[0])}
    assert found == {1: 0.3, 2: 0.9}
