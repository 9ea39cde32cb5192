"""Advice where runs diverge: 12 tasks of text networks, 1000 settings of Adam, losses to 1e18.

    python -m benchmarks.recommend.diverged [--small] [--out FILE]

Each task is left out in turn, the others are the past, and its 1000 configs are the pool. On a
scale from the best loss to the worst nearly all regrets would be 0; so what is measured is how
much of the way from the best loss to the median is left after 1, 3, 5, 10 and 25 configs, and what
share of all configs is better still, both in percent. `as recorded` takes every loss for what it
is; `cut` is how the recommenders work (`recommenders.heavy_tails`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.realdata import realdata
from benchmarks.results import Report, table
from metastore.view import FloatArray, View
from recommenders.heavy_tails import LOWEST
from recommenders.registry import make
from recommenders.replay import BUDGETS, Answers, replay
from recommenders.scores import Past
from recommenders.tasks import resolve
from recommenders.threads import one_thread
from tests.views import view_from_parquet

NAMES = ("random", "portfolio", "nearest", "empirical_bayes", "auto")
SEED = 0


@contextmanager
def as_recorded() -> Iterator[None]:
    """Take every score for what it is."""
    with patch.dict(LOWEST, dict.fromkeys(LOWEST, -np.inf)):
        yield


def measure(view: View, name: str) -> tuple[FloatArray, FloatArray]:
    """Return what is left to the best loss and the share of better configs, `(tasks, budgets)`."""
    past = Past.of(view)
    left, better = [], []
    for task in view.datasets:
        fold, answers = past.without([task]), Answers.of(view, task)
        recommender = make(name, seed=SEED).fit_past(fold)
        session = recommender.session(resolve(task, fold.view), fold.table(answers.keys))
        score = np.where(np.isnan(answers.score), -np.inf, answers.score)
        tried = replay(session, answers, max(BUDGETS)).columns
        reached = np.maximum.accumulate(score[tried])[np.array(BUDGETS) - 1]
        best, median = score.max(), np.median(score[np.isfinite(score)])
        left.append(np.clip((best - reached) / (best - median), 0, 1))
        better.append((score[None] > reached[:, None]).mean(axis=1))
    return np.array(left), np.array(better)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a trial: two recommenders")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    names = NAMES[:2] if options.small else NAMES
    report = Report("recommend.diverged", options.small, {"seed": SEED, "budgets": BUDGETS})
    view = view_from_parquet(realdata("taskset_curves/runs.parquet"), "final_valid_loss")
    rows = []
    with one_thread():
        for name in names:
            with as_recorded():
                rows += [_row(report, f"{name}, as recorded", measure(view, name))]
            rows += [_row(report, f"{name}, cut", measure(view, name))]
    print(table(rows))
    report.write(options.out)


def _row(report: Report, name: str, found: tuple[FloatArray, FloatArray]) -> dict[str, Any]:
    left, better = (100 * part for part in found)
    error = left.std(axis=0, ddof=1) / np.sqrt(len(left))
    report.results[name] = {
        "percent_left": left.mean(axis=0).round(2).tolist(),
        "standard_error": error.round(2).tolist(),
        "percent_better": better.mean(axis=0).round(3).tolist(),
    }
    cells = zip(BUDGETS, left.mean(axis=0), error, strict=True)
    return {"recommender": name} | {f"@{k}": f"{m:.1f} ± {e:.1f}" for k, m, e in cells}


if __name__ == "__main__":
    main()
