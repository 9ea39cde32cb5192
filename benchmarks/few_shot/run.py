"""Train and test one learner on one published benchmark; write the result as JSON.

    python -m benchmarks.few_shot.run maml 5w1s --seconds 900 --out benchmarks/few_shot/results
    python -m benchmarks.few_shot.run maml sinusoid --iterations 60000

A run that was cut goes on from its checkpoint in --work. `--device cuda` runs the same on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from benchmarks.few_shot.omniglot import samplers
from learners.anil import anil
from learners.description import describe
from learners.evaluation import Score, evaluate
from learners.execution import Execution
from learners.fomaml import fomaml
from learners.inner_loop import GradientLearner
from learners.learner import Learner
from learners.maml import maml
from learners.maml_plus_plus import maml_plus_plus
from learners.mann import LRUACell, Mann
from learners.meta_sgd import meta_sgd
from learners.networks import MLP, Conv4, Flatten
from learners.protonet import ProtoNet
from learners.recipes import Inputs
from learners.recipes import recipe as ready_made
from learners.reptile import Reptile
from learners.samplers import Shape, Stages
from learners.sinusoid import SinusoidSampler
from learners.training import Budget, Trained, Training, meta_train

SETTINGS = {"5w1s": (5, 1), "5w5s": (5, 5), "20w1s": (20, 1), "20w5s": (20, 5)}


@dataclass(frozen=True)
class Recipe:
    """A learner, how its outer loop is set, and the episodes it trains on.

    `easier` are numbers of classes to begin with, each for so many iterations.
    """

    learner: Learner
    training: Training
    train: Shape | None = None
    easier: tuple[tuple[int, int], ...] = ()


def gradient_recipe(factory: Callable[..., GradientLearner], way: int, shot: int) -> Recipe:
    """Return MAML's published Omniglot settings: 0.4 and 1 step 5-way, 0.1 and 5 steps 20-way."""
    settings = {"steps": 1, "rate": 0.4} if way == 5 else {"steps": 5, "rate": 0.1}
    if factory is maml_plus_plus:
        settings = {"steps": 5, "rate": 0.1}
    learner = factory(Conv4(way, strided=True), **settings)
    training = Training(32 if way == 5 else 16, rate=3e-3, schedule="cosine")
    return Recipe(learner, training, Shape(way, shot, shot))


GRADIENT = {
    "maml": maml,
    "fomaml": fomaml,
    "anil": anil,
    "meta_sgd": meta_sgd,
    "maml++": maml_plus_plus,
}


def mann_recipe(way: int, shot: int) -> Recipe:
    """Return the published inputs, pixels, with a smaller memory and fewer classes at first."""
    cell = LRUACell(n_slots=32, n_reads=1, hidden=128, strength=True)
    training = Training(16, 3e-3, clip=10.0, validate_every=500, validation_episodes=100)
    easier = ((1500, 2), (3000, 3), (4000, 4))
    return Recipe(Mann(Flatten(), 784, way, cell), training, Shape(way, shot, 4), easier)


#: Methods whose settings are those of `headstart learn`.
READY_MADE = ("mann", "snail", "cnp", "hypernetwork", "learned_optimizer", "meta_lstm")


def recipe(method: str, benchmark: str) -> Recipe:
    """Return what trains on a benchmark."""
    if method == "mann" and benchmark in SETTINGS:
        return mann_recipe(*SETTINGS[benchmark])
    if method in READY_MADE:
        way, shot = SETTINGS.get(benchmark, (0, 10))
        inputs = Inputs((1, 28, 28) if way else (1,), way, shot)
        made = ready_made(method, inputs)
        return Recipe(made.learner, replace(made.training, validate_every=200))
    if benchmark == "sinusoid":
        return sinusoid_recipe(method)
    way, shot = SETTINGS[benchmark]
    if method == "protonet":
        training = Training(1, rate=2e-3, schedule="cosine", validate_every=100)
        return Recipe(ProtoNet(Conv4(0)), training, Shape(60, shot, 5))
    if method == "reptile":
        learner = Reptile(Conv4(way, strided=True), prediction_steps=50)
        outer = Training(5, rate=1.0, optimizer="sgd", schedule="linear")
        return Recipe(learner, outer, Shape(way, 15, 1))
    return gradient_recipe(GRADIENT[method], way, shot)


def sinusoid_recipe(method: str) -> Recipe:
    """Return the settings for waves: two hidden layers of 40, inner steps of 0.01."""
    network = MLP((1, 40, 40, 1))
    training = Training(25, rate=2e-3, schedule="cosine", clip=10.0, validate_every=1000)
    if method == "reptile":
        smooth = MLP((1, 64, 64, 1), "tanh")
        learner: Learner = Reptile(smooth, 10, 0.02, 0, False, 32, regression=True)
        outer = replace(training, meta_batch=10, optimizer="sgd", schedule="linear", rate=1.0)
        return Recipe(learner, outer)
    factory = GRADIENT[method]
    steps = 1 if factory is meta_sgd else 5
    return Recipe(factory(network, steps=steps, rate=0.01, regression=True), training)


def scores(trained: Trained, options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Return the test scores: non-transductive, and transductive where the method has both."""
    learner, found = trained.learner, {}
    execution = Execution(device=options.device)

    def test(name: str, tested: Learner, sampler: object) -> None:
        score: Score = evaluate(tested, trained.state, sampler, options.episodes, execution)  # type: ignore[arg-type]
        found[name] = asdict(score)
        print(name, score, flush=True)

    if options.benchmark == "sinusoid":
        wave = SinusoidSampler(n_query=100, seed=99)
        if not isinstance(learner, GradientLearner):
            test("sinusoid", learner, wave)
            return found
        # Learned step sizes hold for the steps that they were learned with.
        fixed = learner.loop.learned_rates == "none"
        for steps in (1, 5, 10) if fixed else (learner.loop.steps,):
            test(f"sinusoid, {steps} steps", learner.predicting(steps), wave)
        return found
    names = SETTINGS if isinstance(learner, ProtoNet) else [options.benchmark]
    for name in names:
        way, shot = SETTINGS[name]
        sampler = samplers(Shape(way, shot, 5), Shape(way, shot, 5), options.seed)[2]
        test(name, learner, sampler)
        if isinstance(learner, GradientLearner):
            loop = replace(learner.loop, query_statistics=True)
            test(f"{name}, transductive", replace(learner, loop=loop), sampler)
    return found


def train(options: argparse.Namespace) -> Trained:
    chosen = recipe(options.method, options.benchmark)
    execution = Execution(compiled=options.compiled, dtype=options.dtype, device=options.device)
    training = replace(
        chosen.training,
        seed=options.seed,
        execution=execution,
        progress=sys.stderr.isatty(),
        checkpoint=options.work / f"{options.method}-{options.benchmark}-{options.seed}.json",
    )
    budget = Budget(options.iterations, options.seconds)
    if options.benchmark == "sinusoid":
        return meta_train(
            chosen.learner, SinusoidSampler(), budget, training, SinusoidSampler(seed=5)
        )
    way, shot = SETTINGS[options.benchmark]
    shape = chosen.train or Shape(way, shot, shot)
    episodes, validation, _ = samplers(shape, Shape(way, shot, 5), options.seed)
    stages = [
        (end, samplers(replace(shape, n_way=fewer), shape, options.seed)[0])
        for end, fewer in chosen.easier
        if fewer < way
    ]
    sampler = Stages((*stages, (options.iterations, episodes))) if stages else episodes
    return meta_train(chosen.learner, sampler, budget, training, validation)


def command(options: argparse.Namespace) -> str:
    """Return the command without the folders, which belong to a machine."""
    words = [f"python -m benchmarks.few_shot.run {options.method} {options.benchmark}"]
    for name in ("iterations", "seconds", "episodes", "seed", "dtype", "device"):
        value = getattr(options, name)
        if value is not None:
            words.append(f"--{name} {value}")
    return " ".join(words + ["--compiled"] * options.compiled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=[*GRADIENT, "reptile", "protonet", *READY_MADE])
    parser.add_argument("benchmark", choices=[*SETTINGS, "sinusoid"])
    parser.add_argument("--iterations", type=int, default=60_000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--episodes", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("build/few_shot"))
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    trained = train(options)
    cpu = time.process_time()
    torch.set_num_threads(1)
    result = {
        "command": command(options),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} shared cores, {options.device}, 1 thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "learner": describe(trained.learner),
        "iterations": trained.iterations,
        "seconds": round(trained.history[-1].seconds, 1),
        "cpu_seconds_of_this_process": round(cpu, 1),
        "scores": scores(trained, options),
        "history": [asdict(row) for row in trained.history],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{options.method}-{options.benchmark}-{options.seed}.json"
    (options.out / name).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
