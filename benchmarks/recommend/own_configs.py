"""Where every dataset has configs of its own: everybody on the same tasks, in one run.

    python -m benchmarks.recommend.own_configs --scratch FOLDER [--minutes M] [--seeds N]
        [--table NAME ...] [--method NAME ...] [--tasks PART] [--report] [--small] [--out FILE]

The held-out task's own configs are the pool, five folds are grouped by near-duplicate, and every
method tries 50 configs, one after the other. Peers that propose anywhere in the space take the
nearest config of the pool in encoded space that was not tried yet; those that learn from no past
get the library's default configuration (its nearest config of the pool) as a first trial.

What was tried is kept in the scratch folder, one line a method, table, task and seed, so that
the run can be stopped at any time and goes on where it was; lines of a method whose code changed
since do not count. All are compared on the tasks that all went through, a seed of a method counts
once it went through those, and the result says how many tasks and seeds there are: Gaussian
processes take minutes where others take a second. `--report` makes the result of what is there
and runs nothing.

Two tasks in five had a part in choosing constants of `empirical_bayes`, on which `auto` rests.
`--tasks untouched` reports the other three alone, into a result file of their own, and
`--tasks development` is for whoever wants to choose something.

Syne Tune, OptunaHub and CMA-ES are not needed by Headstart: `pip install syne-tune xgboost
huggingface_hub optunahub cmaes`. OptunaHub fetches its sampler; `OPTUNAHUB_REGISTRY` names a
folder that has the registry already. Methods whose library is missing are left out, aloud.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.recommend.curves import curves, draw, judge, numbers, rows
from benchmarks.recommend.ledger import Ledger
from benchmarks.recommend.own_methods import Method, methods
from benchmarks.recommend.own_tables import PARTS, SOURCES, Fold, Table, load, part_of
from benchmarks.results import Report, table

BUDGET = 50
SEEDS = 5
FEW = 10


def measure(
    ledger: Ledger, tables: Sequence[Table], chosen: Sequence[Method], seeds: int, until: float
) -> bool:
    """Ask every method about every task, seed by seed; say whether all was done in time."""
    missing: set[str] = set()
    for seed in range(seeds):
        for method in chosen:
            if (seed and not method.seeded) or method.name in missing:
                continue
            for fold in (fold for one in tables for fold in one.folds):
                try:
                    if not _fold(ledger, method, fold, seed, until):
                        return False
                except ImportError as error:
                    print(f"left out: {method.name}: {error}", flush=True)
                    missing.add(method.name)
                    break
            else:
                print(f"done: {method.name}, seed {seed}", flush=True)
    return True


def _fold(ledger: Ledger, method: Method, fold: Fold, seed: int, until: float) -> bool:
    """Ask a method about the tasks of a fold that were not asked yet; say whether time is left."""
    version = method.version
    entries = {t: (method.name, version, fold.table, t.name, seed) for t in fold.tasks}
    left = [task for task in fold.tasks if entries[task] not in ledger.tried]
    if not left:
        return True
    start = time.process_time()
    method.fit(fold, seed)
    fitting = (time.process_time() - start) / len(left)
    for task in left:
        if time.monotonic() > until:
            return False
        start = time.process_time()
        columns = method.run(task, seed, BUDGET)
        ledger.add(entries[task], columns, fitting + time.process_time() - start)
    return True


def report_of(
    ledger: Ledger, tables: Sequence[Table], chosen: Sequence[Method], options: argparse.Namespace
) -> None:
    """Print tables and verdicts, and write the result file and the picture."""
    settings = {
        "budget": BUDGET,
        "seeds": options.seeds,
        "folds": 5,
        "tasks": options.tasks,
        "unit": "mean normalised regret; standard errors over near-duplicate groups",
    }
    report = Report("recommend.own_configs", options.small, settings)
    drawn = {}
    for one in tables:
        found = curves(ledger, one, chosen, options.seeds, BUDGET)
        if not any(not curve.transfer for curve in found):
            print(f"{one.name}: no non-transfer peer went through enough tasks yet")
            continue
        drawn[one.name] = found
        report.results[one.name] = numbers(found)
        print(f"\n{one.name}\n{table(rows(found))}\n")
        absent = [m.name for m in chosen if m.name not in {curve.name for curve in found}]
        report.verdict(
            f"{one.name}: asked of all; not through enough tasks yet: "
            f"{', '.join(absent) or 'nobody'}",
            not absent,
        )
        judge(report, one.name, found)
    name = "own_configs" if options.tasks == "all" else f"own_configs_{options.tasks}"
    out = options.out or Path(__file__).parent / f"results/{name}.json"
    if options.small and options.out is None:
        print("a trial at a small size: no result file was written")
        return
    report.write(out)
    if drawn:
        draw(drawn, out.with_suffix(".png"))


def _is_there(method: Method) -> bool:
    """Say whether a method's library is installed, aloud if not."""
    try:
        return bool(method.version)
    except ImportError as error:
        print(f"left out: {method.name}: {error}", flush=True)
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, required=True, help="keeps what was tried so far")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after that long")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--table", action="append", choices=tuple(SOURCES), help="all by default")
    parser.add_argument("--method", action="append", help="all by default")
    parser.add_argument("--tasks", choices=PARTS, default="all", help="which tasks are asked about")
    parser.add_argument("--report", action="store_true", help="run nothing, report what is there")
    parser.add_argument("--small", action="store_true", help="a trial of ten datasets")
    parser.add_argument("--out", type=Path, help="the result file; the picture goes beside it")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    known = methods()
    for name in options.method or ():
        if name not in known:
            parser.error(f"no method {name!r}; there are: {', '.join(known)}")
    chosen = [known[name] for name in options.method or known if _is_there(known[name])]
    names = options.table or SOURCES
    tables = [part_of(load(name, FEW if options.small else 0), options.tasks) for name in names]
    ledger = Ledger.at(options.scratch)
    if not options.report and not measure(ledger, tables, chosen, options.seeds, until):
        print("the time is up; run it again to go on")
    report_of(ledger, tables, chosen, options)


if __name__ == "__main__":
    main()
