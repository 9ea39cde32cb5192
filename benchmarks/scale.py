"""Made-up tables of runs of any size, for benchmarks of scale and of nothing else.

No recommendation is judged on them: real tables of a million runs are not at hand. Columns and
spelling are those of the real tables; each config has ten hyperparameters (four uniform, two
log-uniform, two integers, a category, a boolean). Each dataset has an optimum that depends on
its meta-features, and a config's value falls with its distance from there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

METRIC = "accuracy"
ALGORITHM = "made_up"
N_FEATURES = 40
BOOSTERS = ("tree", "linear", "dart")


@dataclass(frozen=True)
class Size:
    """How many datasets, and how many runs on each."""

    datasets: int
    runs_each: int

    @property
    def runs(self) -> int:
        return self.datasets * self.runs_each


FULL = Size(1000, 1000)
SMALL = Size(50, 40)


def dataset_name(number: int) -> str:
    return f"made_up_{number:04d}"


def configs(points: NDArray[np.float64]) -> list[dict[str, object]]:
    """Return the configs at `(n, 10)` points of the unit cube."""
    return [
        {
            "alpha": 10 ** (6 * u[0] - 6),
            "bagging": bool(u[1] < 0.5),
            "booster": BOOSTERS[int(u[2] * 3)],
            "depth": 1 + int(u[3] * 15),
            "dropout": u[4],
            "feature_fraction": u[5],
            "learning_rate": 10 ** (4 * u[6] - 5),
            "momentum": u[7],
            "rounds": 10 + int(u[8] * 1000),
            "subsample": u[9],
        }
        for u in points.tolist()
    ]


def write_tables(folder: Path, size: Size, *, shared: bool, seed: int = 0) -> tuple[Path, Path]:
    """Write a table of runs and one of meta-features, and return their paths.

    Args:
        folder: where to.
        size: datasets, and runs on each.
        shared: whether all datasets share the same configs; otherwise every run has its own.
        seed: fixes everything.
    """
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(size.datasets, N_FEATURES))
    optima = 1 / (1 + np.exp(-features @ rng.normal(size=(N_FEATURES, 10)) / 3))
    runs = folder / f"runs_{'shared' if shared else 'own'}.parquet"
    points = rng.random((size.runs_each, 10))
    texts = [json.dumps(config) for config in configs(points)]
    with pq.ParquetWriter(runs, _SCHEMA) as writer:
        for start in range(0, size.datasets, 100):
            block = []
            for number in range(start, min(start + 100, size.datasets)):
                if not shared:
                    points = rng.random((size.runs_each, 10))
                    texts = [json.dumps(config) for config in configs(points)]
                values = _values(points, optima[number], rng)
                block.append(_rows(number, texts, values, rng.gamma(2.0, 5.0, len(values))))
            writer.write_table(pa.concat_tables(block))
    meta = folder / "metafeatures.parquet"
    names = [dataset_name(number) for number in range(size.datasets)]
    columns = {f"feature_{i:02d}": features[:, i] for i in range(N_FEATURES)}
    pq.write_table(pa.table({"dataset": names, **columns}), meta)
    return runs, meta


_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("dataset", pa.string()),
        ("dataset_source_id", pa.string()),
        ("algorithm", pa.string()),
        ("config", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("higher_is_better", pa.bool_()),
        ("runtime_s", pa.float64()),
    ]
)


def _values(
    points: NDArray[np.float64], optimum: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    away = ((points - optimum) ** 2).sum(axis=1)
    values: NDArray[np.float64] = 0.95 - 0.1 * away + 0.01 * rng.normal(size=len(points))
    return values


def _rows(
    number: int, texts: list[str], values: NDArray[np.float64], seconds: NDArray[np.float64]
) -> pa.Table:
    count = len(texts)
    name = dataset_name(number)
    columns = [
        ["made-up"] * count, [name] * count, [f"made-up:{number}"] * count, [ALGORITHM] * count,
        texts, [METRIC] * count, values, [True] * count, seconds,
    ]  # fmt: skip
    return pa.table(columns, schema=_SCHEMA)
