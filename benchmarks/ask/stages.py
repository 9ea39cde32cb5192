"""Where the time of one answer goes; run by `benchmarks.ask.latency` in a fresh process.

    python -m benchmarks.ask.stages STORE DATASET METRIC RECOMMENDER REPEATS

Prints one line of JSON: wall and processor seconds of each stage, and the milliseconds of
`recommend` repeated on the fitted recommender, with nothing and with five runs observed.
"""

# ruff: noqa: PLC0415 - importing is one of the stages that are timed
from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
N = 5
"""How many configs are asked for, and how many runs are observed."""

STAGES = ("import", "open", "absorb", "view", "narrow", "fit", "first recommend")


class Clock:
    """Wall and processor seconds by stage."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[[], T]) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        self.wall[stage] = time.perf_counter() - wall
        self.cpu[stage] = time.process_time() - cpu
        return found


def _imported() -> Any:
    import metastore
    import recommenders

    return metastore, recommenders


def main(path: str, dataset: str, metric: str, name: str, repeats: int) -> dict[str, Any]:
    clock = Clock()
    metastore, recommenders = clock("import", _imported)
    store = clock("open", lambda: metastore.open(path))
    clock("absorb", store.absorb)
    everything = clock("view", lambda: store.view(metric))
    view = clock("narrow", lambda: everything.without([dataset]))
    recommender = clock("fit", lambda: recommenders.make(name, seed=0).fit(view))
    clock("first recommend", lambda: recommender.recommend(dataset, (), N))
    from recommenders.asking import own_runs

    observed = own_runs(everything, dataset)[:N]
    warm: dict[str, list[float]] = {"nothing observed": [], "5 observed": []}
    for _ in range(repeats):
        for what, seen in (("nothing observed", ()), ("5 observed", observed)):
            start = time.perf_counter()
            recommender.recommend(dataset, seen, N)
            warm[what].append(1000 * (time.perf_counter() - start))
    torch = "torch" in sys.modules
    return {"wall": clock.wall, "cpu": clock.cpu, "warm_ms": warm, "torch": torch}


if __name__ == "__main__":
    path, dataset, metric, name, repeats = sys.argv[1:]
    print(json.dumps(main(path, dataset, metric, name, int(repeats))))
