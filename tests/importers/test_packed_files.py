"""Tables packed by gzip are the tables in them, also where they are damaged."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from metastore import MetaStore
from metastore.errors import InvalidInputError

KINDS = ["csv", "tsv", "jsonl", "ndjson", "json"]


def runs(kind: str, n: int = 300, stray: str = "") -> bytes:
    """Return a table of runs without algorithms, whose second row is `stray` if that is given."""
    noise = random.Random(0)
    table = [{"dataset": f"d{i % 3}", "config.C": i, "accuracy": noise.random()} for i in range(n)]
    if kind == "json":
        return json.dumps(table).encode()
    if kind in ("jsonl", "ndjson"):
        lines = [json.dumps(row) for row in table]
    else:
        comma = "\t" if kind == "tsv" else ","
        lines = [comma.join(map(str, row.values())) for row in table]
        lines.insert(0, comma.join(table[0]))
    if stray:
        lines.insert(1, stray)
    return "".join(line + "\n" for line in lines).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_table_is_the_table_in_it(store: MetaStore, tmp_path: Path, kind: str) -> None:
    plain, packed = tmp_path / f"runs.{kind}", tmp_path / f"runs.{kind}.GZ"
    plain.write_bytes(runs(kind))
    packed.write_bytes(gzip.compress(runs(kind)))
    report = store.import_table(packed)
    assert (report.rows, report.new_runs, report.refused) == (300, 300, 0)
    assert "named after the file, 'runs'" in " ".join(report.notes)
    again = store.import_table(plain)
    assert (again.new_runs, again.known_runs) == (0, 300)


@pytest.mark.parametrize(
    ("kind", "stray", "line"), [("csv", "d0,1,2,3,4", 2), ("jsonl", "[1, 2]", 2)]
)
def test_a_bad_row_of_a_packed_table_is_told_by_its_line(
    store: MetaStore, tmp_path: Path, kind: str, stray: str, line: int
) -> None:
    packed = tmp_path / f"runs.{kind}.gz"
    packed.write_bytes(gzip.compress(runs(kind, 20, stray)))
    report = store.import_table(packed)
    assert (report.new_runs, report.refused) == (20, 1)
    assert [at for at, _ in report.reasons] == [line]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("damage", ["cut", "changed", "no gzip"])
def test_a_damaged_table_is_refused_whole(
    store: MetaStore, tmp_path: Path, kind: str, damage: str
) -> None:
    packed = bytearray(gzip.compress(runs(kind, 20_000)))
    if damage == "cut":
        del packed[len(packed) // 2 :]
    elif damage == "changed":
        packed[len(packed) // 2 :][:8] = bytes(8)
        packed[-100:-60] = bytes(40)
    else:
        packed = bytearray(runs(kind))
    file = tmp_path / f"runs.{kind}.gz"
    file.write_bytes(packed)
    with pytest.raises(InvalidInputError, match=r"runs\.\w+\.gz' cannot be"):
        store.import_table(file)
    assert store.query("SELECT count(*) FROM runs").iloc[0, 0] == 0
    with pytest.raises(InvalidInputError, match=r"runs\.\w+\.gz' cannot be|no table"):
        store.import_metafeatures(file)


def test_parquet_is_packed_already(store: MetaStore, tmp_path: Path) -> None:
    file = tmp_path / "runs.parquet.gz"
    file.write_bytes(gzip.compress(b"PAR1"))
    with pytest.raises(InvalidInputError, match=r"got '\.parquet\.gz'"):
        store.import_table(file)


def test_packed_meta_features(store: MetaStore, tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"dataset":"a","x":1}\n17\n{"dataset":"b","x":2}\n'))
    report = store.import_metafeatures(file)
    assert (report.new_runs, report.refused, report.reasons) == (2, 1, ((2, "no dataset"),))
