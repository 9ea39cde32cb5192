"""The three tables of Salinas, Shen and Perrone (2020), by their protocol, beside their rows.

    python -m benchmarks.recommend.geoalgo [--table NAME ...] [--method NAME ...] [--seeds N]
        [--small] [--out FILE]

One task is left out at a time, the others are the past, and its own configs are the pool; 100
configs are tried one after the other, 70 of the neural architectures. The distance to the
minimum is (best so far - lowest) / (highest - lowest) on the task, its mean over seeds is the
task's ADTM, and the score of a method is (ADTM of random - ADTM) / ADTM of random, averaged over
iterations and tasks (the paper's table 2; 0 is random search, 1 finds the optimum at once). Random
search is its exact expectation here, not a sample of seeds. The published rows are printed as
published: those of the paper, and with a star those of the authors' own later code.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import metastore
import recommenders
from benchmarks.realdata import realdata
from benchmarks.recommend.own_methods import OURS, SEEDED
from benchmarks.results import Report, table
from metastore.view import FloatArray, View
from recommenders.recommender import AskedTask
from recommenders.replay import Answers, best_so_far, random_regret, replay
from recommenders.scores import Past

SEEDS = 3
BUDGETS = {"DeepAR": 100, "XGBoost": 100, "nas_bench102": 70}
METRICS = {"DeepAR": "CRPS", "XGBoost": "error", "nas_bench102": "error"}
SOURCE = (
    "Salinas, Shen and Perrone (2020), table 2; rows with a star: the README of "
    "github.com/geoalgo/A-Quantile-based-Approach-for-Hyperparameter-Transfer-Learning"
)
PUBLISHED = {
    "CTS": (0.378205, 0.015180, 0.876395),
    "CTS* (sklearn)": (0.541521, 0.170170, 0.859444),
    "CTS* (pytorch)": (0.567947, 0.140947, 0.956671),
    "GCP + prior": (0.733711, 0.371962, 0.940347),
    "GCP + prior* (sklearn)": (0.933025, -0.012777, 0.969306),
    "GCP + prior* (pytorch)": (0.389110, 0.137245, 0.978004),
}
"""Scores on the tables in the order of `BUDGETS`."""

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {"copula CTS": ("copula", {"thompson": True})}
"""Methods that are a recommender with options."""


def load(name: str) -> View:
    """Import a table into a new store and return its view."""
    with tempfile.TemporaryDirectory(prefix="headstart-geoalgo-") as folder:
        store = metastore.open(folder)
        store.import_table(realdata(f"blackbox_geoalgo/runs_{name}.parquet"))
        return store.view(METRICS[name])


def score(adtm: FloatArray, random: FloatArray) -> float:
    """Return the score of distances to the minimum `(tasks, iterations)` against random search's.

    An iteration at which random search has found the minimum for sure does not count.

    >>> score(np.array([[0.5, 0.0]]), np.array([[1.0, 0.5]]))
    0.75
    """
    gain = (random - adtm) / np.where(random > 0, random, np.nan)
    return float(np.nanmean(gain))


def distances(
    view: View, names: list[str], seeds: int, budget: int, few: int = 0
) -> tuple[dict[str, FloatArray], dict[str, float], FloatArray]:
    """Leave each task out in turn, and try the methods on it.

    Returns:
        By method the mean over seeds of the distance to the minimum `(tasks, budget)`, by method
        processor seconds a task, and random search's expected distance.
    """
    past = Past.of(view)
    paths: dict[str, list[FloatArray]] = {name: [] for name in names}
    spent = dict.fromkeys(names, 0.0)
    random = []
    tasks = view.datasets[:few] if few else view.datasets
    for task in tasks:
        fold, answers = past.without([task]), Answers.of(view, task)
        random.append(random_regret(answers.regret, budget))
        for name in names:
            kind, options = OPTIONS.get(name, (name, {}))
            start = time.process_time()
            runs = range(seeds if kind in SEEDED else 1)
            path = np.zeros(budget)
            for seed in runs:
                fitted = recommenders.make(kind, seed=seed, **options).fit_past(fold)
                session = fitted.session(AskedTask(task), fold.table(answers.keys))
                columns = replay(session, answers, budget).columns
                path += best_so_far(answers.regret, columns, budget) / len(runs)
            paths[name].append(path)
            spent[name] += (time.process_time() - start) / len(runs) / len(tasks)
            print(f"  {task}, {name}: {path[0]:.4f} to {path[-1]:.4f}", flush=True)
    return {n: np.array(p) for n, p in paths.items()}, spent, np.array(random)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="append", choices=tuple(BUDGETS), help="all by default")
    parser.add_argument("--method", action="append", help="all by default")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--small", action="store_true", help="a trial: two tasks, ten configs")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    known = [*(name for name in OURS if name in recommenders.names()), *OPTIONS]
    names = options.method or known
    tables = options.table or (["DeepAR"] if options.small else list(BUDGETS))
    settings = {"seeds": options.seeds, "budgets": BUDGETS, "published": SOURCE}
    report = Report("recommend.geoalgo", options.small, settings)
    scores: dict[str, dict[str, float]] = {name: {} for name in names}
    for one in tables:
        budget = 10 if options.small else BUDGETS[one]
        few = 2 if options.small else 0
        paths, spent, random = distances(load(one), names, options.seeds, budget, few)
        for name, path in paths.items():
            scores[name][one] = score(path, random)
        report.results[one] = {
            name: {
                "score": round(scores[name][one], 4),
                "score_by_task": [
                    round(score(path[[i]], random[[i]]), 4) for i in range(len(random))
                ],
                "adtm": {
                    k: round(float(path[:, k - 1].mean()), 5) for k in (1, budget // 2, budget)
                },
                "cpu_seconds_a_task": round(spent[name], 2),
            }
            for name, path in paths.items()
        }
    report.results["published"] = {
        name: dict(zip(BUDGETS, row, strict=True)) for name, row in PUBLISHED.items()
    }
    print(f"\n{table(rows(scores, tables))}\n\npublished: {SOURCE}")
    best = {one: max(row[i] for row in PUBLISHED.values()) for i, one in enumerate(BUDGETS)}
    for one in tables if "auto" in names else ():
        mine = scores["auto"][one]
        report.verdict(
            f"{one}: auto {mine:.3f}; the best published row has {best[one]:.3f}", mine >= best[one]
        )
    report.write(options.out)


def rows(scores: dict[str, dict[str, float]], tables: list[str]) -> list[dict[str, Any]]:
    """Return our rows and the published ones, for a table of text."""
    ours = [
        {"method": f"ours: {name}"} | {t: f"{row[t]:.3f}" for t in tables}
        for name, row in scores.items()
    ]
    theirs = [
        {"method": name} | {t: f"{v:.3f}" for t, v in zip(BUDGETS, row, strict=True) if t in tables}
        for name, row in PUBLISHED.items()
    ]
    return [*ours, *theirs]


if __name__ == "__main__":
    main()
