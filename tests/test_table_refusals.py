"""Rows of a table that are refused: by line and with a reason, and the others land."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from metastore import MetaStore
from tests.commands import RunIt
from tests.run_tables import counts, rows, write

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
