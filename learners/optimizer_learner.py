"""What learned optimizers share: a network that is trained on the support set by another one.

The inner gradients count as constants, as in both papers that build on this, so no second
derivatives are taken.

What a step keeps for the way back is hundreds of floats a coordinate, half a gigabyte a step for a
network of 100,000. So as many episodes are run at once as keep a gigabyte together, and where one
alone would keep more, its steps are taken again on the way back (Griewank and Walther 2000).

Notation
    theta   parameters of the network `(N,)`, all in one row
    L       loss on the support set
    carry   what the optimizer remembers from step to step, a row a coordinate
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.utils.checkpoint import checkpoint

from learners.adapted import keep, predict
from learners.episode import Episodes, Examples
from learners.execution import Execution, on_tape
from learners.learner import Learner, State
from learners.networks import Network, Params, under_net, without_net

MOST_KEPT = 2**30
"""Bytes that the steps of the episodes that are run at once may keep for the way back."""


class Progress(NamedTuple):
    """Where the training of an episode's network stands.

    Args:
        theta: its parameters `(N,)`.
        carry: the optimizer's memory, tensors whose first axis is N.
    """

    theta: Tensor
    carry: State


@dataclass(frozen=True)
class OptimizerLearner(Learner):
    """A learner whose inner steps a learned optimizer takes.

    Args:
        network: what it trains.
        steps: inner steps in meta-training.
        prediction_steps: inner steps when predicting; those of meta-training if 0.
        regression: whether targets are numbers rather than classes.
    """

    network: Network
    steps: int = 20
    prediction_steps: int = 0
    regression: bool = False

    @property
    def classification(self) -> bool:
        """Whether `y` holds class numbers."""
        return not self.regression

    @abstractmethod
    def optimizer(self, generator: torch.Generator) -> State:
        """Return fresh parameters of the optimizer."""

    @abstractmethod
    def started(self, theta: Tensor) -> State:
        """Return what the optimizer remembers before the first step."""

    @property
    @abstractmethod
    def kept(self) -> int:
        """Floats that the steps of one episode keep for the way back, a coordinate."""

    @abstractmethod
    def advance(self, state: State, at: Progress, gradient: Tensor, loss: Tensor) -> Progress:
        """Return where one step leads.

        Args:
            state: holds the optimizer's parameters.
            at: where the network stands.
            gradient: dL/dtheta `(N,)`, a constant.
            loss: L, a constant scalar.
        """

    def chunk(self, episodes: Episodes, execution: Execution) -> int:
        """Return as many episodes as keep no more than `MOST_KEPT` bytes together."""
        if execution.chunk is not None:
            return super().chunk(episodes, execution)
        n = sum(value.numel() for value in self.network.init(torch.Generator()).values())
        return max(1, min(len(episodes), MOST_KEPT // max(1, self._bytes(n))))

    def _bytes(self, n: int) -> int:
        return 4 * self.kept * n

    def init(self, seed: int) -> State:
        """Return the network's start `net.*` and the optimizer's parameters."""
        params = self.network.init(torch.Generator().manual_seed(seed))
        return under_net(params) | self.optimizer(torch.Generator().manual_seed(seed + 1))

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return the network's parameters after the inner steps."""
        at = self.start(state)
        for _ in range(self.prediction_steps or self.steps):
            at = self.step(state, at, support)
        return keep(self.network, self.named(state, at.theta), support)

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return the trained network's outputs."""
        return predict(self.network, context, query)

    def start(self, state: State) -> Progress:
        """Return the network at its start."""
        theta = flat(without_net(state))
        return Progress(theta, self.started(theta))

    def step(self, state: State, at: Progress, support: Examples) -> Progress:
        """Return where one inner step on the support set leads."""

        def loss(theta: Tensor) -> Tensor:
            params = self.named(state, theta)
            return self.criterion(self.network(params, support.x, support.mask), support)

        gradient, value = grad_and_value(loss)(at.theta.detach())
        gradient, value = gradient.detach(), value.detach()
        if not on_tape() or self._bytes(at.theta.numel()) <= MOST_KEPT:
            return self.advance(state, at, gradient, value)
        again: Progress = checkpoint(
            self.advance, state, at, gradient, value, use_reentrant=False, preserve_rng_state=False
        )
        return again

    def query_loss(self, state: State, theta: Tensor, support: Examples, query: Examples) -> Tensor:
        """Return the loss on the query set under parameters `(N,)`."""
        context = keep(self.network, self.named(state, theta), support)
        return self.criterion(predict(self.network, context, query), query)

    def named(self, state: State, theta: Tensor) -> Params:
        """Return parameters `(N,)` under their names and in their shapes."""
        shapes = {name: value.shape for name, value in without_net(state).items()}
        parts = torch.split(theta, [shape.numel() for shape in shapes.values()])
        return {
            name: part.reshape(shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }


def flat(params: Params) -> Tensor:
    """Return all parameters in one row `(N,)`."""
    return torch.cat([value.flatten() for value in params.values()])


def preprocessed(values: Tensor, p: float = 10.0) -> Tensor:
    """Return numbers of any size as two of the size of 1 `(..., 2)`.

    Where |v| >= e^-p: (log|v| / p, sign v); else (-1, e^p v) (Andrychowicz et al. 2016,
    appendix A).

    >>> preprocessed(torch.tensor([1.0, -1.0, 0.0]))
    tensor([[ 0.,  1.],
            [ 0., -1.],
            [-1.,  0.]])
    """
    tiny = math.exp(-p)
    size = values.abs()
    large = size >= tiny
    first = torch.where(large, size.clamp(min=tiny).log() / p, -1.0)
    return torch.stack([first, torch.where(large, values.sign(), values / tiny)], -1)
