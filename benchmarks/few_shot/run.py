"""Train and test one learner on one published benchmark; write the result as JSON.

    python -m benchmarks.few_shot.run matching 5w1s --out benchmarks/few_shot/results
    python -m benchmarks.few_shot.run maml 5w1s --seconds 900
    python -m benchmarks.few_shot.run maml sinusoid --iterations 60000

What trains, on which episodes and for how many iterations is in `recipes.py`; `--iterations` sets
another number, over which the outer rate's schedule then runs. A run that was cut goes on from its
checkpoint in --work. `--device cuda` runs the same on a GPU. `cpu_seconds` are those of training
and validation in all calls of a run that was resumed; where other jobs share the machine they say
what a row cost, and wall seconds do not. Lines of `first` are trainings that came before; `begun`
is the score on validation characters with which the method itself then began.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.few_shot.omniglot import Omniglot, embedded, omniglot, samplers
from benchmarks.few_shot.recipes import COMPARING, METHODS, SETTINGS, Recipe, recipe
from learners.checkpoint import Report
from learners.description import describe
from learners.embedding import EmbeddingLearner
from learners.evaluation import Score, evaluate
from learners.execution import Execution
from learners.inner_loop import GradientLearner
from learners.learner import Learner, State
from learners.networks import Conv4, Flatten, under_net, without_net
from learners.relation import Relation
from learners.samplers import ClassSampler, Sampler, Shape, Stages
from learners.settled import Settled
from learners.sinusoid import SinusoidSampler
from learners.training import Budget, Trained, meta_train

SOME = 20
"""One character in so many gives the moments of features: 220 of them, 20 drawings each."""


def scores(
    trained: Trained, options: argparse.Namespace, images: Tensor
) -> dict[str, dict[str, object]]:
    """Return the test scores: non-transductive, and transductive where the method has both.

    Args:
        trained: what to test.
        options: of the command.
        images: of the characters to test on, or what the learner takes in their place.
    """
    learner, found = trained.learner, {}
    execution = Execution(device=options.device)

    def test(name: str, tested: Learner, sampler: Sampler) -> None:
        score: Score = evaluate(tested, trained.state, sampler, options.episodes, execution)
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
    # A relation network convolves every pair: its other settings are runs of their own.
    embeds_once = isinstance(learner, EmbeddingLearner) and not isinstance(learner, Relation)
    everywhere = embeds_once and options.method in COMPARING
    names = SETTINGS if everywhere else [options.benchmark]
    if isinstance(learner, EmbeddingLearner) and embeds_once:
        # The state holds population statistics, so that an embedding is the same in any episode.
        if isinstance(learner.network, Conv4):
            images = embedded(images, learner.network, trained.state)
        learner = replace(learner, network=Flatten())
    for name in names:
        sampler = ClassSampler(images, Shape(*SETTINGS[name], 5), 20_000 + options.seed)
        test(name, learner, sampler)
        if isinstance(learner, GradientLearner) and learner.network.normalises:
            loop = replace(learner.loop, query_statistics=True)
            test(f"{name}, transductive", replace(learner, loop=loop), sampler)
    return found


def printed(report: Report) -> None:
    """Print a line of the learning curve, with the processor seconds spent so far."""
    line = f"iteration {report.iteration}: loss {report.loss:.3f}, validation {report.validation}"
    print(f"{line}, {time.process_time():.0f} CPU s", flush=True)


def begun(chosen: Recipe, options: argparse.Namespace, data: Omniglot) -> Score:
    """Return the validation score of what a method begins with, before it trains itself."""
    shape = Shape(*SETTINGS[options.benchmark], 5)
    _, validation, _ = samplers(shape, shape, options.seed, data)
    state = chosen.learner.init(options.seed) | dict(chosen.training.start)
    with chosen.training.execution.prepared():
        found = evaluate(chosen.learner, state, validation, chosen.training.validation_episodes)
    print(f"begins at {found} on validation characters", flush=True)
    return found


def started(learner: Learner, trained: State, data: Omniglot) -> State:
    """Return what a learner takes over from a trained embedding, and moments of its features."""
    network = getattr(learner, "network", None)
    if isinstance(network, Settled):
        some = data.train[::SOME].flatten(0, 1).float() / 255
        trained = under_net(network.centred(without_net(trained), some))
    mine = learner.init(0)
    return {key: value for key, value in trained.items() if key in mine}


def train(options: argparse.Namespace) -> tuple[list[Trained], Omniglot | None, Score | None]:
    """Return what was trained, the method itself last, the characters as it takes them, and
    the validation score that it began with, where another method's network was its start.
    """
    chosen = recipe(options.method, options.benchmark)
    if options.iterations:
        chosen = replace(chosen, iterations=options.iterations)
    name = f"{options.method}-{options.benchmark}"
    data = None if options.benchmark == "sinusoid" else omniglot()
    if chosen.first is None or data is None:
        return [train_one(options, chosen, name, data)], data, None
    # One name for all methods that begin with one network: in one --work folder it is trained once.
    width = chosen.first.learner.init(0)["net.block0.scale"].shape[0]
    first = train_one(options, chosen.first, f"first{width}-{options.benchmark}", data)
    score = None
    if chosen.fixed:
        data = data.embedded(first)
    else:
        start = started(chosen.learner, first.state, data)
        chosen = replace(chosen, training=replace(chosen.training, start=start))
        score = begun(chosen, options, data)
    return [first, train_one(options, chosen, name, data)], data, score


def train_one(
    options: argparse.Namespace, chosen: Recipe, name: str, data: Omniglot | None
) -> Trained:
    """Return a recipe's learner, trained on characters, or on waves if `data` is None."""
    dtype = "bfloat16" if chosen.bfloat16 and options.dtype is None else options.dtype
    execution = Execution(
        compiled=options.compiled, dtype=dtype or "float32", device=options.device
    )
    training = replace(
        chosen.training,
        seed=options.seed,
        execution=execution,
        progress=sys.stderr.isatty(),
        watch=(printed,),
        checkpoint=options.work / f"{name}-{options.seed}.json",
    )
    budget = Budget(chosen.iterations, options.seconds)
    if data is None:
        return meta_train(
            chosen.learner, SinusoidSampler(), budget, training, SinusoidSampler(seed=5)
        )
    way, shot = SETTINGS[options.benchmark]
    shape = chosen.train or Shape(way, shot, shot)
    episodes, validation, _ = samplers(shape, Shape(way, shot, 5), options.seed, data)
    stages = [
        (end, samplers(replace(shape, n_way=ways, k_shot=shots), shape, options.seed, data)[0])
        for end, ways, shots in chosen.easier
    ]
    sampler = Stages((*stages, (chosen.iterations, episodes))) if stages else episodes
    return meta_train(chosen.learner, sampler, budget, training, validation)


def trained_row(trained: Trained) -> dict[str, object]:
    """Return what a result file says of one training."""
    last = trained.history[-1]
    return {
        "learner": describe(trained.learner),
        "iterations": trained.iterations,
        "seconds": round(last.seconds, 1),
        "cpu_seconds": round(last.cpu_seconds or 0.0, 2),
        "history": [asdict(row) for row in trained.history],
    }


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
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("benchmark", choices=[*SETTINGS, "sinusoid"])
    parser.add_argument("--iterations", type=int, help="the recipe's by default")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--episodes", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="the recipe's by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("build/few_shot"))
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    (*first, trained), data, start = train(options)
    torch.set_num_threads(1)
    row = trained_row(trained)
    result = {
        "command": command(options),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} shared cores, {options.device}, 1 thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "scores": scores(trained, options, data.test if data else torch.empty(0)),
        "first": [trained_row(one) for one in first],
        "begun": asdict(start) if start else None,
        **row,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{options.method}-{options.benchmark}-{options.seed}.json"
    (options.out / name).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
