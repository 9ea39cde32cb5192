"""How fast a million runs get into the store: from a table, and from journals.

    python -m benchmarks.record.bulk [--small] [--repetitions N] [--work FOLDER] [--out FILE]

Two made-up tables (`benchmarks.scale`): all datasets share 1,000 configs, and every run has its
own. For each, in turn: raw DuckDB's `INSERT INTO t SELECT * FROM file` and CHECKPOINT into a new
file, `store.import_table` of the same file into a new store, and `store.absorb` of journals of
the same runs that four processes wrote beforehand with `store.add`. Asked: importing at least
0.5 times as fast as raw DuckDB, absorbing in at most 4 times the import's time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

import metastore
from benchmarks import scale
from benchmarks.results import Report, Spread, ratios, table
from metastore.types import DatasetRef, MetricValue, RunRecord

IMPORT_SPEED_ASKED = 0.5
ABSORB_TIME_ASKED = 4.0
WRITERS = 4
SEED = 0


@dataclass(frozen=True)
class Timed:
    """Wall and processor seconds of one measurement."""

    seconds: float
    cpu: float

    @classmethod
    def of(cls, work: Callable[[], object]) -> Timed:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return cls(time.perf_counter() - wall, time.process_time() - cpu)


def raw_insert(file: Path, folder: Path) -> Timed:
    """Insert a file into a new DuckDB database, as DuckDB does by itself."""
    con = duckdb.connect(str(folder / "raw.duckdb"))
    quoted = str(file).replace("'", "''")
    con.execute(f"CREATE TABLE t AS SELECT * FROM '{quoted}' LIMIT 0")

    def insert() -> None:
        con.execute(f"INSERT INTO t SELECT * FROM '{quoted}'")
        con.execute("CHECKPOINT")
        con.close()

    return Timed.of(insert)


def import_table(file: Path, folder: Path, runs: int) -> Timed:
    """Import a table into a new store, and check that every run is there."""
    store = metastore.open(folder / "store")
    timed = Timed.of(lambda: store.import_table(file))
    _check(store, runs)
    return timed


def absorb_journals(journals: Path, folder: Path, runs: int) -> Timed:
    """Absorb journals into a new store, and check that every run is there."""
    store = metastore.open(folder / "store")
    store.paths.journals.mkdir(exist_ok=True)
    for journal in journals.iterdir():
        os.link(journal, store.paths.journals / journal.name)
    timed = Timed.of(store.absorb)
    _check(store, runs)
    if any(store.paths.journals.iterdir()):
        raise RuntimeError("journals are left after they were absorbed")
    return timed


def _check(store: metastore.MetaStore, runs: int) -> None:
    sql = "SELECT (SELECT count(DISTINCT run_id) FROM runs) AS runs, count(*) AS n_values"
    found = store.rows(f"{sql} FROM metric_values")[0]
    if found != {"runs": runs, "n_values": runs}:
        raise RuntimeError(f"expected {runs} runs of one value each in the store, got {found}")


def write_journals(file: Path, folder: Path) -> Path:
    """Record a table's runs from several processes, and return the folder of their journals."""
    store = metastore.open(folder / "writing")
    context = multiprocessing.get_context("spawn")
    arguments = [(file, store.paths.folder, number) for number in range(WRITERS)]
    writers = [context.Process(target=_write, args=one) for one in arguments]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        if writer.exitcode:
            raise RuntimeError("a process that writes journals failed")
    return store.paths.journals


def _write(file: Path, store: Path, number: int) -> None:
    recorder = metastore.open(store)
    recorder.add(_records(file, number))
    recorder.close()


def _records(file: Path, number: int) -> Iterator[RunRecord]:
    """Yield one writer's share of a table's rows as runs."""
    parsed: dict[str, Any] = {}
    with pq.ParquetFile(file) as groups:
        for group in range(groups.num_row_groups):
            rows = groups.read_row_group(group)
            share = rows.slice(
                number * rows.num_rows // WRITERS,
                (number + 1) * rows.num_rows // WRITERS - number * rows.num_rows // WRITERS,
            )
            for row in share.to_pylist():
                text = row["config"]
                if text not in parsed:
                    if len(parsed) > 5_000:
                        parsed.clear()
                    parsed[text] = json.loads(text)
                yield RunRecord(
                    DatasetRef(row["dataset"], source_id=row["dataset_source_id"]),
                    row["algorithm"],
                    parsed[text],
                    (MetricValue(row["metric"], row["value"], None, row["higher_is_better"]),),
                    seconds=row["runtime_s"],
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a trial that takes seconds")
    parser.add_argument("--repetitions", type=int, default=0, help="by default 3")
    parser.add_argument("--work", type=Path, help="where tables and stores go; kept afterwards")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    size = scale.SMALL if options.small else scale.FULL
    repetitions = options.repetitions or (1 if options.small else 3)
    settings = {
        "seed": SEED,
        "runs": size.runs,
        "datasets": size.datasets,
        "hyperparameters": 10,
        "journal_writers": WRITERS,
        "repetitions": repetitions,
        "tables": "made up, for scale only",
    }
    report = Report("record.bulk", options.small, settings)
    with tempfile.TemporaryDirectory(prefix="headstart-bulk-", dir=".") as temporary:
        work = options.work or Path(temporary)
        for shape in ("shared configs", "own configs"):
            _measure(report, shape, size, repetitions, work.resolve())
    report.write(options.out)


def _measure(report: Report, shape: str, size: scale.Size, repetitions: int, work: Path) -> None:
    """Measure one table, and say how it stands to what was asked."""
    shared = shape == "shared configs"
    folder = work / shape.split(maxsplit=1)[0]
    file, journals = _inputs(folder, size, shared)
    timed: dict[str, list[Timed]] = {"raw": [], "import": [], "absorb": []}
    for _ in range(repetitions):
        for what, found in timed.items():
            place = folder / "now"
            place.mkdir()
            if what == "raw":
                found.append(raw_insert(file, place))
            elif what == "import":
                found.append(import_table(file, place, size.runs))
            else:
                found.append(absorb_journals(journals, place, size.runs))
            shutil.rmtree(place)
            print(f"{shape}, {what}: {found[-1].seconds:.2f} s", flush=True)
    walls = {what: [one.seconds for one in found] for what, found in timed.items()}
    speed = ratios(walls["raw"], walls["import"])
    slower = ratios(walls["absorb"], walls["import"])
    rows = [
        {
            "": what,
            "seconds": Spread.of(walls[what]),
            "cpu seconds": Spread.of(one.cpu for one in found),
            "thousand runs/s": Spread.of(size.runs / wall / 1000 for wall in walls[what]),
        }
        for what, found in timed.items()
    ]
    print(f"\n{shape}: median (smallest to largest)\n{table(rows)}\n")
    report.results[shape] = {
        "table_mb": round(file.stat().st_size / 1e6, 1),
        "journals_mb": round(sum(j.stat().st_size for j in journals.iterdir()) / 1e6, 1),
        "raw_insert_seconds": Spread.of(walls["raw"]),
        "import_seconds": Spread.of(walls["import"]),
        "absorb_seconds": Spread.of(walls["absorb"]),
        "cpu_seconds": {what: Spread.of(one.cpu for one in found) for what, found in timed.items()},
        "import_speed_over_raw": speed,
        "absorb_time_over_import": slower,
    }
    report.verdict(
        f"importing {size.runs:,} runs, {shape}: {speed} times raw DuckDB's speed; asked at "
        f"least {IMPORT_SPEED_ASKED}",
        speed.median >= IMPORT_SPEED_ASKED,
    )
    report.verdict(
        f"absorbing journals of {size.runs:,} runs, {shape}: {slower} times the import's time; "
        f"asked at most {ABSORB_TIME_ASKED:g}",
        slower.median <= ABSORB_TIME_ASKED,
    )


def _inputs(folder: Path, size: scale.Size, shared: bool) -> tuple[Path, Path]:
    """Return the table and the journals, made unless an earlier trial left them."""
    tables, written = folder / "tables", folder / "writing" / "journals"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        tables.mkdir(parents=True)
        file, _ = scale.write_tables(tables, size, shared=shared, seed=SEED)
        write_journals(file, folder)
        (folder / "ready").touch()
    return next(tables.glob("runs_*.parquet")), written


if __name__ == "__main__":
    main()
