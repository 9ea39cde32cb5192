"""What meta-training learned optimizers on images keeps in memory, bounded and not.

    python -m benchmarks.few_shot.optimizer_memory [--rounds N] [--small] [--out FILE]

One meta-gradient of the meta-LSTM (8 episodes, 5 steps) and of the coordinate-wise optimizer (2
episodes, 10 steps), as `headstart learn` trains them: conv-4 of strided convolutions, 5-way
1-shot Omniglot. `as it works`: as many episodes at once as keep a gigabyte, and steps taken again
where one alone would keep more (`learners.optimizer_learner`). `all kept`: every episode of the
batch at once, every step on the tape. Each way has a fresh process in every round, in turn, one
thread; memory is the most that it held resident beyond what it held before.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.few_shot.fresh import in_fresh_process, tell
from benchmarks.few_shot.omniglot import samplers
from benchmarks.results import Report, Spread, ratios, table
from learners import optimizer_learner
from learners.execution import Execution
from learners.learned_optimizer import LearnedOptimizer
from learners.meta_lstm import MetaLSTM
from learners.networks import Conv4
from learners.samplers import Shape

MODULE = "benchmarks.few_shot.optimizer_memory"
AS_IS, KEPT = "as it works", "all kept"
EPISODES = {"meta_lstm": 8, "learned_optimizer": 2}
STEPS = {"meta_lstm": 5, "learned_optimizer": 10}
SMALL = {"meta_lstm": 2, "learned_optimizer": 1}


def work(way: str, small: bool) -> None:
    """Take one meta-gradient, and tell its seconds and megabytes."""
    name, _, how = way.partition(", ")
    steps, count = STEPS[name], (SMALL if small else EPISODES)[name]
    torch.set_num_threads(1)
    network = Conv4(5, strided=True)
    learner: Any = MetaLSTM(network, steps=steps)
    if name == "learned_optimizer":
        learner = LearnedOptimizer(network, steps=steps, unroll=steps, learned_start=True)
    episodes = samplers(Shape(5, 1, 15), Shape(5, 1, 1))[0].sample(0, count)
    state, before, began = learner.init(0), _resident(), time.monotonic()
    if how == KEPT:
        optimizer_learner.MOST_KEPT = 2**62
    learner.meta_gradient(state, episodes, learner.phase(0), Execution())
    tell(seconds=time.monotonic() - began, megabytes=_resident() - before)


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a trial of few episodes")
    parser.add_argument("--work", help="a way, measured in this process (used by this command)")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    if options.work:
        work(options.work, options.small)
        return
    settings = {"episodes": EPISODES, "steps": STEPS, "rounds": options.rounds}
    report = Report("few_shot.optimizer_memory", options.small, settings)
    rows = []
    for name in EPISODES:
        found: dict[str, list[dict[str, float]]] = {AS_IS: [], KEPT: []}
        for _ in range(1 if options.small else options.rounds):
            for how, told in found.items():
                given = ["--small"] if options.small else []
                told.append(in_fresh_process(f"{name}, {how}", MODULE, given, threads=1))
        ways = {
            how: {part: Spread.of(one[part] for one in told) for part in ("megabytes", "seconds")}
            for how, told in found.items()
        }
        shares = {
            part: ratios(*([one[part] for one in found[how]] for how in (AS_IS, KEPT)))
            for part in ("megabytes", "seconds")
        }
        report.results[name] = {
            how: {part: spread.to_dict() for part, spread in parts.items()}
            for how, parts in ways.items()
        } | {f"ratio of {part}": spread.to_dict() for part, spread in shares.items()}
        rows += [
            {"learner": name, "way": how} | {part: str(spread) for part, spread in parts.items()}
            for how, parts in ways.items()
        ]
        rows.append(
            {"learner": name, "way": "ratio"} | {part: str(s) for part, s in shares.items()}
        )
    print(table(rows))
    report.write(options.out)


if __name__ == "__main__":
    main()
