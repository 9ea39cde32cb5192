"""How long the published protocol of the MAML family would take here: a few iterations, timed.

    python -m benchmarks.few_shot.full_protocol --out benchmarks/few_shot/results

`python -m benchmarks.few_shot.run maml 5w1s` (or `meta_sgd`, `maml++`; `--device cuda`) is the
whole of it, 60,000 iterations of the published settings in `recipes.py`. Here each is timed over
a few meta-gradients on one thread, in processor seconds; validation and tests are not in it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from benchmarks.few_shot.omniglot import omniglot, samplers
from benchmarks.few_shot.recipes import SETTINGS, recipe
from learners.execution import Execution
from learners.samplers import Shape

FULL = ("maml", "meta_sgd", "maml++")
FILE = "full_protocol.json"


def seconds(method: str, setting: str, iterations: int) -> float:
    """Return processor seconds of one meta-gradient of a recipe, its second and later ones."""
    chosen, (way, shot) = recipe(method, setting), SETTINGS[setting]
    shape = chosen.train or Shape(way, shot, shot)
    sampler, *_ = samplers(shape, shape, 0, omniglot())
    learner, how, state = chosen.learner, Execution(workers=1), chosen.learner.init(0)
    spent = 0.0
    with how.prepared():
        for i in range(iterations + 1):
            episodes = sampler.sample(i, chosen.training.meta_batch)
            start = time.process_time()
            learner.meta_gradient(state, episodes, learner.phase(i), how)
            spent += time.process_time() - start if i else 0.0
    return spent / iterations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, dict[str, float]]] = {method: {} for method in FULL}
    result = {
        "command": f"python -m benchmarks.few_shot.full_protocol --iterations {options.iterations}",
        "date": time.strftime("%Y-%m-%d"),
        "machine": "one thread of two shared, busy cores, processor seconds",
        "versions": {"torch": torch.__version__},
        "iterations": found,
    }
    for setting in SETTINGS:
        for method in FULL:
            each, total = seconds(method, setting, options.iterations), recipe(method, setting)
            hours = each * total.iterations / 3600
            found[method][setting] = {"seconds": round(each, 4), "hours": round(hours, 1)}
            print(method, setting, found[method][setting], flush=True)
            # A run that is cut leaves what it has.
            (options.out / FILE).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
