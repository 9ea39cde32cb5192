"""Regret curves of everybody on the same tasks, and what is asked of `auto` among them.

Regret is normalised by the best and the worst of the task's own configs. A mean is over tasks,
after a mean over the seeds of each; its standard error is over groups of near-duplicates.

Notation: T tasks, B trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recommend.ledger import Entry, Ledger
from benchmarks.recommend.own_methods import Method
from benchmarks.recommend.own_tables import Table, Task
from benchmarks.results import Report
from metastore.view import FloatArray, IntArray
from recommenders.replay import best_so_far

SHOWN = (1, 5, 10, 25, 50)
AHEAD = (5, 10, 25, 50)
REFERENCE = 25
OURS = "auto"
OWN = frozenset({"auto", "deep_mixture", "empirical_bayes", "nearest"})
ASKED = {"svc": 0.55, "random_forest": 0.60}
ASKED_OF_TPE = 0.40
ASKED_OF_TRANSFER = 0.70
TPE = "optuna TPE"


@dataclass(frozen=True, eq=False)
class Curve:
    """One method on one table.

    Args:
        name: the method.
        transfer: whether it learns from past datasets.
        seeds: how many seeds were run on every task; 0 where the seed does not matter.
        regret: `(T, B)` mean over seeds of the regret after each trial.
        groups: `(T,)` near-duplicate group of each task.
        seconds: processor seconds a task, fitting among them.
    """

    name: str
    transfer: bool
    seeds: int
    regret: FloatArray
    groups: IntArray
    seconds: float

    @property
    def mean(self) -> FloatArray:
        """`(B,)` mean over tasks."""
        mean: FloatArray = self.regret.mean(axis=0)
        return mean

    def error(self, trial: int) -> float:
        """Return the standard error of the mean after a trial, numbered from 1."""
        values = self.regret[:, trial - 1]
        sums = np.bincount(self.groups, values - values.mean())
        count = len(set(self.groups.tolist()))
        if count < 2:
            return float("nan")
        return float(np.sqrt(count / (count - 1) * (sums**2).sum()) / len(values))

    def reaches(self, target: float) -> int | None:
        """Return the first trial at which the mean is at or below a target, None if never."""
        found = np.flatnonzero(self.mean <= target + 1e-12)
        return int(found[0]) + 1 if len(found) else None


def common(ledger: Ledger, table: Table, chosen: Sequence[Method]) -> list[Task]:
    """Return the tasks that everybody went through, so that all are compared on the same.

    Who went through less than half of them yet takes no part.
    """
    tasks = [task for fold in table.folds for task in fold.tasks]
    through = {
        method.name: {t.name for t in tasks if _entry(method, table, t, 0) in ledger.tried}
        for method in chosen
    }
    part = [done for done in through.values() if 2 * len(done) >= len(tasks)]
    shared = set.intersection(*part) if part else set()
    return [task for task in tasks if task.name in shared]


def _entry(method: Method, table: Table, task: Task, seed: int) -> Entry:
    return (method.name, method.version, table.name, task.name, seed)


def curves(
    ledger: Ledger, table: Table, chosen: Sequence[Method], seeds: int, budget: int
) -> list[Curve]:
    """Return the curves of the methods on their common tasks.

    A seed counts once all of those have it.
    """
    tasks = common(ledger, table, chosen)
    found = []
    for method in chosen if tasks else ():
        runs = [
            [_entry(method, table, task, seed) for task in tasks]
            for seed in range(seeds if method.seeded else 1)
        ]
        runs = [run for run in runs if all(entry in ledger.tried for entry in run)]
        if runs:
            found.append(_curve(ledger, method, table, tasks, runs, budget))
    return found


def _curve(  # noqa: PLR0917 - all of it belongs to one curve
    ledger: Ledger,
    method: Method,
    table: Table,
    tasks: Sequence[Task],
    runs: Sequence[Sequence[Entry]],
    budget: int,
) -> Curve:
    paths = [
        [
            best_so_far(task.answers.regret, np.array(ledger.tried[entry][:budget]), budget)
            for task, entry in zip(tasks, run, strict=True)
        ]
        for run in runs
    ]
    return Curve(
        method.name,
        method.transfer,
        len(runs) if method.seeded else 0,
        np.array(paths).mean(axis=0),
        np.array([table.groups[task.name] for task in tasks]),
        float(np.mean([ledger.seconds[entry] for run in runs for entry in run])),
    )


def target_of(found: Sequence[Curve]) -> tuple[str, float]:
    """Return the best non-transfer peer at 25 trials, and its mean regret there."""
    plain = [c for c in found if not c.transfer]
    best = min(plain, key=lambda c: float(c.mean[REFERENCE - 1]))
    return best.name, float(best.mean[REFERENCE - 1])


def rows(found: Sequence[Curve]) -> list[dict[str, Any]]:
    """Return a row a method for a table of text, the best at 25 first."""
    _, target = target_of(found)
    shown = []
    for curve in sorted(found, key=lambda c: float(c.mean[REFERENCE - 1])):
        row: dict[str, Any] = {"method": curve.name, "seeds": curve.seeds or "(any)"}
        budgets = [k for k in SHOWN if k <= len(curve.mean)]
        row |= {f"@{k}": f"{curve.mean[k - 1]:.4f} ± {curve.error(k):.4f}" for k in budgets}
        row |= {"trials to target": curve.reaches(target) or f"> {len(curve.mean)}"}
        shown.append(row | {"CPU s a task": f"{curve.seconds:.2f}"})
    return shown


def numbers(found: Sequence[Curve]) -> dict[str, Any]:
    """Return everything for the result file."""
    name, target = target_of(found)
    return {
        "tasks": len(found[0].regret),
        "groups": len(set(found[0].groups.tolist())),
        "target": {"of": name, "at": REFERENCE, "mean_regret": round(target, 5)},
        "methods": {
            c.name: {
                "transfer": c.transfer,
                "seeds": c.seeds or "the seed does not matter",
                "mean_regret": {k: round(float(c.mean[k - 1]), 5) for k in SHOWN},
                "standard_error": {k: round(c.error(k), 5) for k in SHOWN},
                "trials_to_target": c.reaches(target),
                "cpu_seconds_a_task": round(c.seconds, 3),
                "curve": [round(x, 5) for x in c.mean.tolist()],
            }
            for c in found
        },
    }


def judge(report: Report, table: str, found: Sequence[Curve]) -> None:
    """Say whether what is asked of `auto` holds on a table."""
    by_name = {curve.name: curve for curve in found}
    if OURS not in by_name:
        return
    ours = by_name[OURS]
    best, target = target_of(found)
    needed = ours.reaches(target)
    budget = len(ours.mean)
    against = {f"{best}, the best non-transfer peer": (REFERENCE, ASKED[table])}
    if TPE in by_name:
        against[TPE] = (by_name[TPE].reaches(target) or budget + 1, ASKED_OF_TPE)
    rivals = [c for c in found if c.transfer and c.name not in OWN]
    if rivals:
        rival = min(rivals, key=lambda c: c.reaches(target) or budget + 1)
        trials = rival.reaches(target) or budget + 1
        against[f"{rival.name}, the best transfer peer"] = (trials, ASKED_OF_TRANSFER)
    for name, (theirs, asked) in against.items():
        had = f"{theirs}" if theirs <= budget else f"more than {budget}"
        share = f"{needed / theirs:.0%}" if needed else "more than that"
        report.verdict(
            f"{table}: {OURS} reaches {target:.4f} after {needed or f'more than {budget}'} "
            f"trials, {share} of {name} ({had}); asked at most {asked:.0%}",
            needed is not None and needed <= asked * theirs,
        )
    for trial in AHEAD:
        peers = [c for c in found if c.name not in OWN]
        nearest = min(peers, key=lambda c: float(c.mean[trial - 1]))
        mine, best_other = (
            f"{c.mean[trial - 1]:.4f} ± {c.error(trial):.4f}" for c in (ours, nearest)
        )
        report.verdict(
            f"{table}: {OURS} at {trial}: {mine}; asked ahead of every peer, the best is "
            f"{nearest.name} with {best_other}",
            bool(ours.mean[trial - 1] < nearest.mean[trial - 1]),
        )


def draw(found: Mapping[str, Sequence[Curve]], path: Path) -> None:
    """Draw mean regret against trials, one panel a table, into a PNG."""
    import matplotlib as mpl  # noqa: PLC0415 - only pictures need it

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(
        1, len(found), figsize=(6.5 * len(found), 5), squeeze=False, layout="constrained"
    )
    names = sorted({curve.name for some in found.values() for curve in some})
    colours = {name: plt.get_cmap("tab20")(i % 20) for i, name in enumerate(names)}
    for axis, (name, some) in zip(axes.flat, found.items(), strict=True):
        for curve in sorted(some, key=lambda c: float(c.mean[REFERENCE - 1])):
            own = curve.name in OWN
            style = "-" if own else "--" if curve.transfer else ":"
            steps = range(1, len(curve.mean) + 1)
            width, colour = 2.4 if own else 1.3, colours[curve.name]
            axis.plot(steps, curve.mean, style, label=curve.name, lw=width, color=colour)
        axis.axhline(target_of(some)[1], color="0.6", lw=0.8)
        axis.set(title=name, xlabel="configs tried", ylabel="mean normalised regret")
        axis.set_yscale("log")
        axis.set_xscale("log")
        axis.grid(alpha=0.3, which="both")
        axis.legend(frameon=False, fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"written: {path.name}")
