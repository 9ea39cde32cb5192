"""What is chosen for a few rows of a table, and what that is worth beside every fixed choice.

    python -m benchmarks.starts.choosing_tables --store S [--scratch FOLDER] [--minutes M]
        [--report] [--small] [--out FILE]

PMLB's classification tables, 5, 10 and 25 rows a class. Candidates are the one start that was
trained without the table's fold (`benchmarks.starts.train`), an untrained network, and plain
classifiers. What the start's validation says is that of another fold's start, since its own was
measured on the tables asked about here. What was done is kept in the scratch folder, so that the
run can be stopped and goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import metastore
from benchmarks.results import Report, table
from benchmarks.starts.few_rows import SHOTS, FewRows, tasks
from benchmarks.starts.tables import N_FOLDS, fold_names, tables
from metastore.store import MetaStore
from recommenders.starts import Asked
from recommenders.starts.backtest import (
    HINDSIGHT,
    WAYS,
    Outcome,
    Task,
    backtest,
    summary,
)
from recommenders.starts.support_sets import read_query, read_support


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
        name="set-encoder",
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


def measure(whole: MetaStore, scratch: Path, until: float, small: bool) -> None:
    """Choose for every task that was not done yet; tables in an order that says nothing of them."""
    known = {one.task for one in outcomes(scratch)}
    names = {name: fold for fold in range(N_FOLDS) for name in fold_names(fold)}
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    with tempfile.TemporaryDirectory() as folder, (scratch / "chosen.jsonl").open("a") as file:
        stores = [registry(whole, fold, f"{folder}/{fold}") for fold in range(N_FOLDS)]
        for name in order[: 4 if small else None]:
            for one in tasks(name, tables()[name], 1):
                if time.monotonic() > until:
                    return
                if f"{one.table}, {one.shots} each" in known:
                    continue
                (found,) = backtest(stores[names[name]], [_task(one)], Asked())
                file.write(json.dumps(asdict(found)) + "\n")
                file.flush()
                print(f"{found.task}: {found.chosen['combined']}", flush=True)


def outcomes(scratch: Path) -> list[Outcome]:
    """Return what was done so far."""
    file = scratch / "chosen.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def rows(found: list[Outcome]) -> list[dict[str, Any]]:
    """Return the mean accuracy of each way to choose and each fixed choice, by rows a class."""
    made = []
    for shots in SHOTS:
        some = [one for one in found if one.task.endswith(f", {shots} each")]
        made += [{"rows a class": shots, **row} for row in summary(some)]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--scratch", type=Path, default=Path("build/choosing_tables"))
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, help="the result file")
    told = parser.parse_args()
    torch.set_num_threads(1)
    told.scratch.mkdir(parents=True, exist_ok=True)
    settings = {"shots": list(SHOTS), "repetitions": 1, "folds": N_FOLDS}
    report = Report("starts.choosing_tables", told.small, settings)
    if not told.report:
        until = time.monotonic() + 60 * told.minutes
        measure(metastore.open(told.store, create=False), told.scratch, until, told.small)
    found = outcomes(told.scratch)
    shown = rows(found)
    print(table(shown))
    for shots in SHOTS:
        _judge(report, shots, [row for row in shown if row["rows a class"] == shots])
    report.results["accuracy"] = shown
    report.write(told.out)


def _judge(report: Report, shots: int, some: list[dict[str, Any]]) -> None:
    """Say whether what is chosen is ahead of every fixed choice."""
    by_name = {row["choice"]: row for row in some}
    ours = by_name.pop("combined", None)
    most = max((row["tasks"] for row in some), default=0)
    fixed = {
        k: row for k, row in by_name.items() if k not in (HINDSIGHT, *WAYS) and row["tasks"] == most
    }
    if ours is None or not fixed:
        return
    best = max(fixed, key=lambda name: fixed[name]["accuracy"])
    report.verdict(
        f"{shots} rows a class: what is chosen is ahead of any fixed choice: "
        f"{ours['accuracy']:.4f}, the best is {best} with {fixed[best]['accuracy']:.4f}",
        ours["accuracy"] > fixed[best]["accuracy"],
    )


if __name__ == "__main__":
    main()
