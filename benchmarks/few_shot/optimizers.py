"""A learned optimizer against tuned hand-made ones on held-out problems, as in its paper.

    python -m benchmarks.few_shot.optimizers quadratics --out FOLDER
    python -m benchmarks.few_shot.optimizers digits --out FOLDER

100 steps from a common start on `quadratics`: f(theta) = |W theta - y|^2 in ten dimensions, W and
y standard normal (Andrychowicz et al. 2016, section 3.1); and on `digits`: f is the cross-entropy
of 128 of scikit-learn's digits under a network of 20 sigmoid units, as in section 3.2, but for
the images, and that f does not change from step to step. The rate of each hand-made optimizer is
the best of a grid on problems of the training distribution; the test problems are others, of
digits the learned optimizer never saw.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from learners.episode import Episodes, Examples
from learners.learned_optimizer import LearnedOptimizer
from learners.networks import ModuleNetwork
from learners.training import Budget, Training, meta_train

N, STEPS = 10, 100
IMAGES, TRAINED_ON = 128, 1297
TEST = 2
"""Seed of the test problems; 0 and 1 are of training and validation."""

RATES = [float(10.0**power) for power in np.arange(-4, 1.01, 0.25)]
HAND_MADE: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    "RMSprop": torch.optim.RMSprop,
    "SGD": torch.optim.SGD,
    "NAG": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True),
}


class Problems(Protocol):
    """A distribution of functions to minimise, where to begin, and how long to learn on it."""

    regression: bool
    meta_batch: int
    iterations: int
    schedule: str

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return functions as episodes: the loss of one on its query set, which is its support."""
        ...

    def start(self) -> nn.Module:
        """Return the network whose parameters are moved."""
        ...


@dataclass(frozen=True)
class Quadratics:
    """Random quadratics as episodes: rows of W are inputs, y are targets, queries the same."""

    seed: int = 0
    regression: bool = True
    meta_batch: int = 64
    iterations: int = 714
    schedule: str = "constant"

    def sample(self, index: int, n_episodes: int) -> Episodes:
        random = np.random.default_rng((self.seed, index))
        W = torch.from_numpy(random.standard_normal((n_episodes, N, N))).float()
        y = torch.from_numpy(random.standard_normal((n_episodes, N, 1))).float()
        part = Examples(W, y, torch.ones(n_episodes, N, dtype=torch.bool))
        return Episodes(part, part, 0)

    def start(self) -> nn.Module:
        torch.manual_seed(0)
        linear = nn.Linear(N, 1, bias=False)
        nn.init.normal_(linear.weight, std=0.01)
        return linear


@dataclass(frozen=True)
class Digits:
    """Random draws of images to fit: of the first 1,297 to train on, of the others to test on."""

    seed: int = 0
    regression: bool = False
    meta_batch: int = 2
    iterations: int = 600
    schedule: str = "cosine"

    def sample(self, index: int, n_episodes: int) -> Episodes:
        random = np.random.default_rng((self.seed, index))
        images, labels = _digits(test=self.seed == TEST)
        rows = np.stack([random.permutation(len(labels))[:IMAGES] for _ in range(n_episodes)])
        mask = torch.ones(n_episodes, IMAGES, dtype=torch.bool)
        part = Examples(images[rows], labels[rows], mask)
        return Episodes(part, part, 10)

    def start(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 20), nn.Sigmoid(), nn.Linear(20, 10))


@cache
def _digits(*, test: bool) -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    part = slice(TRAINED_ON, None) if test else slice(TRAINED_ON)
    return torch.from_numpy(images[part]).float() / 16, torch.from_numpy(labels[part]).long()


PROBLEMS: dict[str, Callable[[int], Problems]] = {"quadratics": Quadratics, "digits": Digits}


@dataclass(frozen=True, eq=False)
class Race:
    """A learner, whose network and start everybody takes, and its trained state."""

    learner: LearnedOptimizer
    state: dict[str, Tensor]

    def losses(self, problems: Episodes, theta: Tensor) -> Tensor:
        """Return f `(B,)` of parameters `(B, N)`; a quadratic's is a sum, not a mean."""

        def one(at: Tensor, support: Examples, query: Examples) -> Tensor:
            return self.learner.query_loss(self.state, at, support, query)

        found: Tensor = torch.vmap(one)(theta, problems.support, problems.query)
        return found * (N if self.learner.regression else 1)

    def by_hand(self, name: str, rate: float, problems: Episodes) -> Tensor:
        """Return f after each step `(STEPS, B)`; all problems at once, each by itself."""
        theta = self.learner.start(self.state).theta
        theta = theta.expand(len(problems), -1).clone().requires_grad_()
        optimizer = HAND_MADE[name]([theta], lr=rate)
        curve = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            self.losses(problems, theta).sum().backward()
            optimizer.step()
            curve.append(self.losses(problems, theta.detach()))
        return torch.stack(curve)

    def learned(self, problems: Episodes) -> Tensor:
        """Return f after each step `(STEPS, B)`."""
        curve = []
        for i in range(len(problems)):
            support = Examples(*(part[i] for part in problems.support))
            at, row = self.learner.start(self.state), []
            for _ in range(STEPS):
                at = self.learner.step(self.state, at, support)
                row.append(self.losses(problems[i : i + 1], at.theta[None])[0])
            curve.append(torch.stack(row))
        return torch.stack(curve, 1)

    def tuned(self, name: str, problems: Episodes) -> float:
        """Return the rate with the lowest mean f over all steps, the paper's objective."""
        found = {rate: float(self.by_hand(name, rate, problems).mean()) for rate in RATES}
        return min(found, key=lambda rate: (not np.isfinite(found[rate]), found[rate]))


def draw(path: Path, title: str, curves: dict[str, Tensor]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - pictures alone
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.semilogy(range(1, STEPS + 1), curve.mean(1), label=name)
    axes.set(xlabel="step", ylabel="mean f", title=f"Held-out {title}")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", choices=PROBLEMS)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--iterations", type=int, help="the problems' own by default")
    parser.add_argument("--tests", type=int, default=100, help="held-out problems")
    parser.add_argument("--out", type=Path, default=Path("build/few_shot"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    training, validation, test = (PROBLEMS[options.problems](seed) for seed in range(TEST + 1))
    network = ModuleNetwork(training.start())
    learner = LearnedOptimizer(network, steps=STEPS, unroll=20, regression=training.regression)
    settings = Training(
        training.meta_batch,
        1e-2,
        schedule=training.schedule,
        clip=1.0,
        validate_every=20,
        validation_episodes=40,
        progress=sys.stderr.isatty(),
        watch=(lambda report: print(report.iteration, round(report.loss, 4), flush=True),),
    )
    budget = Budget(options.iterations or training.iterations, options.seconds)
    # All digits are told apart long before the loss is low: accuracy would choose the first state
    # that does, so that there the last one is kept.
    chosen_by = validation if training.regression else None
    trained = meta_train(learner, training, budget, settings, chosen_by)
    cpu = time.process_time()
    race = Race(learner, trained.state)
    # Rates near the edge of what converges fail on few problems: many must tell.
    asked, known = test.sample(0, options.tests), training.sample(10**6, 4 * options.tests)
    rates = {name: race.tuned(name, known) for name in HAND_MADE}
    curves = {name: race.by_hand(name, rate, asked) for name, rate in rates.items()}
    with torch.no_grad():
        curves["learned"] = race.learned(asked)
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
    given = {name: getattr(options, name) for name in ("seconds", "iterations", "tests")}
    words = [f" --{name} {value:g}" for name, value in given.items() if value is not None]
    result = {
        "command": f"python -m benchmarks.few_shot.optimizers {options.problems}{''.join(words)}",
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
    path = options.out / f"optimizers-{options.problems}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    draw(path.with_suffix(".png"), options.problems, curves)


if __name__ == "__main__":
    main()
