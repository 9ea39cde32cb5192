"""The main job on real runs: record, ask about a new dataset, run the advice, compare.

    python -m examples.demo [--dataset NAME] [--out DIR] [--seed N] [--processes N]

Trains scikit-learn models on tables cut from the data that scikit-learn brings along (no
network), from several processes at once, and records every run. Then one table is treated as
new, with every table cut from the same source left out, and advice is raced against random
search with the same number of runs. Whoever wins, that is what is printed.
"""

from __future__ import annotations

import argparse
import difflib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import metastore
import recommenders
from examples import report
from examples.algorithms import SPACES, draw
from examples.picture import draw_picture, plot_text
from examples.race import Race, compared, follow
from examples.tables import tables
from examples.training import Job, processes, run_all, work
from metastore.tabular import Table
from recommenders import Recommendation
from recommenders.backtest import backtest

PAST_CONFIGS = 40
RUNS = 8
RANDOM_SEARCHES = 20
SEARCHED = ("iris_sepals", "wine")
"""Tables that a grid search is recorded for as well."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    dataset: str
    out: Path
    seed: int
    processes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo."""
    begun = time.monotonic()
    found = tables()
    options = _parsed(arguments, list(found))
    folder = fresh(options.out)
    store = metastore.open(folder)
    past = {name: table for name, table in found.items() if name != options.dataset}
    with processes(options.processes) as pool:
        record(pool, past, options.seed, folder)
        view = _ask(store, options.dataset, found[options.dataset])
        outcome = race(pool, options.dataset, view, options.seed, folder)
    print(report.evidence(outcome))
    print(f"\n3. RACED   advice against random search, {RUNS} runs each, best accuracy so far\n")
    print(report.comparison(outcome), report.verdict(outcome), sep="\n\n")
    _picture(outcome, options)
    _backtest(store, options.dataset)
    print(f"\nThe store is {folder}; all of it took {time.monotonic() - begun:.0f} s.")


def _parsed(arguments: Sequence[str] | None, names: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--dataset", default="digits", help=f"one of {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for results")
    parser.add_argument("--seed", type=int, default=0, help="seed of configs and algorithms")
    parser.add_argument(
        "--processes", type=int, default=max(2, min(8, os.cpu_count() or 2)), help="how many train"
    )
    given = parser.parse_args(arguments)
    if given.dataset not in names:
        near = difflib.get_close_matches(given.dataset, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        parser.error(f"no table named {given.dataset!r}; {hint}")
    if given.processes < 1:
        parser.error(f"--processes: expected 1 or more, got {given.processes}")
    return Options(given.dataset, given.out, given.seed, given.processes)


def fresh(out: Path) -> Path:
    """Return a folder for a store that is not there yet: earlier ones are kept."""
    out.mkdir(parents=True, exist_ok=True)
    taken = sum(1 for _ in out.glob("store-*"))
    while (out / f"store-{taken + 1}").exists():
        taken += 1
    return out / f"store-{taken + 1}"


def record(pool: ProcessPoolExecutor, past: dict[str, Table], seed: int, folder: Path) -> None:
    """Record what a team might have in store: the same random configs on every past table."""
    choices = draw(PAST_CONFIGS, seed=seed)
    largest = sorted(past, key=lambda name: -past[name].features.size)
    jobs = [Job(folder, name, choices, "past", seed, grid=name in SEARCHED) for name in largest]
    begun = time.monotonic()
    run_all(pool, jobs, "training on past datasets")
    seconds = time.monotonic() - begun
    counted = metastore.open(folder).query(
        "SELECT count(*) AS runs, count(*) FILTER (status = 'completed') AS completed, "
        "count(DISTINCT source) AS writers FROM run_states"
    )
    runs, completed, writers = counted.iloc[0]
    print(
        f"1. RECORDED   {runs} runs ({completed} completed) of {len(SPACES)} algorithms on "
        f"{len(past)} tables by {writers} processes, {seconds:.0f} s\n"
    )
    print(report.sources(past))


def _ask(store: metastore.MetaStore, asked: str, table: Table) -> metastore.View:
    """Describe the new table, and see that nothing cut from its source is learned from."""
    store.dataset(table)
    view = store.view("accuracy", exclude=[asked])
    rows, columns = table.features.shape
    relatives = [name for name in view.excluded if name != asked]
    print(
        f"\n2. ASKED   about {asked} ({rows} rows, {columns} columns) as if it were new\n\n"
        + report.paragraph(
            f"Left out, because they are cut from the same source ({table.source_id}): "
            f"{', '.join(relatives) or 'none'}. Wherever recommenders are compared, too, tables "
            "of one source are left out together."
        )
    )
    leaked = {n for n, t in tables().items() if t.source_id == table.source_id} & {*view.datasets}
    if leaked:
        raise SystemExit(f"the demo would not be honest: {sorted(leaked)} were not left out")
    return view


def race(
    pool: ProcessPoolExecutor, asked: str, view: metastore.View, seed: int, folder: Path
) -> Race:
    """Follow the advice, and do as many runs of several random searches."""
    recommender = recommenders.make("auto", seed=seed).fit(view)

    def train(advice: Recommendation) -> float:
        choice = (advice.algorithm, dict(advice.config))
        return pool.submit(work, Job(folder, asked, [choice], "recommended", seed)).result()[0]

    advice, results = follow(recommender.recommend, asked, RUNS, train)
    jobs = [
        Job(folder, asked, draw(RUNS, seed=1000 * (seed + 1) + i), f"random {i}", seed)
        for i in range(RANDOM_SEARCHES)
    ]
    return compared(advice, results, run_all(pool, jobs, f"random search on {asked}"))


def _picture(outcome: Race, options: Options) -> None:
    file = options.out / f"race-{options.dataset}.png"
    title = f"{options.dataset}: advice against random search"
    if draw_picture(outcome, title, file):
        print(f"\n    The picture is {file}.")
    else:
        print(f"\n{plot_text(outcome)}\n\n    (pip install matplotlib for a picture)")


def _backtest(store: metastore.MetaStore, asked: str) -> None:
    """Show what each recommender would have been worth on all other tables."""
    view = store.view("accuracy").without([asked])
    names = ["random", "best_on_average", "portfolio", "nearest", "empirical_bayes"]
    result = backtest(view, names, budget=RUNS)
    print(
        f"\n4. BACKTESTED   on the {len(result.datasets)} other tables, one source left out at a "
        "time\n\n"
        + report.backtested(result)
        + "\n\n"
        + report.paragraph(
            "Mean regret x100, 0 is the best configuration that ran on the table and 100 the "
            "worst; choosing among the configurations that ran there. Standard errors count "
            "tables of one source as one."
        )
    )


if __name__ == "__main__":
    main()
