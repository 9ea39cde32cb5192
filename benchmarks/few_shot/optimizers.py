"""A learned optimizer against tuned hand-made ones on held-out quadratics, as in its paper.

    python -m benchmarks.few_shot.optimizers --seconds 300 --out benchmarks/few_shot/results

f(theta) = |W theta - y|^2 in ten dimensions, W and y standard normal, 100 steps from a common
start (Andrychowicz et al. 2016, section 3.1). The rate of each hand-made optimizer is the best of
a grid on problems of the training distribution; the test problems are others.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from learners.episode import Episodes, Examples
from learners.learned_optimizer import LearnedOptimizer
from learners.networks import ModuleNetwork
from learners.training import Budget, Training, meta_train

N, STEPS = 10, 100
RATES = [float(10.0**power) for power in np.arange(-4, 1.01, 0.25)]
HAND_MADE: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    "RMSprop": torch.optim.RMSprop,
    "SGD": torch.optim.SGD,
    "NAG": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True),
}


@dataclass(frozen=True)
class Quadratics:
    """Random quadratics as episodes: rows of W are inputs, y are targets, queries the same."""

    seed: int = 0

    def sample(self, index: int, n_episodes: int) -> Episodes:
        random = np.random.default_rng((self.seed, index))
        W = torch.from_numpy(random.standard_normal((n_episodes, N, N))).float()
        y = torch.from_numpy(random.standard_normal((n_episodes, N, 1))).float()
        part = Examples(W, y, torch.ones(n_episodes, N, dtype=torch.bool))
        return Episodes(part, part, 0)


def start() -> nn.Linear:
    torch.manual_seed(0)
    linear = nn.Linear(N, 1, bias=False)
    nn.init.normal_(linear.weight, std=0.01)
    return linear


def losses(problems: Episodes, theta: Tensor) -> Tensor:
    """Return f `(B,)` of parameters `(B, N)`."""
    W, y = problems.support.x, problems.support.y
    return (W @ theta[..., None] - y).square().sum((1, 2))


def by_hand(name: str, rate: float, problems: Episodes, theta: Tensor) -> Tensor:
    """Return f after each step `(STEPS, B)`; all problems at once, each by itself."""
    theta = theta.expand(len(problems), -1).clone().requires_grad_()
    optimizer = HAND_MADE[name]([theta], lr=rate)
    curve = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        losses(problems, theta).sum().backward()
        optimizer.step()
        curve.append(losses(problems, theta.detach()))
    return torch.stack(curve)


def learned(learner: LearnedOptimizer, state: dict[str, Tensor], problems: Episodes) -> Tensor:
    """Return f after each step `(STEPS, B)`."""
    curve = []
    for i in range(len(problems)):
        support = Examples(*(part[i] for part in problems.support))
        at, row = learner.start(state), []
        for _ in range(STEPS):
            at = learner.step(state, at, support)
            row.append(losses(problems[i : i + 1], at.theta[None])[0])
        curve.append(torch.stack(row))
    return torch.stack(curve, 1)


def tuned(name: str, problems: Episodes, theta: Tensor) -> float:
    """Return the rate with the lowest mean f over all steps, the paper's objective."""
    found = {rate: float(by_hand(name, rate, problems, theta).mean()) for rate in RATES}
    return min(found, key=lambda rate: (not np.isfinite(found[rate]), found[rate]))


def draw(path: Path, curves: dict[str, Tensor]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - pictures alone
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.semilogy(range(1, STEPS + 1), curve.mean(1), label=name)
    axes.set(xlabel="step", ylabel="mean f", title="Held-out quadratics, 10 dimensions")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    module = start()
    theta = module.weight.detach()[0]
    learner = LearnedOptimizer(ModuleNetwork(module), steps=STEPS, unroll=20, regression=True)
    training = Training(
        64, 1e-2, clip=1.0, validate_every=20, validation_episodes=40, progress=sys.stderr.isatty()
    )
    budget = Budget(options.iterations, options.seconds)
    trained = meta_train(learner, Quadratics(), budget, training, Quadratics(1))
    cpu = time.process_time()
    test, train = Quadratics(2).sample(0, options.problems), Quadratics().sample(10**6, 200)
    rates = {name: tuned(name, train, theta) for name in HAND_MADE}
    curves = {name: by_hand(name, rate, test, theta) for name, rate in rates.items()}
    with torch.no_grad():
        curves["learned"] = learned(learner, trained.state, test)
    rows = {
        name: {
            "rate": rates.get(name),
            "mean_over_steps": float(curve.mean()),
            "at_100": float(curve[-1].mean()),
            "at_100_half_width": 1.96 * float(curve[-1].std()) / len(curve[-1]) ** 0.5,
        }
        for name, curve in curves.items()
    }
    for name, row in rows.items():
        print(name, {key: value and round(value, 4) for key, value in row.items()})
    result = {
        "command": "python -m benchmarks.few_shot.optimizers --seconds "
        f"{options.seconds:g} --problems {options.problems}",
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "iterations": trained.iterations,
        "seconds": round(trained.history[-1].seconds, 1),
        "cpu_seconds_of_this_process": round(cpu, 1),
        "rows": rows,
        "curves": {name: curve.mean(1).tolist() for name, curve in curves.items()},
        "history": [asdict(row) for row in trained.history],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "optimizers.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(options.out / "optimizers.png", curves)


if __name__ == "__main__":
    main()
