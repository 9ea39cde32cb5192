"""Meta-iterations a second of MAML beside `higher`: same start, same episodes, same gradient.

    OMP_NUM_THREADS=1 python -m benchmarks.few_shot.speed --out benchmarks/few_shot/results

Each way is warmed up, then all are timed in turn, several rounds; the median round counts, so
that other work on the machine falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import higher
import torch
from torch import nn

from benchmarks.few_shot.omniglot import samplers
from learners.episode import Episodes
from learners.execution import Execution, keep_freed_memory
from learners.inner_loop import GradientLearner
from learners.learner import State
from learners.maml import maml
from learners.networks import MLP, Conv4
from learners.samplers import Shape
from learners.sinusoid import SinusoidSampler

Way = Callable[[], State]


def wave_module(state: State) -> nn.Module:
    module = nn.Sequential(
        nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1)
    )
    with torch.no_grad():
        for layer, name in zip(module[::2], ("layer0", "layer1", "head"), strict=True):
            layer.weight.copy_(state[f"net.{name}.weight"].T)
            layer.bias.copy_(state[f"net.{name}.bias"])
    return module


class SpaceMean(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def image_module(state: State) -> nn.Module:
    layers: list[nn.Module] = []
    for i in range(4):
        conv = nn.Conv2d(1 if i == 0 else 64, 64, 3, stride=2, padding=1, bias=False)
        norm = nn.BatchNorm2d(64, track_running_stats=False)
        conv.weight = nn.Parameter(state[f"net.block{i}.weight"].clone())
        layers += [conv, norm, nn.ReLU()]
    head = nn.Linear(64, 5)
    with torch.no_grad():
        head.weight.copy_(state["net.head.weight"].T)
        head.bias.zero_()
    return nn.Sequential(*layers, SpaceMean(), head)


def with_higher(
    module: nn.Module, learner: GradientLearner, episodes: Episodes, criterion: nn.Module
) -> Way:
    inner = torch.optim.SGD(module.parameters(), lr=learner.loop.rate)

    def run() -> State:
        module.zero_grad()
        for i in range(len(episodes)):
            with higher.innerloop_ctx(module, inner, copy_initial_weights=False) as (fast, step):
                for _ in range(learner.loop.steps):
                    step.step(criterion(fast(episodes.support.x[i]), episodes.support.y[i]))
                loss = criterion(fast(episodes.query.x[i]), episodes.query.y[i])
                (loss / len(episodes)).backward()
        return {"last": list(module.parameters())[-2].grad.T.clone()}

    return run


def with_ours(learner: GradientLearner, state: State, episodes: Episodes, how: Execution) -> Way:
    def run() -> State:
        gradient = learner.meta_gradient(state, episodes, learner.phase(0), how)[0]
        return {"last": gradient["net.head.weight"]}

    return run


def compare(ways: dict[str, Way], seconds: float, rounds: int) -> dict[str, float]:
    """Return the median seconds of an iteration, after checking that all gradients agree."""
    expected = ways["higher"]()["last"]
    for name, way in ways.items():
        error = float((way()["last"] - expected).norm() / expected.norm())
        print(f"{name}: gradient differs from higher's by {error:.1e}", flush=True)
        if error > 1e-2:
            raise SystemExit(f"{name} computes another gradient")
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start, n = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                way()
                n += 1
            times[name].append((time.perf_counter() - start) / n)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    wave = maml(MLP((1, 40, 40, 1)), steps=5, rate=0.01, regression=True)
    waves, state = SinusoidSampler().sample(0, 25), wave.init(0)
    glyph = maml(Conv4(5, strided=True), query_statistics=True)
    glyphs, start = samplers(Shape(5, 1, 1), Shape(5, 1, 1))[0].sample(0, 32), glyph.init(0)
    tables = {
        "sinusoid, 25 episodes, 5 steps": {
            "higher": with_higher(wave_module(state), wave, waves, nn.MSELoss()),
            "ours, vmap": with_ours(wave, state, waves, Execution()),
            "ours, compiled": with_ours(wave, state, waves, Execution(compiled=True)),
        },
        "conv-4 5-way 1-shot, 32 episodes, 1 step": {
            "higher": with_higher(image_module(start), glyph, glyphs, nn.CrossEntropyLoss()),
            "ours, loop": with_ours(glyph, start, glyphs, Execution(chunk=1)),
            "ours, chosen": with_ours(glyph, start, glyphs, Execution()),
        },
    }
    found = {}
    for name, ways in tables.items():
        print(name)
        found[name] = compare(ways, options.seconds, options.rounds)
        for way, seconds in found[name].items():
            print(f"  {way}: {seconds:.4f} s, {found[name]['higher'] / seconds:.2f} x higher")
    result = {
        "command": "python -m benchmarks.few_shot.speed " + " ".join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared, 1 thread",
        "versions": {"torch": torch.__version__, "higher": "0.2.1"},
        "seconds_per_iteration": found,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "speed.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
