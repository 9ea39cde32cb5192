"""Raw data in, a trained model out: recommended configs against random search and TPE.

    python -m benchmarks.recommend.end_to_end --store FOLDER --scratch FOLDER [--seconds S]
        [--clock wall|cpu] [--minutes M] [--report] [--small] [--out FILE]

The store holds runs that `benchmarks.recommend.collect` computed. The tables asked about are
PMLB's that were never collected from. Seventy per cent of a table's rows, stratified, are for
searching; whoever has had S seconds trains his best config on them, and the other rows tell what
it is worth. All arms choose among the same four algorithms and spaces and score a config by
3-fold cross-validation, on one thread, one after the other in turn, and whatever an arm does is
on its clock: for Headstart that is computing the meta-features, reading the store without
near-duplicates, fitting, and asking before every config. It asks for what is worth most a second
(`headstart`), or for what a run brings (`run by run`), each of a copy of the store, so that
neither describes a table for the other. On a machine that others use too, `--clock cpu` counts
processor seconds, which are wall seconds of an idle one.

The table shows, at shares of the time, the mean over tables of the regret: how far the best
config so far is from the best that any arm found on the table, as a share of the range of all
that was found there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import metastore
import recommenders
from benchmarks.recommend.training import (
    METRIC,
    SPACES,
    Cells,
    cells,
    cross_validated,
    drawn,
    estimator,
    names,
)
from benchmarks.results import Report, table
from metastore.types import Observation

SECONDS = 20.0
SHARES = (0.1, 0.25, 0.5, 1.0)
TEST_SHARE = 0.3
SEED = 0
OURS = "headstart"
LEAST_TABLES = 40

Clock = Callable[[], float]
"""Returns seconds: since some moment, or that are left."""


@dataclass(frozen=True)
class Trace:
    """What an arm did on a table: seconds at the end of each run, its score, and the test score."""

    seconds: tuple[float, ...]
    scores: tuple[float, ...]
    test: float

    def best(self, until: float) -> float | None:
        """Return the best score of runs that ended by then, None without any."""
        ended = [s for t, s in zip(self.seconds, self.scores, strict=True) if t <= until]
        return max(ended) if ended else None


def recommended(folder: Path, table: Cells, left: Clock) -> Any:
    """Ask the store for what is worth most a second."""
    yield from _recommended(folder, table, left, by_time=True)


def run_by_run(folder: Path, table: Cells, left: Clock) -> Any:
    """Ask the store for what is worth most a run."""
    yield from _recommended(folder, table, left, by_time=False)


def _recommended(folder: Path, table: Cells, left: Clock, by_time: bool) -> Any:
    """Record the table, so that near-duplicates are left out, learn, and ask run after run."""
    store = metastore.open(folder)
    store.dataset((table.features, table.target), name=table.name)
    view = store.view(METRIC).without([table.name])
    fitted = recommenders.make("auto", seed=SEED).fit(view, SPACES)
    observed: list[Observation] = []
    while True:
        if by_time:
            found = fitted.recommend_within(table.name, left(), observed)
        else:
            found = next(iter(fitted.recommend(table.name, observed)), None)
        if found is None:
            break
        choice, before = (found.algorithm, dict(found.config)), left()
        score = yield choice
        observed.append(Observation(*choice, score, seconds=before - left()))
    yield from at_random(folder, table, left)


def at_random(folder: Path, table: Cells, left: Clock) -> Any:
    """Draw an algorithm, then a config of its space."""
    yield from drawn([SEED, *table.name.encode()])


def tpe(folder: Path, table: Cells, left: Clock) -> Any:
    """Optuna's TPE over the algorithm and, under it, its parameters."""
    import optuna  # noqa: PLC0415 - counts as the arm's own time

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    while True:
        trial = study.ask()
        name = trial.suggest_categorical("algorithm", sorted(SPACES))
        config = {
            parameter: _suggested(trial, f"{name}:{parameter}", distribution)
            for parameter, distribution in SPACES[name].distributions.items()
        }
        score = yield name, config
        study.tell(trial, score)


def _suggested(trial: Any, name: str, one: Any) -> Any:
    if hasattr(one, "choices"):
        return trial.suggest_categorical(name, one.choices)
    whole = isinstance(one.low, int)
    return (trial.suggest_int if whole else trial.suggest_float)(
        name, one.low, one.high, log=one.log
    )


ARMS: dict[str, Callable[[Path, Cells, Clock], Any]] = {
    OURS: recommended,
    "run by run": run_by_run,
    "random": at_random,
    "optuna TPE": tpe,
}
"""Each yields configs, and is sent the score of each."""


def run(arm: str, folder: Path, whole: Cells, seconds: float, clock: Clock) -> Trace:
    """Let an arm search until its time is up, then test its best config.

    A run that ends after the time counts for nothing, as for a person who stops there; an arm
    that ended none gets its first run's score as a test, and no regret before that.
    """
    from sklearn.metrics import balanced_accuracy_score  # noqa: PLC0415 - slow to import
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    search, test, labels, truth = train_test_split(
        whole.features,
        whole.target,
        test_size=TEST_SHARE,
        stratify=whole.target,
        random_state=SEED,
    )
    table = Cells(whole.name, search, labels)
    start = clock()
    dialogue = ARMS[arm](folder, table, lambda: start + seconds - clock())
    choice = next(dialogue)
    ends, scores, tried = [], [], []
    while True:
        scores.append(cross_validated(choice, search, labels))
        ends.append(clock() - start)
        tried.append(choice)
        if ends[-1] >= seconds:
            break
        choice = dialogue.send(scores[-1])
    inside = [i for i, end in enumerate(ends) if end <= seconds] or [0]
    best = max(inside, key=scores.__getitem__)
    model = estimator(tried[best]).fit(search, labels)
    worth = float(balanced_accuracy_score(truth, model.predict(test)))
    return Trace(tuple(ends), tuple(scores), worth)


def measure(options: argparse.Namespace, until: float) -> dict[str, dict[str, Trace]]:
    """Run what is left, table by table, arms in turn; return all traces by table and arm."""
    clock: Clock = time.process_time if options.clock == "cpu" else time.perf_counter
    path = options.scratch / f"traces-{options.clock}-{options.seconds:g}s.jsonl"
    found = _read(path)
    if options.report:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    stores = {arm: path.parent / f"store of {arm}" for arm in ARMS}
    for copy in stores.values():
        if not copy.exists():
            shutil.copytree(options.store, copy)
    for number, name in enumerate(names(asked=True)[: 2 if options.small else None]):
        whole = cells(name)
        if whole is None or name in found:
            continue
        if time.monotonic() > until:
            print("the time is up; run it again to go on")
            break
        turn = number % len(ARMS)
        order = [*ARMS][turn:] + [*ARMS][:turn]
        traces = {arm: run(arm, stores[arm], whole, options.seconds, clock) for arm in order}
        found[name] = traces
        with path.open("a", encoding="utf-8") as file:
            row = {arm: trace.__dict__ for arm, trace in traces.items()}
            file.write(json.dumps({"table": name, "traces": row}) + "\n")
        tests = {arm: round(trace.test, 4) for arm, trace in traces.items()}
        print(name, whole.features.shape, tests, flush=True)
    return found


def _read(path: Path) -> dict[str, dict[str, Trace]]:
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        row["table"]: {
            arm: Trace(tuple(one["seconds"]), tuple(one["scores"]), one["test"])
            for arm, one in row["traces"].items()
        }
        for row in rows
    }


def regret(traces: dict[str, Trace], arm: str, until: float) -> float:
    """Return the regret of an arm on a table by then; 1 while it has nothing."""
    scores = [score for trace in traces.values() for score in trace.scores]
    low, high = min(scores), max(scores)
    best = traces[arm].best(until)
    if best is None:
        return 1.0
    return (high - best) / (high - low) if high > low else 0.0


def summary(found: dict[str, dict[str, Trace]], seconds: float) -> dict[str, dict[str, Any]]:
    """Return means over tables with standard errors, by arm."""
    out: dict[str, dict[str, Any]] = {}
    for arm in ARMS:
        row: dict[str, Any] = {}
        for share in SHARES:
            values = [regret(traces, arm, share * seconds) for traces in found.values()]
            row[f"regret at {share:.0%}"] = _mean(values)
        row["test balanced accuracy"] = _mean([traces[arm].test for traces in found.values()])
        row["configs a table"] = float(np.mean([len(t[arm].scores) for t in found.values()]))
        out[arm] = row
    for arm in (a for a in ARMS if a != OURS):
        gains = [traces[OURS].test - traces[arm].test for traces in found.values()]
        out[OURS][f"test gain over {arm}"] = _mean(gains)
        out[OURS][f"tables better, equal, worse than {arm}"] = [
            sum(g > 1e-9 for g in gains),
            sum(abs(g) <= 1e-9 for g in gains),
            sum(g < -1e-9 for g in gains),
        ]
    return out


def _mean(values: Sequence[float]) -> dict[str, float]:
    count = len(values)
    error = float(np.std(values, ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
    return {"mean": round(float(np.mean(values)), 5), "se": round(error, 5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="what was collected")
    parser.add_argument("--scratch", type=Path, required=True, help="keeps what was run so far")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each arm on a table")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--minutes", type=float, default=90.0, help="stop after that long")
    parser.add_argument("--report", action="store_true", help="run nothing, report what is there")
    parser.add_argument("--small", action="store_true", help="a trial of two tables")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    _warm()
    found = measure(options, time.monotonic() + 60 * options.minutes)
    if not found:
        parser.error("nothing was run yet")
    _report(options, found)


def _report(options: argparse.Namespace, found: dict[str, dict[str, Trace]]) -> None:
    view = metastore.open(options.store).view(METRIC)
    settings = {
        "seconds": options.seconds,
        "clock": options.clock,
        "store": {"datasets": view.n_datasets, "runs": view.n_cells},
        "tables": sorted(found),
    }
    report = Report("recommend.end_to_end", options.small, settings)
    result = summary(found, options.seconds)
    report.results = {"arms": result, "tables": len(found)}
    kept = [k for k, v in result["random"].items() if isinstance(v, dict)]
    shown = [
        {"arm": arm}
        | {k: f"{row[k]['mean']:.4f} ± {row[k]['se']:.4f}" for k in kept}
        | {"configs": f"{row['configs a table']:.0f}"}
        for arm, row in result.items()
    ]
    print(f"\n{len(found)} tables, {view.n_datasets} datasets in the store\n{table(shown)}\n")
    _judge(report, result, len(found))
    report.write(options.out)


def _judge(report: Report, result: dict[str, dict[str, Any]], tables: int) -> None:
    report.verdict(f"{tables} tables; asked at least {LEAST_TABLES}", tables >= LEAST_TABLES)
    for arm in (a for a in ARMS if a != OURS):
        ours, theirs = (result[a]["regret at 100%"]["mean"] for a in (OURS, arm))
        better, equal, worse = result[OURS][f"tables better, equal, worse than {arm}"]
        gain = result[OURS][f"test gain over {arm}"]
        report.verdict(
            f"regret at the end {ours:.4f}, {arm} {theirs:.4f}; on test rows "
            f"{gain['mean']:+.4f} ± {gain['se']:.4f}, {better} tables better, {equal} equal, "
            f"{worse} worse",
            ours < theirs,
        )


def _warm() -> None:
    """Import what every arm needs, and train once, so that no arm pays for it."""
    features, target = np.linspace(0, 1, 120).reshape(60, 2), np.arange(60) % 2
    for name, space in SPACES.items():
        cross_validated((name, space.sample(1, 0)[0]), features, target)


if __name__ == "__main__":
    main()
