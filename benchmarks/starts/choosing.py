"""What the choice of a start is worth on the evaluation alphabets and on digits.

    python -m benchmarks.starts.choosing --store S [--tasks alphabets|digits] [--n 20]
        [--minutes M] [--without-starts] [--scratch FOLDER] [--report] [--small] [--out FILE]

The starts come from `benchmarks.starts.train`. Every candidate is fine-tuned on each task and
scored on its query; ways to choose are charged with what they chose. No setting was chosen on
these tasks: those of digits are drawn from the images after the first 900, which settings may
see. What was done is kept in the scratch folder, a line a task, so that the run can be
stopped and goes on; `--report` makes the result of what is there. Remove the folder when the code
or the starts change.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import metastore
from benchmarks.realdata import realdata
from benchmarks.results import Report, table
from benchmarks.starts.alphabets import FILE
from benchmarks.starts.kept_lines import kept_lines
from recommenders.starts import Asked
from recommenders.starts.backtest import (
    HINDSIGHT,
    WAYS,
    Outcome,
    Task,
    met,
    remembering,
    summary,
)
from recommenders.starts.calibration import Calibration, calibration
from recommenders.starts.fitted import VOTE
from recommenders.starts.support_sets import read_query, read_support

WITHIN = 0.01
"""How far from hindsight the choice may be."""
SHAPES = ((5, 1), (5, 2), (5, 5), (10, 3))
"""Classes and examples a class of the tasks of every alphabet."""
SHOTS = (1, 5, 10)
"""Examples of each digit."""
COVERED = (0.75, 0.85)
"""The share of tasks for which 80% intervals are to hold."""
SEEN = 900
"""So many of the digits are left to whoever chooses settings."""


def alphabets(n: int, seed: int = 0) -> Iterator[Task]:
    """Yield tasks of the first `n` evaluation alphabets; an alphabet is a group."""
    with np.load(realdata(FILE), allow_pickle=False) as file:
        images, alphabet = file["images"], file["alphabet"]
        names, held_out = file["alphabet_names"], file["alphabet_split"] != "background"
    rng = np.random.default_rng(seed)
    for number in np.flatnonzero(held_out)[:n]:
        for n_way, k_shot in SHAPES:
            chosen = rng.permutation(np.flatnonzero(alphabet == number))[:n_way]
            orders = np.stack([rng.permutation(images.shape[1]) for _ in chosen])
            drawn = images[chosen[:, None], orders]
            name = f"{names[number]}, {n_way} classes, {k_shot} each"
            yield task_of(name, str(names[number]), drawn[:, :k_shot], drawn[:, k_shot:])


def digits(n: int, seed: int = 0) -> Iterator[Task]:
    """Yield `n` tasks for each number of examples of scikit-learn's digits; each is a group."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - for these tasks alone

    x, y = load_digits(return_X_y=True)
    images, y = (x[SEEN:].reshape(-1, 8, 8) * 15.9).astype(np.uint8), y[SEEN:]
    rng = np.random.default_rng(seed)
    for draw in range(n):
        orders = [rng.permutation(np.flatnonzero(y == digit)) for digit in range(10)]
        for k_shot in SHOTS:
            support = np.stack([images[order[:k_shot]] for order in orders])
            query = np.stack([images[order[-50:]] for order in orders])
            yield task_of(f"digits {draw}, {k_shot} each", f"digits {draw}", support, query)


TASKS = {"alphabets": alphabets, "digits": digits}


def task_of(name: str, group: str, support: np.ndarray, query: np.ndarray) -> Task:
    """Return a task of images by class `(n_classes, n_each, side, side)`."""
    read = read_support(_labelled(support), name=name)
    return Task(name, group, read, read_query(_labelled(query), read))


def _labelled(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    names = np.array([f"class {i:02d}" for i in range(len(images))])
    return images.reshape(-1, *images.shape[2:]), np.repeat(names, images.shape[1])


def measure(told: argparse.Namespace, asked: Asked, file: Path) -> None:
    """Choose for every task that was not done yet, within the minutes there are."""
    until = time.monotonic() + 60 * told.minutes
    store = metastore.open(told.store, create=False)
    known = {one.task for one in outcomes(file)}
    for task in TASKS[told.tasks](1 if told.small else told.n):
        if task.name in known:
            continue
        if time.monotonic() > until:
            return
        found = met(store, task, asked)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(found)) + "\n")
        _say(found)


def outcomes(file: Path) -> list[Outcome]:
    """Return what was done so far; a last line that was torn by a kill is left out."""
    return [Outcome(**row) for row in kept_lines(file)]


def _say(one: Outcome) -> None:
    best = max(one.accuracy, key=lambda name: one.accuracy[name])
    chosen = one.chosen["combined"]
    print(
        f"{one.task}: {chosen} {one.of('combined'):.3f}, best {best} {one.accuracy[best]:.3f}, "
        f"{one.seconds:.1f} s",
        flush=True,
    )


def judge(report: Report, rows: list[dict[str, Any]], found: list[Outcome]) -> None:
    """Say how far the combination is from hindsight, and whether a fixed choice is ahead."""
    by_name = {row["choice"]: row for row in rows}
    most = by_name[HINDSIGHT]["tasks"]
    ours = by_name["combined"]
    # Not from the rows, which are rounded.
    behind = float(np.mean([one.of(HINDSIGHT) - one.of("combined") for one in found]))
    report.verdict(
        f"within 1 point of hindsight on {most} tasks: {100 * behind:.3f} points behind, standard "
        f"error {100 * ours['standard_error']:.2f}",
        behind <= WITHIN,
    )
    # A vote is of those that suit the task: no fixed choice.
    fixed = [row for row in rows if row["choice"] not in (HINDSIGHT, *WAYS, VOTE)]
    whole = [row for row in fixed if row["tasks"] == most]
    if whole:
        best = max(whole, key=lambda row: row["accuracy"])
        report.verdict(
            f"ahead of any fixed choice: {ours['accuracy']:.4f}, the best is {best['choice']} "
            f"with {best['accuracy']:.4f}",
            ours["accuracy"] > best["accuracy"],
        )
    report.results["candidates that were not tried everywhere"] = [
        row["choice"] for row in fixed if row["tasks"] < most
    ]


def judge_expectations(report: Report, found: list[Outcome]) -> None:
    """Say whether what was expected came, over all tasks and by their shape."""
    if not any(one.n_query for one in found):
        return
    shapes: dict[str, list[Outcome]] = {"all": found}
    for one in found:
        shapes.setdefault(one.task.partition(", ")[2], []).append(one)
    rows = [{"of": shape, **_rounded(calibration(some))} for shape, some in shapes.items()]
    print(table(rows))
    report.results["expected and come"] = rows
    whole = calibration(found)
    lowest, highest = COVERED
    report.verdict(
        f"80% intervals, widened by what the queries leave to chance, hold for "
        f"{lowest:.0%} to {highest:.0%} of the tasks: {whole.covered_by_draw:.0%} "
        f"(as they stand {whole.covered:.0%})",
        lowest <= whole.covered_by_draw <= highest,
    )
    report.verdict(
        f"expected within a point of what came: {whole.expected:.4f}, and {whole.accuracy:.4f}",
        abs(whole.expected - whole.accuracy) <= WITHIN,
    )


def _rounded(found: Calibration) -> dict[str, Any]:
    return {name: round(value, 4) for name, value in asdict(found).items()}


def _single(one: Outcome) -> float:
    """Return the accuracy of the best candidate in hindsight that is no vote."""
    return max(value for name, value in one.accuracy.items() if name != VOTE)


def by_examples(found: list[Outcome]) -> list[dict[str, Any]]:
    """Return what is chosen, hindsight and the best fixed choices by shape of the tasks.

    Accuracies are means over tasks with their standard errors.
    """
    shapes: dict[str, list[Outcome]] = {}
    for one in found:
        shapes.setdefault(one.task.partition(", ")[2], []).append(one)
    made = []
    for shape, some in shapes.items():
        rows = summary(some)
        fixed = [
            row
            for row in rows
            if row["choice"] not in (HINDSIGHT, *WAYS, VOTE) and row["tasks"] == len(some)
        ]
        best = [row["choice"] for row in sorted(fixed, key=lambda row: -row["accuracy"])[:3]]
        for choice in (HINDSIGHT, "combined", "static", *best):
            values = [one.of(choice) for one in some]
            error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0
            mean = round(float(np.mean(values)), 4)
            made.append(
                {
                    "tasks": f"{len(some)} of {shape}",
                    "choice": choice,
                    "accuracy": mean,
                    "standard_error": round(error, 4),
                }
            )
    return made


def main() -> None:
    """Run what is left of the backtest, print its summary, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--tasks", choices=tuple(TASKS), default="alphabets")
    parser.add_argument("--n", type=int, default=20, help="alphabets, or draws of digits")
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument(
        "--without-starts", action="store_true", help="candidates that need no start take part"
    )
    parser.add_argument("--scratch", type=Path, default=Path("build/choosing"))
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--small", action="store_true", help="one alphabet, or one draw")
    parser.add_argument("--out", type=Path, help="the result file")
    told = parser.parse_args()
    torch.set_num_threads(1)
    told.scratch.mkdir(parents=True, exist_ok=True)
    variant = f"{told.tasks}{'_without_starts' if told.without_starts else ''}"
    file = told.scratch / f"{variant}.jsonl"
    asked = Asked(without_starts=told.without_starts)
    if not told.report:
        measure(told, asked, file)
    found = remembering(outcomes(file), asked)
    if not found:
        parser.error("no task was done yet: run it without --report")
    rows = summary(found)
    print(table(rows))
    print(table(by_examples(found)))
    report = Report("starts.choosing", told.small, {"n": told.n, "done": len(found)})
    judge(report, rows, found)
    judge_expectations(report, found)
    single = np.array([_single(one) for one in found])
    ours = np.array([one.of("combined") for one in found])
    error = float((single - ours).std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else 0
    report.results["behind the best single candidate in hindsight"] = {
        "points": round(100 * float((single - ours).mean()), 2),
        "standard_error": round(100 * error, 2),
    }
    report.results["accuracy"] = rows
    report.results["accuracy by examples"] = by_examples(found)
    report.results["tasks"] = [
        {name: value for name, value in asdict(one).items() if name != "basis"} for one in found
    ]
    default = Path(__file__).parent / "results" / f"choosing_{told.tasks}.json"
    report.write(told.out or (None if told.small else default))


if __name__ == "__main__":
    main()
