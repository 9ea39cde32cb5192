"""Tables of runs to import, and what a store says of them afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from metastore import MetaStore
from metastore.types import canonical_json

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
