"""kill -9 at random moments: is every run whose call had returned in the store exactly once?

Four processes record, one absorbs in a loop; at each of `--kills` random moments one of the five
is killed and started again. A recorder writes a run's id and value to a file of its own only
after the call that recorded it has returned. At the end all are killed, the store is opened, and
what the files say is looked up.

    python -m benchmarks.record.kill --kills 50 --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

import metastore
from metastore.types import DatasetRef, MetricValue, RunRecord, RunStatus, uuid7

RECORDERS = 4
RESULTS = Path(__file__).parent / "results" / "kill.json"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What one round of kills came to; the last five counts must be 0."""

    seed: int
    kills: int
    killed_recorders: int
    killed_absorbers: int
    acknowledged: int
    in_store: int
    unacknowledged: int
    crashed: int
    rejected_files: int
    seconds: float
    missing: int
    doubled: int
    wrong_value: int
    wrong_status: int
    orphans: int

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, doubled or changed."""
        return not (
            self.missing or self.doubled or self.wrong_value or self.wrong_status or self.orphans
        )


def record(path: Path, acknowledgements: Path, number: int) -> None:
    """Record for ever: whole runs one by one, in batches, and runs that are open meanwhile."""
    store = metastore.open(path)
    out = os.open(acknowledgements, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    dice = random.Random(f"{number} {os.getpid()} {time.time_ns()}")
    while True:
        kind = dice.random()
        values = [dice.random() for _ in range(dice.randrange(1, 40) if kind < 0.3 else 1)]
        said = []
        if kind < 0.7:
            records = [_record(dice, value) for value in values]
            if store.add(records) == len(records):
                said = [(r.run_id, v) for r, v in zip(records, values, strict=True)]
        else:
            with store.run(f"d{number}", "open", {"x": dice.random()}) as run:
                for step in range(3):
                    run.log(step, loss=1 / (step + 1))
                run.result(accuracy=values[0])
            said = [(run.id, values[0])]
        os.write(out, "".join(f"{run_id} {value!r}\n" for run_id, value in said).encode())


def _record(dice: random.Random, value: float) -> RunRecord:
    return RunRecord(
        DatasetRef(f"d{dice.randrange(20)}"),
        "whole",
        {"x": dice.random(), "kind": dice.choice("abc")},
        (MetricValue("accuracy", value),),
        run_id=uuid7(),
        seed=dice.randrange(1000),
    )


def absorb(path: Path) -> None:
    """Absorb for ever."""
    store = metastore.open(path)
    while True:
        store.absorb()


def kill_round(folder: Path, kills: int, seed: int) -> Outcome:
    """Kill `kills` times, end everything, and count."""
    began = time.monotonic()
    dice = random.Random(seed)
    path = folder / "store"
    roles = [("record", i) for i in range(RECORDERS)] + [("absorb", 0)]
    processes = {role: _start(path, folder, role) for role in roles}
    killed: Counter[str] = Counter()
    try:
        _wait_for_runs(folder)
        for _ in range(kills):
            time.sleep(dice.uniform(0.05, 1.0))
            role = dice.choice([*roles, ("absorb", 0)])
            _kill(processes[role])
            killed[role[0]] += 1
            processes[role] = _start(path, folder, role)
        time.sleep(dice.uniform(0.5, 1.5))
    finally:
        for process in processes.values():
            _kill(process)
    return _count(folder, seed, killed, began)


def _start(path: Path, folder: Path, role: tuple[str, int]) -> subprocess.Popen[bytes]:
    name, number = role
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.record.kill", "--role", name, "--store", str(path),
         "--number", str(number), "--acknowledgements", str(folder / f"said-{number}.txt")],
        cwd=ROOT,
    )  # fmt: skip


def _wait_for_runs(folder: Path, seconds: float = 120.0) -> None:
    """Wait until every recorder has recorded, so that kills meet work and not only starts."""
    deadline = time.monotonic() + seconds
    while sum(file.stat().st_size > 0 for file in folder.glob("said-*.txt")) < RECORDERS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no run recorded by every process within {seconds:g} seconds")
        time.sleep(0.05)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def _count(folder: Path, seed: int, killed: Counter[str], began: float) -> Outcome:
    said = [
        line.split() for file in folder.glob("said-*.txt") for line in file.read_text().splitlines()
    ]
    store = metastore.open(folder / "store")
    store.absorb()
    found = store.query(
        "SELECT r.run_id::VARCHAR AS run, r.status, v.value FROM run_states AS r "
        "LEFT JOIN metric_values AS v ON v.run_id = r.run_id AND metric = 'accuracy' "
        "AND step IS NULL"
    )
    rows = Counter(found["run"])
    value = dict(zip(found["run"], found["value"], strict=True))
    status = dict(zip(found["run"], found["status"], strict=True))
    orphans = store.query(
        "SELECT count(*) FROM runs AS r WHERE r.config_id NOT IN (SELECT config_id FROM configs) "
        "OR r.dataset_id NOT IN (SELECT dataset_id FROM datasets)"
    )
    runs = [run for run, _ in said]
    rejected = folder / "store" / "rejected"
    return Outcome(
        seed=seed,
        kills=sum(killed.values()),
        killed_recorders=killed["record"],
        killed_absorbers=killed["absorb"],
        acknowledged=len(said),
        in_store=len(rows),
        unacknowledged=len(rows) - len(set(runs) & rows.keys()),
        crashed=sum(s == RunStatus.CRASHED for s in status.values()),
        rejected_files=len(list(rejected.iterdir())) if rejected.is_dir() else 0,
        seconds=round(time.monotonic() - began, 1),
        missing=sum(run not in rows for run in runs),
        doubled=sum(n > 1 for n in rows.values()),
        wrong_value=sum(run in value and value[run] != float(v) for run, v in said),
        wrong_status=sum(run in status and status[run] != "completed" for run in runs),
        orphans=int(orphans.iloc[0, 0]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--role", choices=["record", "absorb"])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--acknowledgements", type=Path)
    asked = parser.parse_args()
    if asked.role == "record":
        record(asked.store, asked.acknowledgements, asked.number)
    elif asked.role == "absorb":
        absorb(asked.store)
    else:
        with tempfile.TemporaryDirectory() as folder:
            outcome = kill_round(Path(folder), asked.kills, asked.seed)
        report = {
            "command": f"python -m benchmarks.record.kill --kills {asked.kills} "
            f"--seed {asked.seed}",
            "sound": outcome.sound,
            **asdict(outcome),
            "recorders": RECORDERS,
            "versions": {"python": platform.python_version(), "duckdb": duckdb.__version__},
            "cpus": os.cpu_count(),
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(report, indent=2) + "\n")
        print(json.dumps(report, indent=2))
        sys.exit(not outcome.sound)


if __name__ == "__main__":
    main()
