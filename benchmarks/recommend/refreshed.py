"""A dataset joins the past: training from scratch, and beginning from what was kept.

    python -m benchmarks.recommend.refreshed [--method NAME ...] [--small] [--out FILE]

The past is 60 datasets of openml_pimp's SVC table with 250 configs of their own each, and was 59
when the kept state was trained. Both ways learn from the 60, on one thread of the processor, and
are then asked ten times about each task of a fold that no state has seen: the regret after the
tenth trial, paired by task. Steps are counted; processor seconds are all of learning, encoding
and comparing with what is kept among them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recommenders
from benchmarks.recommend.own_tables import Fold, Table, load
from benchmarks.results import Report, table, with_error
from metastore.view import FloatArray
from recommenders.deep_mixture import DeepMixture
from recommenders.lineage import Lineage
from recommenders.pool_recommender import PoolRecommender
from recommenders.replay import best_so_far, replay
from recommenders.scores import Past
from recommenders.surrogate_search import SurrogateSearch
from recommenders.tasks import resolve

METHODS = ("deep_kernel", "maml", "deep_mixture")
DATASETS, BUDGET, FEW = 60, 10, 10


def pasts(one: Table, fold: Fold, datasets: int) -> tuple[Past, Past]:
    """Return a past of some datasets outside a fold, and that of a dataset fewer."""
    others = sorted(set(one.view.datasets) - {task.name for task in fold.tasks})
    alone = [name for name in others if list(one.groups.values()).count(one.groups[name]) == 1]
    kept = {alone[0], *[name for name in others if name != alone[0]][: datasets - 1]}
    now = one.view.without([name for name in one.view.datasets if name not in kept])
    return Past.of(now), Past.of(now.without([alone[0]]))


def learned(
    method: str, past: Past, cache: Path, options: Mapping[str, Any]
) -> tuple[PoolRecommender, float]:
    """Return a recommender that has learned, and the processor seconds that it took."""
    found = recommenders.make(method, cache=cache, **options).fit_past(past)
    start = time.process_time()
    if isinstance(found, SurrogateSearch):
        found.surrogate()
    elif isinstance(found, DeepMixture):
        found.kernel(spoilt=True)  # as for most tasks of this table
    return found, time.process_time() - start


def regrets(found: PoolRecommender, fold: Fold) -> FloatArray:
    """Return the regret `(T,)` after the last trial on each task."""
    out = []
    for task in fold.tasks:
        pool = found.past.table(task.answers.keys)
        session = found.session(resolve(task.name, found.past.view), pool)
        columns = replay(session, task.answers, BUDGET).columns
        out.append(best_so_far(task.answers.regret, columns, BUDGET)[-1])
    return np.array(out)


def compare(method: str, now: Past, before: Past, fold: Fold, iterations: int) -> dict[str, Any]:
    """Return steps, seconds and regrets of both ways, and the paired difference."""
    options: dict[str, Any] = {"iterations": iterations}
    with tempfile.TemporaryDirectory(prefix="headstart-refreshed-") as folder:
        anew, whole = Path(folder) / "anew", Path(folder) / "kept"
        scratch, slow = learned(method, now, anew, options)
        learned(method, before, whole, options)
        refreshed, quick = learned(method, now, whole, options)
        (first,) = anew.glob("*.json")
        (second,) = whole.glob("*refreshed*.json")
        steps = {
            "scratch": Lineage.of(first).iterations,
            "refreshed": Lineage.of(second).iterations,
        }
        new = Lineage.of(second).new
    regret = {"scratch": regrets(scratch, fold), "refreshed": regrets(refreshed, fold)}
    return {
        "steps": steps,
        "processor_seconds": {"scratch": round(slow, 1), "refreshed": round(quick, 1)},
        "new": round(new, 4),
        "regret": {way: with_error(values.tolist()) for way, values in regret.items()},
        "refreshed less scratch": with_error((regret["refreshed"] - regret["scratch"]).tolist()),
    }


def report_of(methods: Sequence[str], small: bool) -> Report:
    """Compare the ways of every method."""
    one = load("svc", 5 * FEW if small else 0)
    fold = one.folds[0]
    now, before = pasts(one, fold, FEW * 3 if small else DATASETS)
    settings = {"table": "openml_pimp SVC", "datasets": len(now.datasets), "trials": BUDGET}
    settings |= {"tasks": len(fold.tasks), "threads": 1, "unit": "mean and standard error"}
    report = Report("recommend.refreshed", small, settings)
    rows = []
    for method in methods:
        found = compare(method, now, before, fold, 16 if small else 0)
        report.results[method] = found
        for way, steps in found["steps"].items():
            seconds, regret = found["processor_seconds"][way], found["regret"][way]
            row = {"method": method, "way": way, "steps": steps, "seconds": seconds}
            rows.append({**row, "regret": regret[0], "error": regret[1]})
        mean, error = found["refreshed less scratch"]
        report.verdict(
            f"{method}: refreshed in {found['steps']['refreshed']} steps and "
            f"{found['processor_seconds']['refreshed']} s where scratch takes "
            f"{found['steps']['scratch']} and {found['processor_seconds']['scratch']}; its regret "
            f"after {BUDGET} trials is higher by {mean} +- {error}, asked no more than two errors",
            mean <= 2 * error,
        )
    print(table(rows))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", action="append", choices=METHODS, help="all by default")
    parser.add_argument("--small", action="store_true", help="a trial of seconds")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    report_of(options.method or METHODS, options.small).write(options.out)


if __name__ == "__main__":
    main()
