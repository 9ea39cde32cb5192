"""A step of prototypical networks beside learn2learn and easyfsl, each as it comes.

    python -m benchmarks.few_shot.prototypes [--rounds N] [--seconds S] [--out FOLDER]

The gradient of `benchmarks.few_shot.speed`'s third table (conv-4, 20-way 5-shot, 100 queries), on
one thread and on two. Every way has a fresh process in every round, in turn: a peer as it comes,
with glibc's own way with memory; the same peer after `learners.execution.keep_freed_memory`, which
its users do not have; and ours as `meta_train` prepares it, in bfloat16. `speed` compares the
gradients. Asked: 2.5 times learn2learn and twice easyfsl; the verdict is on peers as they come.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import torch

from benchmarks.few_shot.fresh import KEPT, in_fresh_process, seconds_of, tell
from benchmarks.few_shot.omniglot import samplers
from benchmarks.few_shot.peers import peer, proto_ways, versions
from benchmarks.few_shot.speed import embedding_module, with_ours
from benchmarks.results import Spread, ratios
from learners.execution import Execution, keep_freed_memory
from learners.networks import Conv4
from learners.protonet import ProtoNet
from learners.samplers import Shape

OURS = "ours"
ASKED = {"learn2learn": 2.5, "easyfsl": 2.0}
WAYS = (*ASKED, *(name + KEPT for name in ASKED), OURS)
THREADS = (1, 2)
MODULE = "benchmarks.few_shot.prototypes"


def work(name: str, threads: int, seconds: float) -> None:
    """Measure one way in this process, and tell the seconds of a step."""
    learner = ProtoNet(Conv4(0))
    drawn = samplers(Shape(20, 5, 5), Shape(5, 1, 1))[0].sample(0, 1)
    state = learner.init(0)
    torch.set_num_threads(threads)
    if name == OURS or name.endswith(KEPT):
        keep_freed_memory()
    if name == OURS:
        run = with_ours(learner, state, drawn, Execution(dtype="bfloat16"))
    else:
        run = proto_ways(embedding_module(state), drawn)[name.removesuffix(KEPT)]
    tell(seconds=seconds_of(run, seconds, least=3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--work", help="a way, measured in this process (used by this command)")
    parser.add_argument("--threads", type=int, default=1, help="with --work")
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    if options.work:
        work(options.work, options.threads, options.seconds)
        return
    here = [name for name in WAYS if name == OURS or peer(name.removesuffix(KEPT)) is not None]
    result = {
        "command": "python -m benchmarks.few_shot.prototypes "
        f"--rounds {options.rounds} --seconds {options.seconds}",
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions(["torch", *ASKED]),
    }
    taken: dict[int, dict[str, list[float]]] = {n: {name: [] for name in here} for n in THREADS}
    for _ in range(options.rounds):
        for threads in THREADS:
            for name in here:
                given = ["--threads", str(threads), "--seconds", str(options.seconds)]
                found = in_fresh_process(name, MODULE, given, threads)
                taken[threads][name].append(found["seconds"])
    verdict = []
    for threads, seconds in taken.items():
        for name in here[:-1]:
            times = ratios(seconds[name], seconds[OURS])
            asked = ASKED[name.removesuffix(KEPT)]
            word = "met" if times.median >= asked else "MISSED"
            verdict.append(f"{word}: {threads} threads, {times} times {name}; asked {asked}")
    print("\n".join(verdict))
    spreads = {
        f"{threads} threads": {name: Spread.of(each).to_dict() for name, each in seconds.items()}
        for threads, seconds in taken.items()
    }
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**result, "verdict": verdict, "seconds_per_step": spreads}, indent=1)
    (options.out / "prototypes.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
