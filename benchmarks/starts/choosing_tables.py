"""What is chosen for a few rows of a table, and what that is worth beside every fixed choice.

    python -m benchmarks.starts.choosing_tables --store S [--scratch FOLDER] [--minutes M]
        [--half seen|unseen] [--report] [--small] [--out FILE]

PMLB's classification tables, 5, 10 and 25 rows a class. Candidates are the one start that was
trained without the table's fold (`benchmarks.starts.train`), an untrained network, and plain
classifiers. What the start's validation says is that of another fold's start, since its own was
measured on the tables asked about here. Settings were chosen on half of the tables, those of
`benchmarks.starts.tables.settings_saw`; the other half is reported alone, too. What was done is
kept in the scratch folder, so that the run can be stopped and goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import metastore
from benchmarks.results import Report, table
from benchmarks.starts.few_rows import SHOTS, FewRows, tasks
from benchmarks.starts.kept_lines import kept_lines
from benchmarks.starts.tables import N_FOLDS, fold_names, settings_saw, tables
from metastore.store import MetaStore
from recommenders.starts import Asked
from recommenders.starts.backtest import HINDSIGHT, WAYS, Outcome, Task, met
from recommenders.starts.calibration import calibration
from recommenders.starts.fitted import VOTE
from recommenders.starts.plain_classifiers import PLAIN, fit_plain
from recommenders.starts.support_sets import read_query, read_support

START = "set-encoder"
FIXED = (*PLAIN, START)
"""What one could always take."""
OURS = "combined"
HALVES: dict[str, Callable[[str], bool]] = {
    "both halves": lambda name: True,
    "settings saw": settings_saw,
    "settings did not see": lambda name: not settings_saw(name),
}


def _task(one: FewRows) -> Task:
    name = f"{one.table}, {one.shots} each"
    support = read_support(_labelled(one.support), name=name)
    return Task(name, one.table, support, read_query(_labelled(one.query), support))


def _labelled(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    return pair[0], np.array([f"class {int(label):02d}" for label in pair[1]])


def registry(whole: MetaStore, fold: int, folder: str) -> MetaStore:
    """Return a store with the start of a fold alone, validated by another fold's figures."""
    start, other = (whole.start(f"tables-fold-{i % N_FOLDS}") for i in (fold, fold + 1))
    store = metastore.open(folder)
    store.add_start(
        start.state(),
        name=START,
        tasks=start.tasks(),
        method=start.method,
        learner=start.learner,
        kind=start.kind,
        input_shape=start.input_shape,
        n_way=start.n_way,
        normalisation=start.normalisation,
        trained_on=start.trained_on,
        accuracies=other.accuracies,
    )
    return store


def measure(told: argparse.Namespace) -> None:
    """Choose for every task that was not done yet; tables in an order that says nothing of them."""
    until, whole = time.monotonic() + 60 * told.minutes, metastore.open(told.store, create=False)
    known = {one.task for one in outcomes(told.scratch)}
    fold_of = {name: fold for fold in range(N_FOLDS) for name in fold_names(fold)}
    names = [n for n in fold_of if told.half is None or settings_saw(n) == (told.half == "seen")]
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    with tempfile.TemporaryDirectory() as folder, (told.scratch / "chosen.jsonl").open("a") as file:
        stores = [registry(whole, fold, f"{folder}/{fold}") for fold in range(N_FOLDS)]
        for name in order[: 4 if told.small else None]:
            for one in tasks(name, tables()[name], 1):
                if time.monotonic() > until:
                    return
                if f"{one.table}, {one.shots} each" in known:
                    continue
                found = _done(stores[fold_of[name]], _task(one))
                file.write(json.dumps(asdict(found)) + "\n")
                file.flush()
                print(f"{found.task}: {found.chosen[OURS]} {found.of(OURS):.3f}", flush=True)


def _done(store: MetaStore, task: Task) -> Outcome:
    """Return what is chosen, and what every fixed choice gives, tried for the choice or not."""
    found = met(store, task, Asked())
    missing = {
        name: fit_plain(name, task.support).accuracy(task.query)
        for name in PLAIN
        if name not in found.accuracy
    }
    return replace(found, accuracy={**found.accuracy, **missing}, basis={})


def outcomes(scratch: Path) -> list[Outcome]:
    """Return what was done so far; a last line that was torn by a kill is left out."""
    return [Outcome(**row) for row in kept_lines(scratch / "chosen.jsonl")]


def compared(some: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return accuracy, mean rank and distance of what is chosen and of every fixed choice.

    Ranks are among what is chosen and what can always be taken, 1 the best, ties shared;
    `ours_ahead_by` is the mean difference with half of its 95% interval over tables.
    """
    names = [OURS, *FIXED]
    values = np.array([[one.of(name) for one in some] for name in names])
    above = (values[None] > values[:, None]).sum(1)
    ranks = 1 + above + 0.5 * ((values[None] == values[:, None]).sum(1) - 1)
    rows = []
    for name, each, rank in zip(names, values, ranks, strict=True):
        gap = values[0] - each
        rows.append(
            {
                "choice": name,
                "accuracy": round(float(each.mean()), 4),
                "half_width": round(_half(each), 4),
                "mean_rank": round(float(rank.mean()), 2),
                "ours_ahead_by": round(float(gap.mean()), 4),
                "gap_half_width": round(_half(gap), 4),
                "ours_better_equal_worse": [int((np.sign(gap) == s).sum()) for s in (1, 0, -1)],
                "tables": len(some),
            }
        )
    return rows


def ways(some: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the mean accuracy of other ways to choose, where each can be taken."""
    rows = []
    for name in (HINDSIGHT, *WAYS, VOTE, "from scratch"):
        each = np.array([one.of(name) for one in some])
        there = each[np.isfinite(each)]
        if name != OURS and len(there):
            mean = round(float(there.mean()), 4)
            rows.append({"way": name, "accuracy": mean, "tables": len(there)})
    return rows


def _half(values: np.ndarray) -> float:
    """Return half of the 95% interval of a mean."""
    return float(1.96 * values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def main() -> None:
    """Choose for what is left, print what came of it, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--scratch", type=Path, default=Path("build/choosing_tables"))
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--half", choices=("seen", "unseen"), help="of the tables; both by default")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, help="the result file")
    told = parser.parse_args()
    torch.set_num_threads(1)
    told.scratch.mkdir(parents=True, exist_ok=True)
    settings = {"shots": list(SHOTS), "repetitions": 1, "folds": N_FOLDS}
    report = Report("starts.choosing_tables", told.small, settings)
    if not told.report:
        measure(told)
    found = outcomes(told.scratch)
    for half, within in HALVES.items():
        some = [one for one in found if within(one.group)]
        for shots in SHOTS:
            here = [one for one in some if one.task.endswith(f", {shots} each")]
            if here:
                _told(report, f"{half}, {shots} rows a class", here)
    report.write(told.out)


def _told(report: Report, where: str, some: Sequence[Outcome]) -> None:
    """Print one part of the tasks, and say whether what is chosen is ahead of all fixed choices."""
    rows, chosen = compared(some), [one.chosen[OURS] for one in some]
    print(f"\n{where}")
    print(table([{k: v for k, v in row.items() if k != "ours_better_equal_worse"} for row in rows]))
    report.results[where] = {
        "choices": rows,
        "ways": ways(some),
        "chosen": {name: chosen.count(name) for name in sorted(set(chosen))},
        "expected and come": {k: round(v, 4) for k, v in asdict(calibration(some)).items()},
    }
    best = max(rows[1:], key=lambda row: row["accuracy"])
    report.verdict(
        f"{where}: what is chosen is ahead of any fixed choice: {rows[0]['accuracy']:.4f}, the "
        f"best is {best['choice']} with {best['accuracy']:.4f} "
        f"({best['ours_ahead_by']:+.4f} ± {best['gap_half_width']:.4f})",
        rows[0]["accuracy"] > best["accuracy"],
    )


if __name__ == "__main__":
    main()
