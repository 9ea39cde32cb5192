"""What was chosen for tasks of alphabets and digits, beside what needs no start at all.

    python -m benchmarks.starts.untrained [--tasks alphabets|digits] [--small] [--out FILE]

An untrained network and plain classifiers on pixels are fitted to the very tasks of
`benchmarks.starts.choosing`, whose result file says what was chosen for each, and how good the
best candidate was there. Nothing is chosen here and no start is needed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import Report, table
from benchmarks.starts.choosing import TASKS
from recommenders.starts.fitting import fit_scratch
from recommenders.starts.plain_classifiers import BOOSTING, PLAIN, fit_plain
from recommenders.starts.tuning import SCRATCH

RESULTS = Path(__file__).parent / "results"
NAMES = ("from scratch", *(name for name in PLAIN if name != BOOSTING))
"""Gradient boosting is far behind on a few images, and slow."""


def accuracies(task: Any) -> dict[str, float]:
    """Return what each reaches on a task's query."""
    found = {"from scratch": fit_scratch(task.support, SCRATCH).accuracy(task.query)}
    for name in NAMES[1:]:
        found[name] = fit_plain(name, task.support).accuracy(task.query)
    return found


def rows_of(measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, by shape of the tasks, mean accuracies and how far the choice is ahead."""
    shapes = {one["task"].partition(", ")[2]: None for one in measured}
    made = []
    for shape in (*shapes, ""):
        some = [one for one in measured if one["task"].endswith(shape)]
        chosen = np.array([one["chosen"] for one in some])
        for name in ("chosen", *NAMES):
            values = np.array([one[name] for one in some])
            ahead = chosen - values
            error = float(ahead.std(ddof=1) / np.sqrt(len(some))) if len(some) > 1 else 0.0
            made.append(
                {
                    "tasks": f"{len(some)} of {shape or 'all'}",
                    "choice": name,
                    "accuracy": round(float(values.mean()), 4),
                    "chosen is ahead by": round(float(ahead.mean()), 4),
                    "standard_error": round(error, 4),
                }
            )
    return made


def main() -> None:
    """Fit what needs no start to every task, print the table, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", choices=tuple(TASKS), default="alphabets")
    parser.add_argument("--small", action="store_true", help="one alphabet, or one draw")
    parser.add_argument("--out", type=Path, help="the result file")
    told = parser.parse_args()
    torch.set_num_threads(1)
    file = json.loads((RESULTS / f"choosing_{told.tasks}.json").read_text(encoding="utf-8"))
    filed = {one["task"]: one for one in file["results"]["tasks"]}
    measured = []
    for task in TASKS[told.tasks](1 if told.small else len(filed)):
        if task.name not in filed:
            break
        one = filed[task.name]
        chosen = one["accuracy"][one["chosen"]["combined"]]
        hindsight = max(one["accuracy"].values())
        row = {"task": task.name, "chosen": chosen, "hindsight": hindsight}
        measured.append(row | accuracies(task))
        print(measured[-1], flush=True)
    rows = rows_of(measured)
    print(table(rows))
    report = Report("starts.untrained", told.small, {"tasks": told.tasks})
    *_, last = [row for row in rows if row["choice"] == "from scratch"]
    report.verdict(
        f"ahead of an untrained network on {len(measured)} tasks: by {last['chosen is ahead by']},"
        f" standard error {last['standard_error']}",
        last["chosen is ahead by"] > 0,
    )
    best = [max(one["hindsight"], *(one[name] for name in NAMES)) for one in measured]
    behind = float(np.mean(best) - np.mean([one["chosen"] for one in measured]))
    report.results["behind hindsight over these, too"] = round(behind, 4)
    report.results["accuracy"] = rows
    report.results["each task"] = measured
    default = RESULTS / f"untrained_{told.tasks}.json"
    report.write(told.out or (None if told.small else default))


if __name__ == "__main__":
    main()
