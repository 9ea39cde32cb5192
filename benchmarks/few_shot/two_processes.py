"""Convolutional MAML on two cores: threads and processes of ours beside peers as they come.

    python -m benchmarks.few_shot.two_processes [--rounds N] [--seconds S] [--out FOLDER]

The meta-gradient of `benchmarks.few_shot.speed`'s second table: conv-4, 5-way 1-shot, 75 queries,
16 episodes, 5 second-order steps, in float32. Every way has fresh processes in every round, in
turn:

- a peer as it comes: glibc's own way with memory, and as many threads as torch takes by itself;
- the same peer after `learners.execution.keep_freed_memory`, which its users do not have;
- ours as `meta_train` prepares it: one process, whose threads share the episodes;
- ours in two processes of one thread under torchrun (`learners.sharding`).

Memory is the most that one process held resident. Of two processes it is the sum of their
proportional set sizes at the end, in which a page that both map counts once (freed memory is kept
there, so the end is the peak). Asked: at least 1.6 times learn2learn, at no more memory; the
verdict is on one process beside learn2learn as it comes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.few_shot.fresh import KEPT, in_fresh_process, seconds_of, tell
from benchmarks.few_shot.omniglot import samplers
from benchmarks.few_shot.peers import Way, maml_ways, peer, versions
from benchmarks.few_shot.speed import image_module
from benchmarks.results import Spread, ratios
from learners.episode import Episodes
from learners.execution import Execution, keep_freed_memory
from learners.inner_loop import GradientLearner
from learners.learner import State
from learners.maml import maml
from learners.networks import Conv4
from learners.samplers import Shape
from learners.sharding import Shard, joined

OURS = ("ours, threads", "ours, two processes")
PEERS = ("learn2learn", "higher", "torchopt")
WAYS = (*PEERS, *(peer + KEPT for peer in PEERS), *OURS)
ASKED = 1.6
MODULE = "benchmarks.few_shot.two_processes"


def _drawn() -> tuple[GradientLearner, State, Episodes]:
    learner = maml(Conv4(5, strided=True), steps=5, rate=0.1, query_statistics=True)
    episodes = samplers(Shape(5, 1, 15), Shape(5, 1, 1))[0].sample(0, 16)
    return learner, learner.init(0), episodes


def _ours(drawn: tuple[GradientLearner, State, Episodes], shard: Shard) -> Way:
    learner, state, episodes = drawn
    mine = shard.part(episodes)

    def run() -> State:
        gradient, losses = learner.meta_gradient(state, mine, learner.phase(0), Execution())[:2]
        return shard.whole(gradient, losses, len(episodes))[0]

    return run


def _peer(name: str) -> Way:
    learner, state, episodes = _drawn()
    if name.endswith(KEPT):
        keep_freed_memory()
    module, rate = image_module(state), learner.loop.rate
    ways = maml_ways(module, learner.loop.steps, rate, episodes, nn.CrossEntropyLoss())
    if name.removesuffix(KEPT) not in ways:
        raise SystemExit(f"{name} is not installed")
    return ways[name.removesuffix(KEPT)]


def work(name: str, seconds: float) -> None:
    """Measure one way in this process, or in this one of two, and tell what was found."""
    if name not in OURS:
        spent = _timed(_peer(name), seconds, Shard())
        tell(seconds=spent, megabytes=_resident())
        return
    drawn = _drawn()
    with Execution().prepared(), joined("cpu") as shard:
        spent = _timed(_ours(drawn, shard), seconds, shard)
        if shard.world == 1:
            tell(seconds=spent, megabytes=_resident())
            return
        memory = torch.tensor(_proportional())
        torch.distributed.all_reduce(memory)
        if shard.first:
            tell(seconds=spent, megabytes=float(memory))


def _timed(run: Way, seconds: float, shard: Shard) -> float:
    """Return the seconds of an iteration; two processes wait for each other in each of them."""

    def agreed(count: int) -> int:
        told = torch.tensor([count])
        torch.distributed.broadcast(told, src=0)
        return int(told)

    return seconds_of(run, seconds, 2, agreed if shard.world > 1 else int)


def _proportional() -> float:
    """Return this process's megabytes, a page that others map too counted in part."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return next(int(row.split()[1]) for row in text.splitlines() if row.startswith("Pss:")) / 1024


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--work", help="a way, measured in this process (used by this command)")
    parser.add_argument("--ways", help="which to measure, by name, with ; between them")
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    if options.work:
        work(options.work, options.seconds)
        return
    names = options.ways.split(";") if options.ways else WAYS
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            processes = 2 if name == OURS[1] else 1
            given = ["--seconds", str(options.seconds)]
            found[name].append(in_fresh_process(name, MODULE, given, processes=processes))
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
    for name in (one for one in OURS if one in found):
        for other in (one for one in ("learn2learn", "learn2learn" + KEPT) if one in found):
            times = ratios([1 / s for s in seconds[name]], [1 / s for s in seconds[other]])
            met = times.median >= ASKED and memory[name].median <= memory[other].median
            verdict.append(
                f"{'met' if met else 'MISSED'}: {name}: {times} times {other}, {memory[name]} "
                f"against {memory[other]} MB; asked {ASKED} times at no more memory"
            )
    for name in PEERS:
        peer(name)  # a peer that has no metadata tells its version once it is imported
    return {
        "command": "python -m benchmarks.few_shot.two_processes "
        f"--rounds {options.rounds} --seconds {options.seconds}"
        + (f' --ways "{options.ways}"' if options.ways else ""),
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
