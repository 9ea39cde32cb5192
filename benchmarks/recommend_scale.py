"""Fitting and asking at a million scores, dense and sparse.

    python -m benchmarks.recommend_scale OUT.json

Two tables are timed: 1000 datasets x 1000 shared configs, and 500 datasets with 2000 configs of
their own each. They are made here, for none of the real ones is as large; only times are read
off them, no quality.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import recommenders
from metastore.types import Observation
from metastore.view import MetaFeatures, View

META = 60


def table(n_datasets: int, n_configs: int, *, shared: bool) -> View:
    """Return a view of `n_datasets * n_configs` cells."""
    rng = np.random.default_rng(0)
    count = n_configs if shared else n_configs * n_datasets
    values = rng.random((count, 3)).round(6).tolist()
    texts = [f'{{"alpha":{a},"beta":{b},"gamma":{c}}}' for a, b, c in values]
    meta = rng.normal(size=(n_datasets, META))
    names = tuple(f"d{i:04}" for i in range(n_datasets))
    rows = np.repeat(np.arange(n_datasets), n_configs)
    columns = np.tile(np.arange(n_configs), n_datasets) if shared else np.arange(count)
    points = np.array(values)[columns]
    optimum = 0.5 + 0.2 * np.tanh(meta[:, :3])
    score = -((points - optimum[rows]) ** 2).sum(axis=1) + 0.01 * rng.normal(size=len(rows))
    return View(
        metric="score",
        higher_is_better=True,
        datasets=names,
        algorithms=("a",),
        config_algorithms=np.zeros(count, dtype=np.int64),
        config_texts=texts,
        cell_dataset=rows,
        cell_config=columns,
        cell_score=score,
        cell_repeats=np.ones(len(rows), dtype=np.int64),
        cell_seconds=rng.random(len(rows)),
        meta=MetaFeatures(names, tuple(f"m{i}" for i in range(META)), meta),
    )


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(view: View, name: str) -> dict[str, float | str]:
    left = view.without([view.datasets[0]])
    one = recommenders.make(name)
    fit = timed(lambda: one.fit(left))
    first = timed(lambda: one.recommend(view.datasets[0], n=5))
    seen = [Observation(r.algorithm, r.config, -0.3) for r in one.recommend(view.datasets[0], n=3)]
    seen[0] = Observation(seen[0].algorithm, seen[0].config, -0.1)
    warm = min(timed(lambda: one.recommend(view.datasets[0], n=5)) for _ in range(3))
    told = min(timed(lambda: one.recommend(view.datasets[0], seen, n=1)) for _ in range(3))
    return {"recommender": name, "fit": fit, "first": first, "warm": warm, "told": told}


def main(out: Path) -> None:
    result: dict[str, object] = {}
    for label, view in (
        ("dense 1000 x 1000", table(1000, 1000, shared=True)),
        ("sparse 500 x 2000 own", table(500, 2000, shared=False)),
    ):
        rows = [measure(view, name) for name in recommenders.usual()]
        result[label] = rows
        for row in rows:
            print(label, {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})
    result["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("peak MiB", result["peak MiB"])
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
