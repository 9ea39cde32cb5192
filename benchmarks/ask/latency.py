"""How long an answer takes on a store of a million runs: warm, and from a cold start.

    python -m benchmarks.ask.latency [--small] [--repetitions N] [--work FOLDER] [--out FILE]

Two made-up stores (`benchmarks.scale`), meta-features for every dataset: all datasets share
1,000 configs, and every run has its own. *Warm* is `recommend` repeated on one fitted
recommender. *Cold* is the whole command `headstart recommend` in a fresh process: for a stored
dataset as if nothing had run on it (`as new`), for the same with its 1,000 runs as what was
observed (`by name`), and for a CSV file of a real PMLB dataset never seen before (`new file`:
meta-features are computed) and seen once (`known file`). Each form of cold start begins with a
fresh copy of the store. Asked: warm under 100 ms, cold under 4 s.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import metastore
from benchmarks import scale
from benchmarks.ask.stages import STAGES
from benchmarks.realdata import realdata
from benchmarks.results import Report, Spread, table

RECOMMENDERS = ("auto", "empirical_bayes", "nearest", "portfolio", "best_on_average", "random")
WARM_ASKED_MS = 100.0
COLD_ASKED_S = 4.0
PMLB = "1089_USCrime"
LIMIT_S = 300
REPOSITORY = Path(__file__).parents[2]
SEED = 0


@dataclass(frozen=True)
class Plan:
    """Where to work, which recommenders to ask, and how often."""

    work: Path
    names: tuple[str, ...]
    repetitions: int


def make_store(folder: Path, size: scale.Size, *, shared: bool) -> Path:
    """Return a store of made-up runs and meta-features, made unless it is there."""
    store = folder / f"{'shared' if shared else 'own'}-{size.runs}"
    if not (store / "ready").exists():
        shutil.rmtree(store, ignore_errors=True)
        runs, features = scale.write_tables(folder, size, shared=shared, seed=SEED)
        opened = metastore.open(store)
        opened.import_table(runs)
        opened.import_metafeatures(features)
        runs.unlink()
        (store / "ready").touch()
    return store


def stages(store: Path, dataset: str, recommender: str, repeats: int) -> dict[str, Any]:
    """Return where the time of one answer goes, measured in a fresh process."""
    arguments = [str(store), dataset, scale.METRIC, recommender, str(repeats)]
    found = _run([sys.executable, "-m", "benchmarks.ask.stages", *arguments])
    measured: dict[str, Any] = json.loads(found.splitlines()[-1])
    return measured


def command(store: Path, dataset: str, recommender: str, *options: str) -> tuple[float, float]:
    """Run the whole command in a fresh process; return its wall and processor seconds."""
    arguments = ["recommend", dataset, "--store", str(store), "--recommender", recommender]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    found = _run([sys.executable, "cli.py", *arguments, "--json", *options])
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not json.loads(found):
        raise RuntimeError(f"{recommender} recommended nothing for {dataset}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def _run(arguments: list[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    found = subprocess.run(
        arguments,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if found.returncode:
        raise RuntimeError(f"{' '.join(arguments[1:4])} failed: {found.stderr[-2000:]}")
    return found.stdout


def cold(store: Path, work: Path, dataset: str, recommender: str) -> dict[str, tuple[float, float]]:
    """Return wall and processor seconds of each form of a cold start, once."""
    csv = work / "uscrime.csv"
    pd.read_parquet(realdata(f"pmlb/parquet/{PMLB}.parquet")).to_csv(csv, index=False)
    file = (str(csv), recommender, "--target", "target")
    found = {}
    for forms in (
        {"as new": (dataset, recommender, "--as-new")},
        {"by name": (dataset, recommender)},
        {"new file": file, "known file": file},
    ):
        copy = work / "copy"
        shutil.copytree(store, copy)
        for form, arguments in forms.items():
            found[form] = command(copy, *arguments)
        shutil.rmtree(copy)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a trial that takes seconds")
    parser.add_argument("--repetitions", type=int, default=0, help="by default 3")
    parser.add_argument("--work", type=Path, help="where stores go; kept afterwards")
    parser.add_argument("--out", type=Path, help="the result file")
    parser.add_argument("--recommender", action="append", help="by default all torch-free ones")
    parser.add_argument("--shape", choices=("shared", "own"), help="by default both")
    options = parser.parse_args()
    size = scale.SMALL if options.small else scale.FULL
    repetitions = options.repetitions or (1 if options.small else 3)
    names = tuple(options.recommender or (RECOMMENDERS[:1] if options.small else RECOMMENDERS))
    settings = {
        "seed": SEED,
        "runs": size.runs,
        "datasets": size.datasets,
        "metafeatures": scale.N_FEATURES,
        "repetitions": repetitions,
        "stores": "made up, for scale only",
        "new_file": f"PMLB {PMLB}",
    }
    report = Report("ask.latency", options.small, settings)
    with tempfile.TemporaryDirectory(prefix="headstart-ask-", dir=".") as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(exist_ok=True)
        for shape in (options.shape,) if options.shape else ("shared", "own"):
            store = make_store(work, size, shared=shape == "shared")
            _measure(report, f"{shape} configs", store, Plan(work, names, repetitions))
    report.write(options.out)


def _measure(report: Report, shape: str, store: Path, plan: Plan) -> None:
    names = plan.names
    dataset = scale.dataset_name(7)
    staged: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    commands: dict[str, list[dict[str, tuple[float, float]]]] = {name: [] for name in names}
    for _ in range(plan.repetitions):
        for name in names:
            staged[name].append(stages(store, dataset, name, 10))
            commands[name].append(cold(store, plan.work, dataset, name))
            walls = {form: f"{wall:.1f} s" for form, (wall, _) in commands[name][-1].items()}
            print(f"{shape}, {name}: {walls}", flush=True)
    print(f"\n{shape}, seconds (processor seconds) of each stage, medians")
    print(table([_stage_row(name, staged[name]) for name in names]))
    report.results[shape] = {name: _summary(staged[name], commands[name]) for name in names}
    print(f"\n{shape}, warm: milliseconds; cold: seconds; median (smallest to largest)")
    print(table([_latency_row(name, report.results[shape][name]) for name in names]), "\n")
    _judge(report, shape)


def _stage_row(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"recommender": name}
    for stage in STAGES:
        wall = Spread.of(one["wall"][stage] for one in found).median
        cpu = Spread.of(one["cpu"][stage] for one in found).median
        row[stage] = f"{wall:.2f} ({cpu:.2f})"
    return row


def _summary(
    staged: list[dict[str, Any]], commands: list[dict[str, tuple[float, float]]]
) -> dict[str, Any]:
    return {
        "stages_s": {s: Spread.of(one["wall"][s] for one in staged) for s in STAGES},
        "stages_cpu_s": {s: Spread.of(one["cpu"][s] for one in staged) for s in STAGES},
        "warm_ms": {
            what: Spread.of(ms for one in staged for ms in one["warm_ms"][what])
            for what in staged[0]["warm_ms"]
        },
        "cold_s": {form: Spread.of(one[form][0] for one in commands) for form in commands[0]},
        "cold_cpu_s": {form: Spread.of(one[form][1] for one in commands) for form in commands[0]},
        "torch_imported": any(one["torch"] for one in staged),
    }


def _latency_row(name: str, summary: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"recommender": name}
    row |= {f"warm, {what}": spread for what, spread in summary["warm_ms"].items()}
    row |= {f"cold, {form}": spread for form, spread in summary["cold_s"].items()}
    return row


def _judge(report: Report, shape: str) -> None:
    """Say how the slowest recommender stands to what was asked."""
    found = report.results[shape]
    warm = {(n, w): s for n, one in found.items() for w, s in one["warm_ms"].items()}
    (name, what), spread = max(warm.items(), key=lambda pair: pair[1].median)
    report.verdict(
        f"{shape}, warm: the slowest is {name} with {what}, {spread} ms; asked under "
        f"{WARM_ASKED_MS:g} ms",
        spread.median < WARM_ASKED_MS,
    )
    for form in next(iter(found.values()))["cold_s"]:
        name = max(found, key=lambda n: found[n]["cold_s"][form].median)
        wall, cpu = found[name]["cold_s"][form], found[name]["cold_cpu_s"][form]
        report.verdict(
            f"{shape}, cold, {form}: the slowest is {name}, {wall} s ({cpu} s of processor "
            f"time); asked under {COLD_ASKED_S:g} s",
            wall.median < COLD_ASKED_S,
        )


if __name__ == "__main__":
    main()
