"""Views built straight from the real tables, so that recommenders are tested without a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metastore.types import canonical_json
from metastore.view import MetaFeatures, View

SHAPE_COLUMNS = (
    ("NumberOfInstances", "NumberOfFeatures", "NumberOfClasses"),
    ("n_rows", "n_columns", "n_classes"),
)


def view_from_parquet(runs: Path, metric: str, meta: Path | None = None) -> View:
    """Return the view of one metric of a `runs.parquet`; a NaN or infinite value is a failure."""
    table = pq.read_table(runs, columns=None)
    table = table.filter(pc.equal(table["metric"].cast(pa.string()), metric))
    higher = bool(table["higher_is_better"][0].as_py())
    datasets, rows = np.unique(table["dataset"].to_numpy(), return_inverse=True)
    names = table["algorithm"].cast(pa.string()).to_pylist()
    pairs = list(zip(names, table["config"].to_pylist(), strict=True))
    number = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
    algorithms = tuple(sorted(set(names)))
    columns = np.array([number[pair] for pair in pairs])
    value = table["value"].to_numpy().astype(np.float64)
    seconds = table["runtime_s"].to_numpy().astype(np.float64)
    fine = np.isfinite(value)
    cells, where = np.unique(np.stack([rows[fine], columns[fine]]), axis=1, return_inverse=True)
    where = where.reshape(-1)
    repeats = np.bincount(where)
    features = MetaFeatures.empty() if meta is None else meta_features(meta)
    return View(
        metric=metric,
        higher_is_better=higher,
        datasets=tuple(str(name) for name in datasets),
        algorithms=algorithms,
        config_algorithms=np.array([algorithms.index(a) for a, _ in number]),
        config_texts=[canonical_json(_parsed(text)) for _, text in number],
        cell_dataset=cells[0],
        cell_config=cells[1],
        cell_score=np.bincount(where, value[fine]) / repeats * (1 if higher else -1),
        cell_repeats=repeats,
        cell_seconds=np.bincount(where, seconds[fine]) / repeats,
        failed_dataset=rows[~fine],
        failed_config=columns[~fine],
        failed_seconds=seconds[~fine],
        meta=features,
        groups=groups_of(features),
    )


def _parsed(text: str) -> dict[str, object]:

    parsed: dict[str, object] = json.loads(text)
    return parsed


def meta_features(path: Path) -> MetaFeatures:
    table = pq.read_table(path)
    numeric = [
        f.name
        for f in table.schema
        if f.name not in ("dataset", "task_id")
        and (pa.types.is_floating(f.type) or pa.types.is_integer(f.type))
    ]
    values = np.stack(
        [table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in numeric], axis=1
    )
    return MetaFeatures(tuple(map(str, table["dataset"].to_pylist())), tuple(numeric), values)


def groups_of(meta: MetaFeatures) -> dict[str, int]:
    """Stand-in for near-duplicate detection: the same rows, columns and classes."""
    for columns in SHAPE_COLUMNS:
        if set(columns) <= set(meta.names):
            at = [meta.names.index(name) for name in columns]
            keys = [tuple(row) for row in np.nan_to_num(meta.values[:, at], nan=-1.0)]
            number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
            return {name: number[key] for name, key in zip(meta.datasets, keys, strict=True)}
    return {}


def small_view(
    scores: object,
    *,
    meta: object = None,
    higher_is_better: bool = True,
    datasets: Iterable[str] | None = None,
    configs: Iterable[dict[str, object]] | None = None,
    name: Callable[[int], str] = "d{}".format,
) -> View:
    """Return a view of a `(D, C)` table of scores (larger-is-better), NaN where not evaluated."""
    table = np.asarray(scores, dtype=np.float64)
    names = tuple(datasets) if datasets is not None else tuple(map(name, range(len(table))))
    texts = [
        canonical_json(c)
        for c in (configs or [{"c": i} for i in range(table.shape[1] if table.ndim == 2 else 0)])
    ]
    rows, columns = np.nonzero(np.isfinite(table)) if table.size else (np.empty(0, int),) * 2
    features = MetaFeatures.empty()
    if meta is not None:
        values = np.asarray(meta, dtype=np.float64)
        features = MetaFeatures(names, tuple(f"m{i}" for i in range(values.shape[1])), values)
    return View(
        metric="accuracy" if higher_is_better else "loss",
        higher_is_better=higher_is_better,
        datasets=names,
        algorithms=("a",),
        config_algorithms=np.zeros(len(texts), dtype=np.int64),
        config_texts=texts,
        cell_dataset=rows,
        cell_config=columns,
        cell_score=table[rows, columns] if table.size else np.empty(0),
        cell_repeats=np.ones(len(rows), dtype=np.int64),
        cell_seconds=np.full(len(rows), np.nan),
        meta=features,
    )
