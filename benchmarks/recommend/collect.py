"""Collect runs that this project computes itself: PMLB's tables, four algorithms, 25 configs each.

    python -m benchmarks.recommend.collect --store FOLDER [--minutes M] [--configs N] [--small]
        [--kept] [--keep]

Real scikit-learn and LightGBM training, 3-fold cross-validated, recorded through `store.run`
like anybody's runs, so that a kill costs the run that had not ended. It goes on where it was:
what the store has is skipped. Small tables come first, one table is done before the next, and
every table gets the same configs. One thread a process; several processes may share a store, each
with its own `--part`, such as 0/2 and 1/2.

`results/collected.parquet` has the runs computed so far: `--kept` begins with them (the tables'
cells are read, so that their meta-features are there too), `--keep` writes the store's runs back.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import metastore
from benchmarks.recommend.training import (
    METRIC,
    SPACES,
    SPLIT,
    Cells,
    Choice,
    cells,
    cross_validated,
    names,
)
from metastore.store import MetaStore
from metastore.types import DatasetRef, MetricValue, RunRecord, canonical_json

CONFIGS = 25
KEPT = Path(__file__).parent / "results" / "collected.parquet"
SEED = 0

Done = set[tuple[str, str, str]]
"""Dataset, algorithm and canonical config of runs that ended."""


def choices(count: int) -> list[Choice]:
    """Return the configs that every table gets, algorithms in turn."""
    drawn = {name: space.sample(count, SEED) for name, space in SPACES.items()}
    return [(name, drawn[name][i]) for i in range(count) for name in SPACES]


def done(store: MetaStore) -> Done:
    """Return what ended so far, well or not."""
    # Settled once: a store of failures alone would not know the metric.
    store.set_direction(METRIC, higher_is_better=True)
    found = store.rows(
        "SELECT DISTINCT d.name, r.algorithm, c.config FROM run_states r "
        "JOIN latest_datasets d USING (dataset_id) JOIN configs c USING (config_id) "
        "WHERE r.status IN ('completed', 'failed')"
    )
    return {(str(row["name"]), str(row["algorithm"]), str(row["config"])) for row in found}


def waiting(known: Done, tables: Iterator[Cells], count: int) -> Iterator[tuple[Cells, Choice]]:
    """Yield what is left to run, table by table."""
    for table in tables:
        for choice in choices(count):
            if (table.name, choice[0], canonical_json(choice[1])) not in known:
                yield table, choice


def collect(store: MetaStore, tables: Iterator[Cells], count: int, until: float) -> int:
    """Train and record until nothing is left or the time is up; return how many runs ended."""
    runs, last = 0, ""
    for table, choice in waiting(done(store), tables, count):
        if time.monotonic() > until:
            break
        if table.name != last:
            dataset = store.dataset((table.features, table.target), name=table.name)
            last = table.name
            print(f"{runs} runs; now {table.name}, {table.features.shape}", flush=True)
        with store.run(
            dataset, choice[0], choice[1], seed=0, split=SPLIT, space=SPACES[choice[0]]
        ) as run:
            run.result(balanced_accuracy=cross_validated(choice, table.features, table.target))
        runs += 1
    return runs


def add_kept(store: MetaStore) -> int:
    """Record the kept runs that a store lacks; return how many those were."""
    known = done(store)
    kept = pq.read_table(KEPT).to_pylist()
    kept = [r for r in kept if (r["dataset"], r["algorithm"], r["config"]) not in known]
    for name in sorted({row["dataset"] for row in kept}):
        if (table := cells(name)) is None:
            continue
        dataset = store.dataset((table.features, table.target), name=name)
        store.add(_record(row, dataset) for row in kept if row["dataset"] == name)
        print(f"{name}: added", flush=True)
    return len(kept)


def _record(row: dict[str, Any], dataset: DatasetRef) -> RunRecord:
    return RunRecord(
        dataset,
        row["algorithm"],
        json.loads(row["config"]),
        (MetricValue(METRIC, row["value"], higher_is_better=True),),
        split=SPLIT,
        seed=row["seed"],
        seconds=row["seconds"],
        space=SPACES[row["algorithm"]].to_json(),
    )


def keep(store: MetaStore) -> int:
    """Write the store's completed runs to the repository; return how many."""
    found = store.query(
        'SELECT d.name AS dataset, r.algorithm, c.config, avg(m."value") AS "value", '
        "any_value(r.seed) AS seed, avg(r.seconds) AS seconds FROM run_states r "
        "JOIN latest_datasets d USING (dataset_id) JOIN configs c USING (config_id) "
        "JOIN metric_values m USING (run_id) WHERE r.status = 'completed' "
        f"AND m.metric = '{METRIC}' GROUP BY ALL ORDER BY ALL"
    )
    pq.write_table(pa.Table.from_pandas(found, preserve_index=False), KEPT, compression="zstd")
    return len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="the store to record into")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after that long")
    parser.add_argument("--configs", type=int, default=CONFIGS, help="configs of an algorithm")
    parser.add_argument("--part", default="0/1", help="which share of the tables, such as 0/2")
    parser.add_argument("--small", action="store_true", help="a trial: two tables, one config")
    parser.add_argument("--kept", action="store_true", help="begin with the runs kept here")
    parser.add_argument("--keep", action="store_true", help="keep the store's runs here at the end")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    which, parts = map(int, options.part.split("/"))
    mine = names(asked=False)[which::parts][: 2 if options.small else None]
    tables = (table for name in mine if (table := cells(name)) is not None)
    store = metastore.open(options.store)
    if options.kept:
        print(f"{add_kept(store)} runs were computed before", flush=True)
    runs = collect(store, tables, 1 if options.small else options.configs, until)
    if options.keep:
        print(f"{keep(store)} runs in {KEPT.name}")
    known = done(store)
    print(f"{runs} new runs; the store has {len(known)} on {len({d for d, *_ in known})} tables")


if __name__ == "__main__":
    main()
