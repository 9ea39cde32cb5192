"""What tunings recommended from past fine-tunings are worth beside the default.

    python -m benchmarks.starts.tuning --store S [--minutes M] [--scratch FOLDER] [--report]
        [--small] [--out FILE]

One start, trained on half of Omniglot's background alphabets, is fine-tuned on tasks of the other
half, 1 and 5 examples each, and on the first digits, 1, 5 and 10 each: by its own rule (the
default), by a linear head, by the usual gradient steps, and by tunings drawn at random. The same
tunings are tried on every task. Then each group of tasks (an alphabet, or all digits) is left
out, the others' runs are what the store remembers, and the tuning that is recommended from them
is charged with what it gave there. The evaluation alphabets have no part. What was done is kept
in the scratch folder, a line a task, so that the run can be stopped and goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import metastore
from benchmarks.results import Report, table
from benchmarks.starts.alphabets import background
from benchmarks.starts.choosing import SEEN, task_of
from benchmarks.starts.kept_lines import kept_lines
from metastore.store import MetaStore
from metastore.types import MetricValue, RunRecord
from recommenders.starts.backtest import Task
from recommenders.starts.fitting import fit_start
from recommenders.starts.image_polarity import suited
from recommenders.starts.loading import load_start
from recommenders.starts.record import ALGORITHM, METRIC, START
from recommenders.starts.tuning import GRADIENT, LINEAR, MODES, Tuning, tuning_space
from recommenders.starts.tuning_advice import Wanted, advised

NAME = "protonet-half-0"
"""The start; the alphabets of "half 1" are those that it was not trained on."""
DRAWN = 13
QUERY = 15
WAYS = ("default", "usual gradient steps", "advised", "best on average elsewhere", "hindsight")


@dataclass(frozen=True)
class Tried:
    """What tunings gave on one task.

    Args:
        task: its name.
        group: tasks of one group teach nothing of each other.
        accuracy: on the query, in the order of `tunings`.
    """

    task: str
    group: str
    accuracy: tuple[float, ...]


def tunings() -> list[Tuning]:
    """Return what is tried on every task, the default first."""
    drawn = tuning_space(("gradient",)).sample(DRAWN, 0)
    return [Tuning(), GRADIENT, LINEAR, *(Tuning.of(config) for config in drawn)]


def tasks() -> Iterator[Task]:
    """Yield the tasks, the same ones every time."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - for these tasks alone

    for alphabet, characters in background("half 1").items():
        for shots in (1, 5):
            yield _drawn(f"{alphabet}, 5 classes, {shots} each", alphabet, characters, shots)
    x, y = load_digits(return_X_y=True)
    images, y = (x[:SEEN].reshape(-1, 8, 8) * 15.9).astype(np.uint8), y[:SEEN]
    least = np.bincount(y).min()
    digits = np.stack([images[y == digit][:least] for digit in range(10)])
    for shots in (1, 5, 10):
        for draw in range(2):
            yield _drawn(f"digits {draw}, {shots} each", "digits", digits, shots, 10)


def _drawn(name: str, group: str, images: np.ndarray, shots: int, ways: int = 5) -> Task:
    rng = np.random.default_rng(list(name.encode()))
    classes = rng.permutation(len(images))[:ways]
    orders = [rng.permutation(images.shape[1])[: shots + QUERY] for _ in classes]
    drawn = np.stack([images[k][order] for k, order in zip(classes, orders, strict=True)])
    return task_of(name, group, drawn[:, :shots], drawn[:, shots:])


def measure(told: argparse.Namespace, file: Path) -> None:
    """Try every tuning on the tasks that were not done yet, within the minutes there are."""
    loaded = load_start(metastore.open(told.store, create=False).start(NAME))
    until, known = time.monotonic() + 60 * told.minutes, {one.task for one in done(file)}
    for i, task in enumerate(tasks()):
        if task.name in known or (told.small and i % 8):
            continue
        if time.monotonic() > until:
            return
        how = suited(loaded, task.support, 0)
        accuracy = tuple(
            fit_start(loaded, how, task.support, tuning).accuracy(task.query)
            for tuning in tunings()
        )
        found = Tried(task.name, task.group, accuracy)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(found)) + "\n")
        print(f"{task.name}: default {accuracy[0]:.3f}, best {max(accuracy):.3f}", flush=True)


def done(file: Path) -> list[Tried]:
    """Return what was done so far; a last line that was torn by a kill is left out."""
    return [Tried(row["task"], row["group"], tuple(row["accuracy"])) for row in kept_lines(file)]


def remembered(folder: str, found: Sequence[Tried], supports: dict[str, Task]) -> MetaStore:
    """Return a store whose record holds fine-tunings of some tasks."""
    store = metastore.open(folder)
    store.add(
        RunRecord(
            supports[one.task].support.dataset(),
            ALGORITHM,
            {START: NAME, **tuning.config()},
            (MetricValue(METRIC, value),),
            split="labelled query",
        )
        for one in found
        for tuning, value in zip(tunings(), one.accuracy, strict=True)
    )
    return store


def compared(found: Sequence[Tried]) -> list[dict[str, Any]]:
    """Return for each task what every way to tune gave, its group left out of the record."""
    known, rows, everything = {one.name: one for one in tasks()}, [], tunings()
    for group in sorted({one.group for one in found}):
        others = [one for one in found if one.group != group]
        means = np.array([one.accuracy for one in others]).mean(0)
        with tempfile.TemporaryDirectory() as folder:
            store = remembered(folder, others, known)
            for one in found:
                if one.group != group:
                    continue
                (said,) = advised(store, known[one.task].support, Wanted(NAME, Tuning(), MODES))
                rows.append(
                    {
                        "task": one.task,
                        "group": group,
                        "default": one.accuracy[0],
                        "usual gradient steps": one.accuracy[1],
                        "advised": one.accuracy[everything.index(said.tuning)],
                        "best on average elsewhere": one.accuracy[int(means.argmax())],
                        "hindsight": max(one.accuracy),
                        "tuning": said.tuning.config(),
                    }
                )
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean accuracies with standard errors, and by how much they are ahead of the default.

    Tasks of one group are alike: errors are those of the means of groups, where there are several.
    """
    made = []
    for way in WAYS:
        values = np.array([row[way] for row in rows])
        ahead = values - np.array([row["default"] for row in rows])
        made.append(
            {
                "way": way,
                "accuracy": round(float(values.mean()), 4),
                "standard_error": round(_error(values, rows), 4),
                "ahead_of_default": round(float(ahead.mean()), 4),
                "error_of_that": round(_error(ahead, rows), 4),
                "better_equal_worse": [int((np.sign(ahead) == s).sum()) for s in (1, 0, -1)],
                "tasks": len(rows),
            }
        )
    return made


def _error(values: np.ndarray, rows: Sequence[dict[str, Any]]) -> float:
    groups = [row["group"] for row in rows]
    means = [values[np.array(groups) == name].mean() for name in sorted(set(groups))]
    each = np.array(means) if len(means) > 1 else values
    return float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else 0.0


def main() -> None:
    """Try what is left, say what the advice was worth, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--scratch", type=Path, default=Path("build/tuning"))
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--small", action="store_true", help="an eighth of the tasks")
    parser.add_argument("--out", type=Path, help="the result file")
    told = parser.parse_args()
    torch.set_num_threads(1)
    told.scratch.mkdir(parents=True, exist_ok=True)
    file = told.scratch / "tried.jsonl"
    if not told.report:
        measure(told, file)
    found = done(file)
    if not found:
        parser.error("no task was done yet: run it without --report")
    rows = compared(found)
    report = Report("starts.tuning", told.small, {"start": NAME, "tunings": len(tunings())})
    parts = {
        "all": rows,
        "alphabets, 1 each": [row for row in rows if row["task"].endswith("classes, 1 each")],
        "alphabets, 5 each": [row for row in rows if row["task"].endswith("classes, 5 each")],
        "digits": [row for row in rows if row["group"] == "digits"],
    }
    for part, some in parts.items():
        if some:
            report.results[part] = summary(some)
            print(part, table(report.results[part]), sep="\n")
    ours = next(row for row in report.results["all"] if row["way"] == "advised")
    report.verdict(
        f"advised tunings are ahead of the default: {100 * ours['ahead_of_default']:+.2f} points, "
        f"standard error {100 * ours['error_of_that']:.2f}",
        ours["ahead_of_default"] > 0,
    )
    report.results["tasks"] = rows
    report.write(told.out)


if __name__ == "__main__":
    main()
