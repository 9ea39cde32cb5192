"""Meta-iterations a second beside learn2learn, higher, torchopt and easyfsl.

Same start, same episodes, same gradient, which is checked first.

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
from pathlib import Path

import torch
from torch import nn

from benchmarks.few_shot.omniglot import samplers
from benchmarks.few_shot.peers import Way, maml_ways, proto_ways, versions
from learners.episode import Episodes
from learners.execution import Execution, keep_freed_memory
from learners.learner import Learner, State
from learners.maml import maml
from learners.networks import MLP, Conv4
from learners.protonet import ProtoNet
from learners.samplers import Shape
from learners.sinusoid import SinusoidSampler


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


def embedding_module(state: State) -> nn.Module:
    layers: list[nn.Module] = []
    for i in range(4):
        conv = nn.Conv2d(1 if i == 0 else 64, 64, 3, padding=1, bias=False)
        conv.weight = nn.Parameter(state[f"net.block{i}.weight"].clone())
        layers += [conv, nn.BatchNorm2d(64, track_running_stats=False), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten())


def with_ours(learner: Learner, state: State, episodes: Episodes, how: Execution) -> Way:
    name = "net.head.weight" if "net.head.weight" in state else "net.block0.weight"

    def run() -> State:
        return {"last": learner.meta_gradient(state, episodes, learner.phase(0), how)[0][name]}

    return run


def compare(ways: dict[str, Way], seconds: float, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of an iteration in each round, after checking that gradients agree.

    Peers come first. easyfsl's gradient is of another loss, and bfloat16 moves gradients.
    """
    expected = next(iter(ways.values()))()["last"]
    for name, way in ways.items():
        error = float((way()["last"] - expected).norm() / expected.norm())
        print(f"{name}: gradient differs by {error:.1e}", flush=True)
        if error > 1e-2 and name not in ("easyfsl", "ours, bfloat16"):
            raise SystemExit(f"{name} computes another gradient")
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start, n = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                way()
                n += 1
            times[name].append((time.perf_counter() - start) / n)
    return times


def tables() -> dict[str, dict[str, Way]]:
    """Return what is compared: every way by name, peers first."""
    wave = maml(MLP((1, 40, 40, 1)), steps=5, rate=0.01, regression=True)
    waves, state = SinusoidSampler().sample(0, 25), wave.init(0)
    glyph = maml(Conv4(5, strided=True), steps=5, rate=0.1, query_statistics=True)
    glyphs, start = samplers(Shape(5, 1, 15), Shape(5, 1, 1))[0].sample(0, 16), glyph.init(0)
    proto = ProtoNet(Conv4(0))
    drawn, first = samplers(Shape(20, 5, 5), Shape(5, 1, 1))[0].sample(0, 1), proto.init(0)
    return {
        "sinusoid MAML, 25 episodes, 5 steps": {
            **maml_ways(wave_module(state), 5, 0.01, waves, nn.MSELoss()),
            "ours, vmap": with_ours(wave, state, waves, Execution()),
            "ours, compiled": with_ours(wave, state, waves, Execution(compiled=True)),
        },
        "conv-4 MAML, 5-way 1-shot, 75 queries, 16 episodes, 5 steps": {
            **maml_ways(image_module(start), 5, glyph.loop.rate, glyphs, nn.CrossEntropyLoss()),
            "ours, loop": with_ours(glyph, start, glyphs, Execution(chunk=1)),
            "ours, chosen": with_ours(glyph, start, glyphs, Execution()),
        },
        "prototypical networks, conv-4, 20-way 5-shot, 100 queries": {
            **proto_ways(embedding_module(first), drawn),
            "ours, float32": with_ours(proto, first, drawn, Execution()),
            "ours, bfloat16": with_ours(proto, first, drawn, Execution(dtype="bfloat16")),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    found = {}
    for name, ways in tables().items():
        print(name)
        found[name] = compare(ways, options.seconds, options.rounds)
        best = {way: statistics.median(times) for way, times in found[name].items()}
        for way, seconds in best.items():
            ratios = ", ".join(
                f"{best[peer] / seconds:.2f} x {peer}" for peer in best if "ours" not in peer
            )
            print(f"  {way}: {seconds:.4f} s, {ratios}", flush=True)
    result = {
        "command": "python -m benchmarks.few_shot.speed " + " ".join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared, 1 thread",
        "versions": versions(["torch", "learn2learn", "higher", "torchopt", "easyfsl"]),
        "seconds_per_iteration_by_round": found,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "speed.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
