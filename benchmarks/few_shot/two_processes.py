"""Convolutional MAML on two cores: two processes of one thread beside peers on two threads.

    python -m benchmarks.few_shot.two_processes [--rounds N] [--seconds S] [--out FOLDER]

The meta-gradient of `benchmarks.few_shot.speed`'s second table: conv-4, 5-way 1-shot, 75 queries,
16 episodes, 5 second-order steps. Peers take one process and two threads; ours two processes
under torchrun, which share the episodes and sum their gradients (`learners.sharding`), in float32
and in bfloat16. Every way has fresh processes in every round, in turn, and says the most memory
that they held: of two processes the sum, the code of PyTorch counted twice. Asked: at least 1.6
times learn2learn, at no more memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.few_shot.omniglot import samplers
from benchmarks.few_shot.peers import Way, maml_ways, versions
from benchmarks.few_shot.speed import image_module
from benchmarks.results import Spread, ratios
from learners.execution import Execution, keep_freed_memory
from learners.maml import maml
from learners.networks import Conv4
from learners.samplers import Shape
from learners.sharding import Shard, joined

OURS = ("float32", "bfloat16")
PEERS = ("learn2learn", "higher", "torchopt")
ASKED = 1.6
MARK = "measured "


def _ours(dtype: str, shard: Shard) -> Way:
    learner = maml(Conv4(5, strided=True), steps=5, rate=0.1, query_statistics=True)
    episodes, state = samplers(Shape(5, 1, 15), Shape(5, 1, 1))[0].sample(0, 16), learner.init(0)
    mine, how = shard.part(episodes), Execution(dtype=dtype)

    def run() -> dict[str, torch.Tensor]:
        gradient, losses = learner.meta_gradient(state, mine, learner.phase(0), how)[:2]
        return shard.whole(gradient, losses, len(episodes))[0]

    return run


def _peer(name: str) -> Way | None:
    learner = maml(Conv4(5, strided=True), steps=5, rate=0.1, query_statistics=True)
    episodes, state = samplers(Shape(5, 1, 15), Shape(5, 1, 1))[0].sample(0, 16), learner.init(0)
    ways = maml_ways(image_module(state), 5, 0.1, episodes, nn.CrossEntropyLoss())
    return ways.get(name)


def work(name: str, seconds: float) -> None:
    """Measure one way in this process, or in this one of two, and print what was found."""
    keep_freed_memory()
    torch.set_num_threads(1 if name in OURS else 2)
    with joined("cpu") as shard:
        run = _ours(name, shard) if name in OURS else _peer(name)
        if run is None:
            raise SystemExit(f"{name} is not installed")
        run()
        # Processes wait for each other in every iteration, so all must make the same number.
        start = time.perf_counter()
        run()
        count = max(2, int(seconds / (time.perf_counter() - start)))
        if shard.world > 1:
            told = torch.tensor([count])
            torch.distributed.broadcast(told, src=0)
            count = int(told)
        start = time.perf_counter()
        for _ in range(count):
            run()
        spent = (time.perf_counter() - start) / count
        memory = torch.tensor(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        if shard.world > 1:
            torch.distributed.all_reduce(memory)
        if shard.first:
            found = {"seconds": spent, "megabytes": float(memory)}
            print(MARK + json.dumps(found), flush=True)


def measure(name: str, seconds: float) -> dict[str, float]:
    """Return seconds of an iteration and megabytes of one way, in fresh processes."""
    module = ["-m", "benchmarks.few_shot.two_processes", "--work", name, "--seconds", str(seconds)]
    start = [sys.executable]
    if name in OURS:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    threads = {"OMP_NUM_THREADS": "1" if name in OURS else "2"}
    found = subprocess.run(
        start + module, capture_output=True, text=True, env=os.environ | threads, check=False
    )
    rows = [line for line in found.stdout.splitlines() if line.startswith(MARK)]
    if len(rows) != 1:
        raise RuntimeError(f"{name} ended with {found.returncode}: {found.stderr[-1500:]}")
    measured: dict[str, float] = json.loads(rows[0].removeprefix(MARK))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--work", help="a way, measured in this process (used by this command)")
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    if options.work:
        work(options.work, options.seconds)
        return
    names = (*PEERS, *OURS)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            found[name].append(measure(name, options.seconds))
            print(name, found[name][-1], flush=True)
    result = _result(options, found)
    print("\n".join(result["verdict"]))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "two_processes.json").write_text(json.dumps(result, indent=1) + "\n")


def _result(
    options: argparse.Namespace, found: dict[str, list[dict[str, float]]]
) -> dict[str, Any]:
    seconds = {name: [row["seconds"] for row in rows] for name, rows in found.items()}
    memory = {name: Spread.of(row["megabytes"] for row in rows) for name, rows in found.items()}
    verdict = []
    for name in OURS:
        times = ratios([1 / s for s in seconds[name]], [1 / s for s in seconds["learn2learn"]])
        met = times.median >= ASKED and memory[name].median <= memory["learn2learn"].median
        verdict.append(
            f"{'met' if met else 'MISSED'}: two processes, {name}: {times} times learn2learn on "
            f"two threads, {memory[name]} against {memory['learn2learn']} MB; asked {ASKED} at no "
            "more memory"
        )
    return {
        "command": "python -m benchmarks.few_shot.two_processes "
        f"--rounds {options.rounds} --seconds {options.seconds}",
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions(["torch", *PEERS]),
        "verdict": verdict,
        "seconds_per_iteration": {
            name: Spread.of(values).to_dict() for name, values in seconds.items()
        },
        "megabytes": {name: spread.to_dict() for name, spread in memory.items()},
    }


if __name__ == "__main__":
    main()
