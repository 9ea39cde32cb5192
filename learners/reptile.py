"""Reptile: Nichol, Achiam and Schulman, "On First-Order Meta-Learning Algorithms", 2018, alg. 2.

Computed: theta <- theta + epsilon mean_i (phi_i - theta), where phi_i comes from k steps on
minibatches of episode i. No query set enters meta-training: give episodes many shots.
Departures: the inner Adam (beta1 = 0) starts each episode from zero moments, where the
authors' code carries the second moment over; predictions are not transductive.

Notation
    theta   meta-parameters        phi_i   parameters after the k inner steps of episode i
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import grad

from learners.adapted import keep, predict
from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.execution import Execution, over_episodes
from learners.learner import Learner, Phase, State
from learners.networks import Network, under_net, without_net


@dataclass(frozen=True)
class Reptile(Learner):
    """Reptile; train it with `Training(optimizer="sgd", schedule="linear", rate=1.0)`.

    Args:
        network: what adapts.
        steps: inner steps k in meta-training.
        rate: inner step size.
        batch: examples of an inner minibatch, drawn by their places in the support set; 0 takes
            the whole set.
        adam: whether the inner optimizer is Adam with beta1 = 0; otherwise SGD.
        prediction_steps: inner steps when predicting.
        regression: whether targets are numbers rather than classes.
    """

    network: Network
    steps: int = 5
    rate: float = 1e-3
    batch: int = 10
    adam: bool = True
    prediction_steps: int = 50
    regression: bool = False

    def __post_init__(self) -> None:
        if min(self.steps, self.prediction_steps) < 1 or self.rate <= 0 or self.batch < 0:
            raise LearnerError(
                "Reptile needs positive steps and rate and a batch of 0 or more; got "
                f"steps={self.steps}, prediction_steps={self.prediction_steps}, "
                f"rate={self.rate}, batch={self.batch}"
            )

    @property
    def classification(self) -> bool:
        """Whether `y` holds class numbers."""
        return not self.regression

    def init(self, seed: int) -> State:
        """Return the network's parameters under `net.`."""
        return under_net(self.network.init(torch.Generator().manual_seed(seed)))

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return the parameters after `prediction_steps`, and the support set."""
        fast = self._descend(without_net(state), support, self.prediction_steps)
        return keep(self.network, fast, support)

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return the outputs, normalised by the statistics of the support set."""
        return predict(self.network, context, query)

    def meta_gradient(
        self, state: State, episodes: Episodes, phase: Phase, execution: Execution
    ) -> tuple[State, Tensor]:
        """Return theta - mean phi, and the support losses after the inner steps."""
        start = without_net(state)

        def one(support: Examples) -> tuple[State, Tensor]:
            fast = self._descend(start, support, self.steps)
            outputs = self.network(fast, support.x, support.mask)
            return fast, self.criterion(outputs, support)

        total = {name: torch.zeros_like(value) for name, value in start.items()}
        losses = []
        with torch.no_grad(), execution.autocast():
            for part in episodes.split(self.chunk(episodes, execution)):
                fast, each = over_episodes(one, part.support)
                losses.append(each)
                for name, value in fast.items():
                    total[name] += (start[name] - value).sum(0)
        mean = {name: value / len(episodes) for name, value in total.items()}
        return under_net(mean), torch.cat(losses)

    def _descend(self, fast: State, support: Examples, steps: int) -> State:
        second = {name: torch.zeros_like(value) for name, value in fast.items()}
        for step in range(steps):
            part = self._minibatch(support, step)

            def loss(fast: State, part: Examples = part) -> Tensor:
                return self.criterion(self.network(fast, part.x, part.mask), part)

            gradient = grad(loss)(fast)
            if self.adam:
                gradient, second = _rescaled(gradient, second, step)
            fast = {name: value - self.rate * gradient[name] for name, value in fast.items()}
        return fast

    def _minibatch(self, support: Examples, step: int) -> Examples:
        """Return minibatch `step` of a fixed pass order over the rows, the same on any machine."""
        n = support.x.shape[0]
        if not 0 < self.batch < n:
            return support
        # Passes go over the real rows alone, so that padding changes none of them.
        order = torch.from_numpy(_places(n, self.batch, step)).to(support.x.device)
        real_first = torch.sort((~support.mask).to(torch.uint8), stable=True).indices
        rows = real_first[order[support.mask.sum()]]
        return Examples(*(values[rows] for values in support))


@lru_cache(maxsize=1024)
def _places(n: int, batch: int, step: int) -> NDArray[np.int64]:
    """Return the places among c real rows of minibatch `step`, for each c: `(n + 1, batch)`.

    The first ones, whatever the step, where c rows are a minibatch or less.
    """
    places = np.tile(np.arange(batch), (n + 1, 1))
    for count in range(batch + 1, n + 1):
        passes = -(-(step + 1) * batch // count)
        random = np.random.default_rng(count)
        order = np.concatenate([random.permutation(count) for _ in range(passes)])
        places[count] = order[step * batch : (step + 1) * batch]
    return places


def _rescaled(
    gradient: State, second: State, step: int, beta: float = 0.999
) -> tuple[State, State]:
    """Return Adam's step with beta1 = 0 (Kingma and Ba 2015) and its second moment."""
    second = {k: beta * v + (1 - beta) * gradient[k].square() for k, v in second.items()}
    bias = 1 - beta ** (step + 1)
    return {k: g / ((second[k] / bias).sqrt() + 1e-8) for k, g in gradient.items()}, second
