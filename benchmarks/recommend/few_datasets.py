"""Advice from few past datasets, on datasets by which nothing was chosen.

    python -m benchmarks.recommend.few_datasets [--small] [--table NAME ...] [--out FILE]

Of each table some datasets are drawn to be the whole past, 2, 5, 10 or 20 of them, and some others
are asked about, none of a past one's group; ten draws. Regrets x100 over 50 configs of the pool,
each told before the next: of openml_pimp's SVC and random forest, in which every dataset has
configs of its own, the untouched tasks (X
`auto` is beside its members and beside itself as it was before (`auto, one error`): there a simpler
recommender took over where it was ahead by one standard error in place of two, also after the last
budget compared at, and a portfolio answered where there was too little to compare on. Errors and
paired differences are over draws, whose asked datasets have one past.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.recommend import dense, own_tables
from benchmarks.results import Report, table, with_error
from metastore.view import FloatArray, View
from recommenders import auto
from recommenders.recommender import AskedTask
from recommenders.registry import make
from recommenders.replay import Answers, best_so_far, random_regret, replay
from recommenders.scores import Past
from recommenders.threads import one_thread

BUDGET = 50
SHOWN = (1, 3, 5, 10, 25, 50)
SIZES = (2, 5, 10, 20)
DRAWS = 10
ASKED = 6
NAMES = ("auto", "auto, one error", "empirical_bayes", "nearest", "portfolio")


@dataclass(frozen=True, eq=False)
class Draw:
    """A past, and the datasets that are asked about."""

    past: Past
    asked: tuple[str, ...]
    answers: tuple[Answers, ...]


def own(name: str) -> View:
    """Return the untouched tasks of a table in which every dataset has configs of its own."""
    whole = own_tables.load(name)
    untouched = own_tables.part_of(whole, "untouched")
    names = {task.name for fold in untouched.folds for task in fold.tasks}
    return whole.view.without([n for n in whole.view.datasets if n not in names])


def half_one() -> View:
    """Return every second group of auto-sklearn's table, the ones by which nothing was chosen."""
    view = dense.view_of("bac_loss")
    groups = Past.of(view).groups
    return view.without(
        [n for n, group in zip(view.datasets, groups, strict=True) if not group % 2]
    )


TABLES: dict[str, Callable[[], View]] = {
    "svc": lambda: own("svc"),
    "random_forest": lambda: own("random_forest"),
    "auto-sklearn, half 1": half_one,
}


def draws(view: View, size: int, count: int) -> Iterator[Draw]:
    """Draw pasts of some datasets, and others to ask about."""
    for number in range(count):
        rng = np.random.default_rng([size, number])
        names = [view.datasets[i] for i in rng.permutation(len(view.datasets))]
        past = Past.of(view.without(names[size:]))
        near = {view.groups.get(name, name) for name in names[:size]}
        asked = [name for name in names[size:] if view.groups.get(name, name) not in near][:ASKED]
        yield Draw(past, tuple(asked), tuple(Answers.of(view, name) for name in asked))


@contextmanager
def as_before() -> Iterator[None]:
    """Choose among members as `auto` did before."""
    prepare = auto.Auto.prepare

    def prepared(self: auto.Auto) -> None:
        prepare(self)
        if not self.table.size:
            self.chosen, self.later = ("portfolio",) * len(self.budgets), "portfolio"
        else:
            self.later = self.chosen[-1]

    with patch.object(auto, "CLEARLY", 1.0), patch.object(auto.Auto, "prepare", prepared):
        yield


def paths(view: View, draw: Draw, name: str) -> FloatArray:
    """Return the regret `(asked, BUDGET)` after each config."""
    if name == "random":
        return np.array([random_regret(one.regret, BUDGET) for one in draw.answers])
    if name.endswith(", one error"):
        with as_before():
            return paths(view, draw, name.partition(",")[0])
    recommender = make(name, seed=0).fit_past(draw.past)
    rows = []
    for asked, answers in zip(draw.asked, draw.answers, strict=True):
        task = AskedTask(asked, view.meta.of(asked))
        session = recommender.session(task, draw.past.table(answers.keys))
        tried = replay(session, answers, BUDGET).columns
        rows.append(best_so_far(answers.regret, tried, BUDGET))
    return np.array(rows)


def measure(view: View, size: int, count: int) -> dict[str, FloatArray]:
    """Return mean regrets `(draws, BUDGET)` by recommender."""
    found: dict[str, list[FloatArray]] = {name: [] for name in (*NAMES, "random")}
    for draw in draws(view, size, count):
        for name, rows in found.items():
            rows.append(paths(view, draw, name).mean(axis=0))
    return {name: 100 * np.array(rows) for name, rows in found.items()}


def _said(found: dict[str, FloatArray]) -> dict[str, dict[str, Any]]:
    """Return what the result file says of one table and size."""
    first = found[NAMES[0]].mean(axis=1)
    said: dict[str, dict[str, Any]] = {}
    for name, rows in found.items():
        mean = rows.mean(axis=1)
        said[name] = {
            "regret": {str(k): round(float(rows[:, k - 1].mean()), 3) for k in SHOWN},
            "mean": round(float(mean.mean()), 3),
            "more than auto": with_error((mean - first).tolist()),
        }
    return said


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="append", choices=tuple(TABLES), help="all by default")
    parser.add_argument("--small", action="store_true", help="a trial: two draws of two sizes")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args(words)
    sizes, count = (SIZES[:2], 2) if options.small else (SIZES, DRAWS)
    settings = {
        "past datasets": sizes,
        "draws": count,
        "asked a draw": ASKED,
        "unit": "regret x100; `mean` over the first 50 configs; errors are standard, over draws",
    }
    report = Report("recommend.few_datasets", options.small, settings)
    with one_thread():
        for name in options.table or TABLES:
            view = TABLES[name]()
            report.results[name] = {}
            for size in sizes:
                report.results[name][str(size)] = said = _said(measure(view, size, count))
                print(f"\n{name}: {size} past datasets")
                print(table([_row(one, of) for one, of in said.items()]), flush=True)
    report.write(options.out)


def _row(name: str, said: dict[str, Any]) -> dict[str, Any]:
    more, error = said["more than auto"]
    row = {"recommender": name} | {f"@{k}": v for k, v in said["regret"].items()}
    return row | {"mean": said["mean"], "more than auto": f"{more:+.2f} ± {error:.2f}"}


if __name__ == "__main__":
    main()
