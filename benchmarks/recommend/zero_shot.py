"""Zero-shot recommenders on real tables: the first ten configs, with nothing observed.

    python -m benchmarks.recommend.zero_shot [--small] [--table NAME ...] [--out FILE]

Datasets of the same shape are one group; groups are dealt into five folds, and recommenders learn
from the other folds. `listed` is the list of ten that is given before anything ran, `told` the
same recommender told the score of each config before it names the next. Numbers are mean
normalised regret x100 after 1, 3, 5 and 10 configs, with the paired difference from `nearest`
in standard errors (near-duplicates count as one draw), negative where it is better. `ranker`
stands there three times: by each of its models alone, and choosing between them by leaving out
datasets of those that it learns from; the difference from LightGBM's is beside.

Constants of `ranker` and `learned_similarity` were chosen on openml_pimp's two tables,
sklearn_benchmarks' and half 0 of auto-sklearn's groups (as in `benchmarks.recommend.dense`), in
folds like these; those of the network on half 0 of auto-sklearn's groups and on
`benchmarks.recommend.collect`'s runs alone. So half 1 of auto-sklearn's table is what nothing was
chosen on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.realdata import realdata
from benchmarks.recommend.dense import Paths, worse
from benchmarks.recommend.static import TABLES
from benchmarks.results import Report, table
from metastore.view import FloatArray, View
from recommenders.calibrating import Calibration
from recommenders.registry import make
from recommenders.replay import Answers, best_so_far, replay, seen_of
from recommenders.scores import Past
from recommenders.table_recommender import TableRecommender
from recommenders.tasks import resolve
from recommenders.threads import one_thread
from tests.views import view_from_parquet

TREES = "ranker, lightgbm"
ASKED: dict[str, tuple[str, dict[str, str]]] = {
    "nearest": ("nearest", {}),
    "portfolio": ("portfolio", {}),
    "learned_similarity": ("learned_similarity", {}),
    TREES: ("ranker", {"model": "lightgbm"}),
    "ranker, network": ("ranker", {"model": "network", "device": "cpu"}),
    "ranker": ("ranker", {"device": "cpu"}),
}
"""Who is asked, by what the table calls them: the recommender and its options."""

NAMES = tuple(ASKED)
BUDGETS = (1, 3, 5, 10)
MOST = max(BUDGETS)
FOLDS = 5
SEED = 0


def view_of(name: str) -> View:
    """Return the view of a table; datasets of the same shape are one group."""
    source = TABLES[name]
    return view_from_parquet(realdata(source.runs), source.metric, realdata(source.metafeatures))


def measure(view: View, names: tuple[str, ...], folds: int = FOLDS) -> dict[str, Paths]:
    """Return the regrets of everybody, listed and told."""
    past = Past.of(view)
    groups = past.groups
    fold = np.random.default_rng(SEED).permutation(groups.max() + 1)[groups] % folds
    found: dict[str, dict[str, list[FloatArray]]] = {
        way: {name: [] for name in names} for way in ("listed", "told")
    }
    spent = dict.fromkeys(names, 0.0)
    order = np.argsort(fold, kind="stable")
    for number in range(folds):
        members = [past.datasets[i] for i in order.tolist() if fold[i] == number]
        told = past.without(members)
        answers = [Answers.of(view, name) for name in members]
        for name in names:
            start = time.process_time()
            kind, given = ASKED[name]
            one = make(kind, seed=SEED, **given).fit_past(told)
            spent[name] += time.process_time() - start
            for member, truth in zip(members, answers, strict=True):
                session = one.session(resolve(member, told.view), told.table(truth.keys))
                listed = session.step(seen_of([], truth.score), MOST).choice.columns
                adapted = replay(session, truth, MOST).columns
                for way, columns in (("listed", listed), ("told", adapted)):
                    found[way][name].append(best_so_far(truth.regret, columns, MOST))
    return {
        way: Paths({n: np.array(p) for n, p in rows.items()}, groups[order], spent, {})
        for way, rows in found.items()
    }


def rows_of(paths: Paths) -> list[dict[str, Any]]:
    """Return a row each: mean regrets x100, and by how much it differs from the first name."""
    first, rows = next(iter(paths.regret)), []
    for name, path in paths.regret.items():
        row: dict[str, Any] = {"recommender": name}
        row |= {f"@{k}": round(100 * float(path[:, k - 1].mean()), 2) for k in BUDGETS}
        row[f"against {first}"] = " ".join(f"{d:+.1f}" for d in differences(paths, name, first))
        if TREES in paths.regret:
            row[f"against {TREES}"] = " ".join(f"{d:+.1f}" for d in differences(paths, name, TREES))
        row["fit, CPU s"] = round(paths.seconds[name], 1)
        rows.append(row)
    return rows


def differences(paths: Paths, name: str, other: str) -> list[float]:
    """Return the paired differences at the budgets in standard errors."""
    wide = {n: np.pad(path, ((0, 0), (0, 15)), mode="edge") for n, path in paths.regret.items()}
    found: list[float] = worse(Paths(wide, paths.groups, {}, {}), name, other)[
        : len(BUDGETS)
    ].tolist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a trial: 20 datasets, 2 folds")
    parser.add_argument("--table", action="append", choices=tuple(TABLES), help="all by default")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    chosen = options.table or [name for name in TABLES if not name.endswith("alone")]
    if options.small:
        chosen = ["sklearn_benchmarks"]
    settings = {"seed": SEED, "folds": FOLDS, "unit": "mean normalised regret x100"}
    report = Report("recommend.zero_shot", options.small, settings)
    # Intervals change no choice, and learning them takes most of the time.
    TableRecommender.calibration = lambda _: Calibration((), ())  # type: ignore[method-assign]
    with one_thread():
        for name in chosen:
            view = view_of(name)
            view = view.without(view.datasets[20:]) if options.small else view
            found = measure(view, NAMES, 2 if options.small else FOLDS)
            for way, paths in found.items():
                parts = {"all": paths}
                if name == "autosklearn_md":
                    parts |= {f"half {h}": paths.take(paths.groups % 2 == h) for h in (0, 1)}
                for part, some in parts.items():
                    rows = rows_of(some)
                    report.results[f"{name}, {way}, {part}"] = rows
                    print(f"\n{name}, {way}, {part}\n{table(rows)}", flush=True)
    report.write(options.out)


if __name__ == "__main__":
    main()
