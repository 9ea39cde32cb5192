"""How many runs a second are recorded, durably, from 1 and from 8 processes.

    python -m benchmarks.record.rate [--small] [--repetitions N] [--minutes M] [--out FILE]

Each way of recording gets a fresh folder on the same disk. Processes open it, record one run to
warm up, wait for each other, and record for about a second; the rate is all their runs over the
time from the first start to the last end. Then the runs that arrived are counted. Repetitions go
round all ways of recording in turn, and `disk` says how often a second a process can make 400
bytes durable there with nothing else to do: no durable recorder of single runs can be faster.
Asked: at least 100 times MLflow's, from 1 and from 8 processes. MLflow is measured as its
documentation records a run (`start_run`) and by its client, its fastest way (`log_batch`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import scale
from benchmarks.record.trackers import TRACKERS
from benchmarks.results import Report, Spread, ratios, table

ASKED = 100
SEED = 0
OURS = ("headstart: add", "headstart: with run", "headstart: add, 100 a call")
DISK = "disk: fdatasync"


@dataclass(frozen=True)
class Job:
    """What one process does: which way of recording, where, how long, as which of them."""

    name: str
    folder: Path
    seconds: float
    number: int


@dataclass(frozen=True)
class Measured:
    """One measurement: how fast, and whether everything arrived."""

    rate: float
    recorded: int
    errors: int
    seconds: float


def _work(job: Job, barrier: Any, results: Any) -> None:
    """Record runs in this process until the time is up; say when it began and ended."""
    done, errors, start = 0, 0, 0.0
    try:
        tracker = TRACKERS[job.name]
        most = max(50, int(4 * tracker.speed * job.seconds))
        points = np.random.default_rng((SEED, job.number)).random((most, 10))
        configs = scale.configs(points)
        metrics = [{"accuracy": u[0], "log_loss": u[1], "roc_auc": u[2]} for u in points.tolist()]
        size = tracker.batch
        record = tracker.open_batch(job.folder)
        record(configs[:1], metrics[:1])
        barrier.wait()
        start = time.monotonic()
        for at in range(1, most - size + 1, size):
            try:
                record(configs[at : at + size], metrics[at : at + size])
                done += size
            except Exception:  # a peer that fails under contention is a finding
                errors += 1
                if errors == 1:
                    traceback.print_exc(limit=-1)
            if time.monotonic() > start + job.seconds:
                break
        results.put((start, time.monotonic(), done, errors))
    except BaseException:
        barrier.abort()
        results.put((start, time.monotonic(), done, errors + 1))
        raise


def _prepare(name: str, folder: Path) -> None:
    TRACKERS[name].prepare(folder)


def _count(name: str, folder: Path, results: Any) -> None:
    results.put(TRACKERS[name].count(folder))


def measure(context: Any, name: str, folder: Path, processes: int, seconds: float) -> Measured:
    """Record into a fresh folder from several processes, and count what arrived.

    What a system sets up before the first run is made once, beside `folder`, and copied.

    Raises:
        RuntimeError: if a process died, or fewer runs arrived than calls returned.
    """
    prepared = folder.parent / TRACKERS[name].system.replace(" ", "-")
    if not prepared.exists():
        prepared.mkdir()
        _join([_started(context, _prepare, name, prepared)])
    shutil.copytree(prepared, folder)
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [
        _started(context, _work, Job(name, folder, seconds, number), barrier, results)
        for number in range(processes)
    ]
    found = [results.get(timeout=300) for _ in workers]
    _join(workers)
    done, errors = (sum(one[i] for one in found) for i in (2, 3))
    took = max(one[1] for one in found) - min(one[0] for one in found)
    _join([_started(context, _count, name, folder, results)])
    recorded = results.get(timeout=60)
    if recorded < done + processes:
        raise RuntimeError(f"{name}: {done} calls returned but {recorded} runs are there")
    return Measured(done / took, recorded, errors, took)


def _started(context: Any, target: Any, *arguments: Any) -> Any:
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def _join(processes: list[Any]) -> None:
    for process in processes:
        process.join(300)
        if process.exitcode:
            raise RuntimeError(f"a measuring process ended with status {process.exitcode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a trial that takes seconds")
    parser.add_argument("--repetitions", type=int, default=0, help="by default 5")
    parser.add_argument("--minutes", type=float, default=60, help="then no repetition begins")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    repetitions = options.repetitions or (1 if options.small else 5)
    seconds = 0.05 if options.small else 1.2
    counts = (1, 2) if options.small else (1, 8)
    names = (*OURS, DISK) if options.small else tuple(TRACKERS)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_preloaded(names))
    measured: dict[int, dict[str, list[Measured]]] = {n: {t: [] for t in names} for n in counts}
    with tempfile.TemporaryDirectory(prefix="headstart-rate-", dir=".") as base:
        begun = time.monotonic()
        for repetition in range(repetitions):
            if repetition and time.monotonic() > begun + 60 * options.minutes:
                break
            for processes in counts:
                for name in names:
                    folder = Path(base).resolve() / f"{repetition}-{processes}-{name[:4]}"
                    one = measure(context, name, folder, processes, seconds)
                    measured[processes][name].append(one)
                    print(f"{processes} processes, {name}: {one.rate:,.0f} runs/s", flush=True)
                    shutil.rmtree(folder)
    settings = {"seed": SEED, "hyperparameters": 10, "metrics": 3}
    report = Report("record.rate", options.small, settings)
    summarise(report, measured)
    report.write(options.out)


def _preloaded(names: tuple[str, ...]) -> list[str]:
    """Return the modules to import once, so that processes start quickly."""
    systems = {TRACKERS[name].system.split()[0] for name in names} - {"disk"}
    modules = {"headstart": "metastore", "mlflow": "mlflow", "optuna": "optuna"}
    return ["numpy", "benchmarks.record.trackers", *(modules[s] for s in sorted(systems))]


def summarise(report: Report, measured: dict[int, dict[str, list[Measured]]]) -> None:
    """Print the table, and say how the ratios stand to what was asked."""
    for processes, by_name in measured.items():
        rates = {name: [one.rate for one in found] for name, found in by_name.items()}
        rows = [_row(name, rates, by_name[name]) for name in rates]
        print(f"\n{processes} processes, runs/s: median (smallest to largest)\n{table(rows)}\n")
        report.results[f"{processes} processes"] = {
            name: {
                "system": TRACKERS[name].system,
                "how": TRACKERS[name].how,
                "runs_per_second": Spread.of(values),
                "runs": sum(one.recorded for one in by_name[name]),
                "calls_that_raised": sum(one.errors for one in by_name[name]),
                "headstart_add_times_as_fast": ratios(rates[OURS[0]], values),
                "headstart_with_run_times_as_fast": ratios(rates[OURS[1]], values),
            }
            for name, values in rates.items()
        }
        for peer in (name for name in rates if TRACKERS[name].system == "mlflow"):
            for name in OURS:
                times = ratios(rates[name], rates[peer])
                report.verdict(
                    f"{name}, {processes} processes: {times} times {peer}; asked {ASKED}",
                    times.median >= ASKED,
                )


def _row(name: str, rates: dict[str, list[float]], found: list[Measured]) -> dict[str, Any]:
    return {
        "recorded by": name,
        "runs/s": Spread.of(rates[name]),
        "headstart add / this": ratios(rates[OURS[0]], rates[name]),
        "calls that raised": sum(one.errors for one in found),
    }


if __name__ == "__main__":
    main()
