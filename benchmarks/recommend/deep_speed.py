"""How long deep kernels take to learn from past datasets, and how that grows with them.

    python -m benchmarks.recommend.deep_speed [--repeat N] [--small] [--out FILE]

The past is openml_pimp's random forest table: 94 datasets with 500 configs of their own each, or
some of its datasets and some runs of each, evenly spread. Measured is all that a recommender does
once the past is there: encoding configs and meta-training, from nothing, on one thread of the
processor. `deep_kernel` is the published method, whose number of steps follows the number of
runs up to a limit; `learned kernel` is what `deep_mixture` learns, with a fixed number of steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.recommend.own_tables import load
from benchmarks.results import Report, Spread, table
from metastore.view import FloatArray
from recommenders.cells import spread_over
from recommenders.deep_surrogate import train
from recommenders.learned_kernel import ITERATIONS, learn
from recommenders.past_runs import runs_of
from recommenders.scores import Past
from recommenders.surrogate_training import MOST, Plan

DATASETS, RUNS = 94, 500
SIZES = ((94, 500), (94, 125), (24, 500), (24, 125))
SMALL = ((8, 50),)
ASKED = 180.0

Tables = Sequence[tuple[FloatArray, FloatArray]]


def _published(tables: Tables, iterations: int) -> None:
    train(tables, Plan(iterations, 0, "cpu", None, progress=False))


def _learned(tables: Tables, iterations: int) -> None:
    learn(tables, Plan(iterations))


METHODS: dict[str, Callable[[Tables, int], None]] = {
    "deep_kernel": _published,
    "learned kernel": _learned,
}


def tables_of(past: Past, datasets: int, runs: int) -> Tables:
    """Return encoded points `(n, d)` and scores `(n,)` of some datasets of a past."""
    rows = spread_over(np.flatnonzero(past.spread > 0), datasets)
    encoder = past.surrogates.encoder()
    own = [runs_of(past, row, runs) for row in rows.tolist()]
    return [(encoder.encode(keys), -regrets) for keys, regrets in own]


def seconds(past: Past, method: str, size: tuple[int, int], iterations: int) -> dict[str, float]:
    """Return seconds by the clock and of the processor, encoding and training together."""
    wall, processor = time.perf_counter(), time.process_time()
    METHODS[method](tables_of(past, *size), iterations)
    return {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


def report_of(past: Past, options: argparse.Namespace) -> Report:
    """Measure every method at every size in turn."""
    settings = {"table": "openml_pimp random forest", "threads": 1, "repeat": options.repeat}
    settings |= {"most_steps": {"deep_kernel": MOST, "learned kernel": ITERATIONS}}
    report = Report("recommend.deep_speed", options.small, settings)
    sizes, iterations = (SMALL, 3) if options.small else (SIZES, 0)
    found: dict[tuple[str, tuple[int, int]], list[dict[str, float]]] = {}
    for _ in range(options.repeat):
        for size in sizes:
            for method in METHODS:
                took = seconds(past, method, size, iterations)
                found.setdefault((method, size), []).append(took)
                print(f"{method}, {size[0]} x {size[1]}: {took['processor']:.0f} s", flush=True)
    rows = []
    for (method, size), took in found.items():
        spreads = {kind: Spread.of(one[kind] for one in took) for kind in ("processor", "wall")}
        report.results[f"{method}, {size[0]} datasets x {size[1]} runs"] = {**spreads}
        rows.append({"method": method, "datasets": size[0], "runs of each": size[1], **spreads})
        if size == (DATASETS, RUNS):
            report.verdict(
                f"{method} learns from {DATASETS} datasets x {RUNS} runs in "
                f"{spreads['processor'].median:.0f} processor seconds, on one thread; asked under "
                f"{ASKED:.0f} s on 2 cores",
                spreads["processor"].median < ASKED,
            )
    print(table(rows))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="a trial of seconds")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    past = Past.of(load("random_forest").view)
    report_of(past, options).write(options.out)


if __name__ == "__main__":
    main()
