"""Tables of runs: what lands, what is refused and why, and that twice changes nothing."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metastore
from metastore import MetaStore
from metastore.errors import InvalidInputError
from metastore.types import MAX_CONFIG_BYTES, canonical_json, config_id
from tests.commands import RunIt

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
COLUMNS = ("dataset", "algorithm", "config", "metric", "value", "higher_is_better")
Rows = list[dict[str, Any]]


def rows(n: int = 6) -> Rows:
    return [
        {
            "dataset": f"d{i % 2}",
            "algorithm": "svc",
            "config": canonical_json({"C": 0.1 * i, "kernel": "rbf"}),
            "metric": "accuracy",
            "value": 0.5 + i / 100,
            "higher_is_better": True,
        }
        for i in range(n)
    ]


def write(path: Path, table: Rows) -> Path:
    """Write rows as the suffix says."""
    frame = pd.DataFrame(table)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table))
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def content(store: MetaStore) -> list[tuple[Any, ...]]:
    """Return everything that a store says of runs, in one order."""
    frame = store.query(
        "SELECT r.run_id::VARCHAR, d.name, r.algorithm, c.config, r.status, r.seed, v.metric, "
        "v.step, v.fold, v.value::VARCHAR FROM run_states r JOIN latest_datasets d USING "
        "(dataset_id) JOIN configs c USING (config_id) LEFT JOIN metric_values v USING (run_id) "
        "ORDER BY ALL"
    )
    return [tuple(None if pd.isna(cell) else cell for cell in row) for row in frame.to_numpy()]


def counts(store: MetaStore) -> tuple[int, ...]:
    tables = ("runs", "metric_values", "configs", "datasets", "tasks", "run_ends")
    asked = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    return tuple(int(n) for n in store.query(f"SELECT {asked}").iloc[0])


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


BAD = {
    "config no JSON": ({"config": "{C: 1}"}, "no JSON object"),
    "config a list": ({"config": "[1]"}, "no JSON object"),
    "config with NaN": ({"config": '{"gamma": NaN}'}, "gamma"),
    "config too large": ({"config": json.dumps({"code": "x" * 10_000_000})}, "code"),
    "no dataset": ({"dataset": ""}, "no dataset"),
    "no metric": ({"metric": ""}, "no metric"),
    "no algorithm": ({"algorithm": " "}, "no algorithm"),
    "text for a value": ({"value": "good"}, "good"),
    "unknown status": ({"status": "perhaps"}, "perhaps"),
    "seed no integer": ({"seed": "one"}, "one"),
    "seed a fraction": ({"seed": "1.5"}, "1.5"),
    "seed too large": ({"seed": str(2**80)}, "seed"),
    "direction unclear": ({"higher_is_better": "maybe"}, "maybe"),
    "mixed directions": ({"higher_is_better": "false"}, "mixed directions"),
    "start no time": ({"started_at": "yesterday"}, "yesterday"),
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_refused_with_line_and_reason_and_the_others_land(
    store: MetaStore, tmp_path: Path, kind: str, suffix: str
) -> None:
    change, reason = BAD[kind]
    table = [{**row, **dict.fromkeys(change, "")} for row in rows(5)]
    table = [{**new, **{k: old[k] for k in old if k in change}}
             for new, old in zip(table, rows(5), strict=True)]  # fmt: skip
    table[3] |= change
    report = store.import_table(write(tmp_path / f"a{suffix}", table))
    assert (report.rows, report.refused, report.new_runs) == (5, 1, 4), report
    [(line, said)] = report.reasons
    assert line == (5 if suffix == ".csv" else 4)
    assert reason in said
    assert len(said) < 500
    assert counts(store)[0] == 4


def test_lines_that_cannot_be_split_keep_the_numbers_of_the_others_right(
    store: MetaStore, tmp_path: Path
) -> None:
    table = [{**row, "config.C": i} for i, row in enumerate(rows(8))]
    for row in table:
        del row["config"]
    path = write(tmp_path / "a.csv", table)
    lines = path.read_text().splitlines()
    lines[2] += ",one,too,many"
    lines[6] = lines[6].replace("0.55", "bad")
    path.write_text("\n".join(lines) + "\n")
    report = store.import_table(path)
    assert (report.rows, report.refused, report.new_runs) == (8, 2, 6)
    assert [line for line, _ in report.reasons] == [3, 7]


def test_no_algorithm_is_given_to_an_empty_cell_but_to_a_table_without_a_column(
    store: MetaStore, tmp_path: Path
) -> None:
    table = rows(3)
    table[1]["algorithm"] = None
    for suffix in (".csv", ".jsonl", ".parquet"):
        report = store.import_table(write(tmp_path / f"a{suffix}", table), algorithm="given")
        assert [reason for _, reason in report.reasons] == ["no algorithm"]
    assert set(store.query("SELECT algorithm FROM runs")["algorithm"]) == {"svc"}
    bare = [{name: cell for name, cell in row.items() if name != "algorithm"} for row in table]
    assert store.import_table(write(tmp_path / "a.csv", bare), algorithm="given").refused == 0
    assert set(store.query("SELECT algorithm FROM runs")["algorithm"]) == {"svc", "given"}


HEADER = "dataset,algorithm,config.lr,metric,value"
LINES = {
    "blank lines and a cell of two lines": (
        f'{HEADER}\nd1,a,0.91,accuracy,0.5\n\n\nd1,a,0.92,accuracy,zz\n"multi\nline",a,0.93,'
        "accuracy,0.3\nd1,a,0.94,accuracy,yy\n",
        [5, 8],
    ),
    "rows that cannot be split between them": (
        f'{HEADER}\n"d\n1",a,1,accuracy,0.5\n\nd,a,2,accuracy,0.5,too,many\n\nd,a,3,accuracy,'
        '"a\nb"\n\nd,a\nd,a,4,accuracy,word\n',
        [5, 7, 10, 11],
    ),
    "quotes behind a backslash": (
        f'{HEADER},config.x\nd,a,1,accuracy,0.5,"a \\"b\\",\nc"\n\nd,a,2,accuracy,zz,1\n',
        [5],
    ),
    "blank lines before the header": (f"\n\n{HEADER}\nd,a,1,accuracy,1\n\nd,a,2,accuracy,x\n", [6]),
}  # fmt: skip


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv"])
@pytest.mark.parametrize("kind", LINES)
def test_refused_rows_are_told_by_their_lines_in_the_file(
    store: MetaStore, tmp_path: Path, kind: str, name: str
) -> None:
    text, lines = LINES[kind]
    file = tmp_path / name
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    else:
        file.write_text(text.replace(",", "\t") if file.suffix == ".tsv" else text)
    report = store.import_table(file)
    assert report.counted == "line"
    assert [line for line, _ in report.reasons] == lines


def test_lines_that_are_no_utf_8_leave_the_numbers_of_the_others_right(
    store: MetaStore, tmp_path: Path
) -> None:
    text = f"{HEADER}\nd,a,1,accuracy,0.5\n\ndé,a,2,accuracy,0.5\n\nd,a,3,accuracy,zz\n"
    (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
    report = store.import_table(tmp_path / "a.csv")
    assert [line for line, _ in report.reasons] == [4, 6]


def test_where_lines_cannot_be_told_rows_are_counted(
    store: MetaStore, tmp_path: Path, headstart: RunIt
) -> None:
    text = f"# runs\n{HEADER}\nd,a,1,accuracy,0.5\n# more\nd,a,2,accuracy,zz\n"
    (tmp_path / "a.csv").write_text(text)
    ended = headstart("import", "table", "a.csv")
    assert "row 2: value zz is not a number" in ended.err
    write(tmp_path / "a.parquet", [*rows(2), {**rows(1)[0], "dataset": ""}])
    assert "row 3: no dataset" in headstart("import", "table", "a.parquet").err
    (tmp_path / "a.json").write_text(json.dumps([*rows(2), {"dataset": ""}], indent=1))
    assert "row 3: no dataset" in headstart("import", "table", "a.json").err


def test_blank_lines_of_json_count(store: MetaStore, tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in rows(3)]
    text = "\n".join([lines[0], "", "[1]", "  ", lines[1], "", '{"dataset":', lines[2], ""])
    for suffix in (".jsonl", ".ndjson"):
        (tmp_path / f"a{suffix}").write_text(text)
        report = store.import_table(tmp_path / f"a{suffix}")
        assert [line for line, _ in report.reasons] == [3, 7]


def test_a_line_that_is_no_json_is_refused_by_its_number(store: MetaStore, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows(4))
    lines = path.read_text().splitlines()
    lines.insert(2, '{"dataset": "d0", "algorithm"')
    path.write_text("\n".join(lines) + "\n")
    report = store.import_table(path)
    assert (report.refused, report.new_runs) == (1, 4)
    assert report.reasons[0][0] == 3


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


ZONES = {
    "2020-01-01T00:00:00+02:00": "2019-12-31 22:00:00",
    "2020-01-01 00:00:00 -0530": "2020-01-01 05:30:00",
    "2020-01-01T12:00:00.25Z": "2020-01-01 12:00:00.25",
    "2020-07-01 00:00:00 Europe/Berlin": "2020-06-30 22:00:00",
    "2020-01-01 12:30:00": "2020-01-01 12:30:00",
    "2020-01-01": "2020-01-01",
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_times_with_an_offset_are_kept_as_utc(
    store: MetaStore, tmp_path: Path, suffix: str
) -> None:
    table = [
        {**row, "seed": i, "started_at": said}
        for i, (row, said) in enumerate(zip(rows(len(ZONES)), ZONES, strict=True))
    ]
    assert store.import_table(write(tmp_path / f"a{suffix}", table)).refused == 0
    found = store.query("SELECT started_at FROM runs ORDER BY seed")["started_at"]
    assert found.tolist() == [pd.Timestamp(said) for said in ZONES.values()]


def test_a_zone_that_nobody_knows_is_no_time(store: MetaStore, tmp_path: Path) -> None:
    table = [{**rows(1)[0], "started_at": "2020-01-01 00:00:00 Middle/Earth"}]
    report = store.import_table(write(tmp_path / "a.csv", table))
    assert "is not a time" in report.reasons[0][1]


def test_a_column_of_times_with_a_zone_is_kept_as_utc(store: MetaStore, tmp_path: Path) -> None:
    at = pd.Timestamp("2020-07-01 00:00:00", tz="Europe/Berlin")
    table = [{**row, "started_at": at} for row in rows(2)]
    store.import_table(write(tmp_path / "a.parquet", table))
    found = store.query("SELECT started_at FROM runs")["started_at"]
    assert set(found) == {pd.Timestamp("2020-06-30 22:00:00")}


def test_a_run_that_ends_in_another_zone_takes_what_it_takes(
    store: MetaStore, tmp_path: Path
) -> None:
    times = {
        "started_at": "2020-01-01T00:00:00-05:00",
        "ended_at": "2020-01-01T00:00:00-06:00",
    }
    report = store.import_table(write(tmp_path / "a.csv", [{**rows(1)[0], **times}]))
    assert report.refused == 0
    assert store.query("SELECT seconds FROM run_states")["seconds"].tolist() == [3600.0]


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


def test_columns_of_hyperparameters_keep_their_types(store: MetaStore, tmp_path: Path) -> None:
    table: Rows = [
        {"dataset": "d", "config.C": 1.5, "config.n": 3, "config.deep": True, "config.kind": "rbf"},
        {"dataset": "d", "config.C": 1e-05, "config.n": 4, "config.deep": False,
         "config.kind": None},
    ]  # fmt: skip
    table = [{**row, "metric": "accuracy", "value": 0.5} for row in table]
    for suffix in (".csv", ".parquet", ".jsonl"):
        store.import_table(write(tmp_path / f"svc{suffix}", table))
    configs = set(store.query("SELECT config FROM configs")["config"])
    assert '{"C":1.5,"deep":true,"kind":"rbf","n":3}' in configs
    assert '{"C":1e-05,"deep":false,"n":4}' in configs


def test_a_config_that_is_an_object_keeps_its_own_keys(store: MetaStore, tmp_path: Path) -> None:
    table = [{**rows(1)[0], "config": config} for config in ({"C": 1}, {"depth": None, "n": 2.0})]
    store.import_table(write(tmp_path / "a.jsonl", table))
    configs = set(store.query("SELECT config FROM configs")["config"])
    assert configs == {'{"C":1}', '{"depth":null,"n":2.0}'}


def test_a_parquet_config_may_be_a_struct(store: MetaStore, tmp_path: Path) -> None:
    table = [{**rows(1)[0], "config": {"C": float(i), "kernel": "rbf"}} for i in range(3)]
    assert store.import_table(write(tmp_path / "a.parquet", table)).new_runs == 3
    assert store.view("accuracy").config(0).keys() == {"C", "kernel"}


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


SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip
CONFIGS = st.dictionaries(st.text(max_size=6), SMALL, max_size=5)


def spellings(config: Mapping[str, Any]) -> list[str]:
    """Return texts that mean the same config."""
    backwards = dict(reversed(list(config.items())))
    return [
        json.dumps(config),
        json.dumps(backwards, indent=1, ensure_ascii=False),
        canonical_json(config),
    ]


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> MetaStore:
    return metastore.open(tmp_path_factory.mktemp("configs") / "store")


@settings(max_examples=20, deadline=None)
@given(configs=st.lists(CONFIGS, min_size=5, max_size=40))
def test_ids_of_configs_are_those_of_canonical_json(
    one_store: MetaStore, configs: list[dict[str, Any]]
) -> None:
    texts = [text for config in configs for text in spellings(config)]
    table = [{**rows(1)[0], "config": text, "seed": i} for i, text in enumerate(texts)]
    file = write(one_store.paths.folder / "a.parquet", table)
    assert one_store.import_table(file).refused == 0
    found = dict(
        one_store.query("SELECT config, config_id::VARCHAR FROM configs").to_numpy().tolist()
    )
    wanted = {canonical_json(config) for config in configs}
    assert wanted <= found.keys()
    assert all(str(config_id(text)) == number for text, number in found.items())


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


def test_an_unknown_direction_is_asked_for(store: MetaStore, tmp_path: Path) -> None:
    table = [{**row, "metric": "quux"} for row in rows(3)]
    for row in table:
        del row["higher_is_better"]
    path = write(tmp_path / "a.csv", table)
    report = store.import_table(path)
    assert (report.new_runs, report.refused) == (0, 3)
    assert "higher_is_better" in report.reasons[0][1]
    assert store.import_table(path, higher_is_better=False).new_runs == 3
    assert not store.view("quux").higher_is_better


def test_a_metric_that_stands_in_the_store_the_other_way_is_refused(
    store: MetaStore, tmp_path: Path
) -> None:
    store.import_table(write(tmp_path / "a.csv", rows(2)))
    other = [{**row, "higher_is_better": False, "dataset": "z"} for row in rows(3)]
    report = store.import_table(write(tmp_path / "b.csv", other))
    assert (report.new_runs, report.refused) == (0, 3)
    assert "the store" in report.reasons[0][1]


def test_csv_configs_survive_any_quoting(store: MetaStore, tmp_path: Path) -> None:
    table = rows(3)
    table[0]["config"] = '{"a":"x, \\"y\\"; z\\n","b":[1,2]}'
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as out:
        writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        writer.writerows([row[c] for c in COLUMNS] for row in table)
    assert store.import_table(path).refused == 0
    assert table[0]["config"] in set(store.query("SELECT config FROM configs")["config"])


def test_the_limit_on_configs_is_the_same_for_tables(store: MetaStore, tmp_path: Path) -> None:
    fits = canonical_json({"a": "x" * (MAX_CONFIG_BYTES - 8)})
    assert len(fits) == MAX_CONFIG_BYTES
    table = [{**rows(1)[0], "config": fits}, {**rows(1)[0], "config": fits.replace("x", "xx", 1)}]
    report = store.import_table(write(tmp_path / "a.parquet", table))
    assert (report.new_runs, report.refused) == (1, 1)


def test_numbers_in_other_spellings_are_numbers_and_spaces_are_no_part_of_anything(
    store: MetaStore, tmp_path: Path
) -> None:
    cells = [" 3", "+1", ".5", "-.5 ", "2.", "2.e3", " TRUE", " rbf ", "007", "1.2.3", "  "]
    said = "".join(f"d, svc, {cell}, {i}, accuracy, 0.5\n" for i, cell in enumerate(cells))
    file = tmp_path / "runs.csv"
    file.write_text(f"dataset, algorithm, config.x, seed, metric, value\n{said}")
    assert store.import_table(file).new_runs == len(cells)
    found = store.query(
        "SELECT algorithm, config FROM runs JOIN configs USING (config_id) ORDER BY seed"
    )
    assert set(found["algorithm"]) == {"svc"}
    assert [json.loads(text).get("x") for text in found["config"]] == [
        3, 1, 0.5, -0.5, 2.0, 2000.0, True, "rbf", "007", "1.2.3", None,
    ]  # fmt: skip


def test_utf_16_is_told_by_its_name(store: MetaStore, tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_text("dataset,algorithm,config.C,metric,value\nd,svc,1,accuracy,0.5\n", "utf-16")
    with pytest.raises(InvalidInputError, match="UTF-16"):
        store.import_table(file)


@pytest.mark.parametrize("stray", ["[1, 2]", "17", '"words"', "null"])
def test_a_line_that_is_no_object_costs_no_other_line(
    store: MetaStore, tmp_path: Path, stray: str
) -> None:
    lines = [json.dumps(row) for row in rows(3)]
    file = tmp_path / "runs.jsonl"
    file.write_text("\n".join([lines[0], stray, *lines[1:]]) + "\n")
    report = store.import_table(file)
    assert (report.rows, report.new_runs) == (4, 3)
    assert report.reasons == ((2, "the line is no JSON object"),)
    assert set(store.query("SELECT source FROM runs")["source"]) == {"table:runs.jsonl"}
    assert store.import_table(file).new_runs == 0
