"""Advice where configs fail on the new dataset that ran on all past ones.

    python -m benchmarks.recommend.failures [--tasks PART] [--table NAME ...] [--small] [--out FILE]
        [--summary]

A kernel is not installed, memory or time is short, two options do not go together: real tables
(openml_pimp's SVC and random forest; this project's own runs of four algorithms), each task left
out with its near-duplicates, and `failure_rules` that say which of its configs fail there. The
pool is the task's own configs. Measured are how many of 20 trials failed, and the regret among
configs that run after 5, 10 and 20 trials (1 as long as none ran).

`auto, blind` does not try a failed config again and learns nothing else from it. Optuna's TPE is
told of a failed trial as Optuna is of an exception, which it leaves out, or of a violated
constraint; it starts with the library's default configuration. No peer takes part in the table of
four algorithms.

`--tasks untouched` (the default) asks about tasks that had no part in choosing how failures are
learned from; the rules marked * had none either.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

import metastore
from benchmarks.recommend import own_tables
from benchmarks.recommend.collect import KEPT
from benchmarks.recommend.failure_rules import OWN, RULES, Fails
from benchmarks.recommend.own_tables import Fold, Task
from benchmarks.results import Report, table
from metastore.search_space import SearchSpace
from metastore.view import FloatArray, View
from recommenders import feasibility
from recommenders.registry import make
from recommenders.replay import Answers, regrets, replay
from recommenders.scores import Past
from recommenders.tasks import resolve
from recommenders.threads import one_thread

BUDGET = 20
SHOWN = (5, 10, 20)
SEEDS = 3
PARTS = ("untouched", "development")
RESULT = Path(__file__).parent / "results" / "failures.json"


@dataclass(frozen=True, eq=False)
class Place:
    """A task, who is learned from, and for peers the space."""

    task: Task
    past: Past
    space: SearchSpace | None
    took: FloatArray

    def failing(self, fails: Fails) -> Answers:
        """Return what the configs scored, NaN where they fail."""
        answers = self.task.answers
        bad = [
            fails(algorithm, json.loads(text), float(took))
            for (algorithm, text), took in zip(answers.keys, self.took, strict=True)
        ]
        score = np.where(bad, np.nan, answers.score)
        return Answers(answers.keys, score, regrets(score))


@contextmanager
def blind() -> Iterator[None]:
    """Learn nothing from failures."""

    def alike(points: FloatArray, ran: NDArray[np.int64], failed: NDArray[np.int64]) -> FloatArray:
        return np.ones(len(points))

    with patch.object(feasibility, "chances", alike):
        yield


def ours(name: str) -> Callable[[Place, Answers, int], list[int]]:
    """Return what a recommender tries, step by step."""
    fitted: dict[int, Any] = {}

    def run(place: Place, answers: Answers, seed: int) -> list[int]:
        past = place.past
        if id(past) not in fitted:
            fitted.clear()
            fitted[id(past)] = make(name, seed=seed).fit_past(past)
        session = fitted[id(past)].session(
            resolve(place.task.name, past.view), past.table(answers.keys)
        )
        tried: list[int] = replay(session, answers, BUDGET).columns.tolist()
        return tried

    return run


def without_learning(place: Place, answers: Answers, seed: int) -> list[int]:
    """Return what `auto` tries where failures teach nothing."""
    with blind():
        return _AUTO(place, answers, seed)


def tpe(told_as_constraint: bool) -> Callable[[Place, Answers, int], list[int]]:
    """Return what TPE tries: its proposals, each replaced by the nearest config of the pool."""

    def run(place: Place, answers: Answers, seed: int) -> list[int]:
        assert place.space is not None
        space = dict(place.space.distributions)
        study = optuna.create_study(direction="maximize", sampler=TPESampler(seed=seed))
        columns: list[int] = []
        while len(columns) < BUDGET:
            column = place.task.default
            if columns:
                trial = study.ask(space)
                column = place.task.nearest(place.space.encode([trial.params])[0], columns)
                study.tell(trial, state=TrialState.FAIL)
            columns.append(column)
            config, score = place.task.config(column), float(answers.score[column])
            fine = bool(np.isfinite(score))
            if fine or told_as_constraint:
                study.add_trial(
                    create_trial(
                        params={name: config[name] for name in space},
                        distributions=space,
                        value=score if fine else 0.0,
                        constraints={"runs": 0.0 if fine else 1.0} if told_as_constraint else None,
                    )
                )
        return columns

    return run


def at_random(place: Place, answers: Answers, seed: int) -> list[int]:
    """Return configs in random order."""
    rng = np.random.default_rng([seed, *place.task.name.encode()])
    tried: list[int] = rng.permutation(len(answers.keys))[:BUDGET].tolist()
    return tried


_AUTO = ours("auto")
METHODS = {
    "auto": (_AUTO, 1),
    "auto, blind": (without_learning, 1),
    "TPE, told of constraints": (tpe(told_as_constraint=True), SEEDS),
    "TPE, told of exceptions": (tpe(told_as_constraint=False), SEEDS),
    "random": (at_random, SEEDS),
}


def places(name: str, part: str, few: int) -> list[Place]:
    """Return the tasks of a table that are asked about."""
    if name == OWN:
        return _of_own_runs(part, few)
    whole = own_tables.part_of(own_tables.load(name), part)
    found = [_place(fold, task) for fold in whole.folds for task in fold.tasks]
    return found[:few] if few else found


def _place(fold: Fold, task: Task) -> Place:
    return Place(task, fold.past, fold.space, np.full(len(task.answers.keys), np.nan))


def _of_own_runs(part: str, few: int) -> list[Place]:
    """Return tasks of this project's runs: every second dataset had a part in choosing."""
    runs = pq.read_table(KEPT)
    count = len(runs)
    runs = (
        runs.append_column("metric", pa.array(["score"] * count))
        .append_column("higher_is_better", pa.array([True] * count))
        .rename_columns({"seconds": "runtime_s"})
    )
    with tempfile.TemporaryDirectory(prefix="headstart-failures-") as folder:
        pq.write_table(runs, Path(folder) / "runs.parquet")
        store = metastore.open(Path(folder) / "store")
        store.import_table(Path(folder) / "runs.parquet")
        view = store.view("score")
    past = Past.of(view)
    names = sorted(view.datasets)[0 if part == "development" else 1 :: 2]
    return [_own_place(view, past, name) for name in (names[:few] if few else names)]


def _own_place(view: View, past: Past, name: str) -> Place:
    answers = Answers.of(view, name)
    cells = np.flatnonzero(view.cell_dataset == view.datasets.index(name))
    took = {
        (view.algorithm(int(c)), str(view.config_texts[int(c)])): s
        for c, s in zip(view.cell_config[cells], view.cell_seconds[cells], strict=True)
    }
    seconds = np.array([took[key] for key in answers.keys])
    quantile = seconds.argsort().argsort() / (len(seconds) - 1)
    task = Task(name, answers, np.empty((len(seconds), 0)), 0)
    return Place(task, past.without([name]), None, quantile)


def measure(place: Place, answers: Answers, method: str) -> FloatArray:
    """Return failures after 10 and 20 trials and the regrets of `SHOWN`, a mean over seeds."""
    run, seeds = METHODS[method]
    rows = []
    for seed in range(seeds):
        score = answers.score[run(place, answers, seed)]
        bad = np.isnan(score)
        best = np.maximum.accumulate(np.where(bad, -np.inf, score))
        every = answers.score[np.isfinite(answers.score)]
        spread = float(np.ptp(every)) or 1.0
        regret = np.where(np.isfinite(best), (every.max() - best) / spread, 1.0)
        after = [float(regret[min(k, len(regret)) - 1]) for k in SHOWN]
        rows.append([float(bad[:10].sum()), float(bad[:BUDGET].sum()), *after])
    return np.array(rows).mean(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", choices=PARTS, default="untouched")
    parser.add_argument("--table", action="append", choices=tuple(RULES), help="all by default")
    parser.add_argument("--small", action="store_true", help="a trial of two tasks a table")
    parser.add_argument("--out", type=Path, help="the result file")
    parser.add_argument("--summary", action="store_true", help="run nothing, show the result file")
    options = parser.parse_args()
    if options.summary:
        summarise(options.out or RESULT)
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    settings = {
        "tasks": options.tasks,
        "budget": BUDGET,
        "seeds": SEEDS,
        "unit": "failed trials of 10 and 20; regret x100 among configs that run; means over tasks",
    }
    report = Report("recommend.failures", options.small, settings)
    with one_thread():
        for name in options.table or RULES:
            some = places(name, options.tasks, 2 if options.small else 0)
            methods = [m for m in METHODS if name != OWN or not m.startswith("TPE")]
            report.results[name] = {
                rule: _of_rule(f"{name}: {rule} fails", some, fails, methods)
                for rule, fails in RULES[name].items()
            }
    report.write(options.out)


def summarise(result: Path) -> None:
    """Print means over the rules under which something fails, table by table."""
    for name, rules in json.loads(result.read_text(encoding="utf-8"))["results"].items():
        failing = [found for rule, found in rules.items() if rule != "nothing"]
        rows = []
        for method in [m for m in METHODS if m in failing[0]]:
            mine = [found[method] for found in failing]
            row = {"method": method}
            row |= {
                f"failed of {k}": f"{np.mean([one['failed'][k] for one in mine]):.1f}"
                for k in ("10", "20")
            }
            row |= {
                f"regret@{k}": f"{np.mean([one['regret'][str(k)] for one in mine]):.2f}"
                for k in SHOWN
            }
            rows.append(row)
        print(f"\n{name}: mean of {len(failing)} rules\n{table(rows)}")


def _of_rule(
    title: str, some: Sequence[Place], fails: Fails, methods: Sequence[str]
) -> dict[str, Any]:
    """Ask everybody about all tasks under one rule, and print it."""
    asked = [(place, place.failing(fails)) for place in some]
    asked = [(p, a) for p, a in asked if np.isfinite(a.score).sum() > 1]
    share = float(np.mean([np.isnan(a.score).mean() for _, a in asked]))
    result: dict[str, Any] = {"tasks": len(asked), "share of configs that fail": round(share, 3)}
    rows = []
    for method in methods:
        found = np.array([measure(place, answers, method) for place, answers in asked])
        mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))
        result[method] = {
            "failed": dict(zip(("10", "20"), mean[:2].round(2).tolist(), strict=True)),
            "regret": dict(zip(map(str, SHOWN), (100 * mean[2:]).round(2).tolist(), strict=True)),
            "standard_error": (100 * error[2:]).round(2).tolist(),
        }
        cells = zip(SHOWN, 100 * mean[2:], 100 * error[2:], strict=True)
        rows.append(
            {"method": method, "failed of 10": f"{mean[0]:.1f}", "of 20": f"{mean[1]:.1f}"}
            | {f"regret@{k}": f"{m:.2f} ±{e:.2f}" for k, m, e in cells}
        )
    print(
        f"\n{title} ({100 * share:.0f}% of configs, {len(asked)} tasks)\n{table(rows)}", flush=True
    )
    return result


if __name__ == "__main__":
    main()
