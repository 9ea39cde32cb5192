"""Learned optimizer: Andrychowicz et al., NeurIPS 2016, equations 2 and 3.

The paper is "Learning to learn by gradient descent by gradient descent".

Computed: theta_{t+1} = theta_t + g_t with [g_t, h_{t+1}] = m(grad_t, h_t, phi), m a two-layer
LSTM that runs on each coordinate by itself with the same weights phi, gradients preprocessed
(appendix A). phi lowers the mean of the losses at all steps; gradients reach back `unroll`
steps and no further (truncated backpropagation through time), and not through grad_t.
Losses are those of the query set: give the support set as query set, and it is the paper's
setting, where the function to lower is one and the same. Departures: the segments of one
unroll make one outer step together, where the authors' code makes one after each.

Notation: as `learners.optimizer_learner`; phi is `opt.*` in the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import grad

from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.execution import Execution, over_episodes
from learners.learner import Phase, State, by_tape
from learners.optimizer_learner import OptimizerLearner, Progress, preprocessed
from learners.recurrent import lstm, lstm_init, uniform


@dataclass(frozen=True)
class LearnedOptimizer(OptimizerLearner):
    """Coordinate-wise LSTM as optimizer; the defaults are the paper's.

    Args:
        network: what it trains.
        steps: inner steps in meta-training.
        prediction_steps: inner steps when predicting; those of meta-training if 0.
        regression: whether targets are numbers rather than classes.
        unroll: steps that a gradient reaches back.
        hidden: width of each of the two LSTM layers.
        scale: factor of the LSTM's output.
        learned_start: whether the network's start is learned, too; the paper's is random.
    """

    steps: int = 100
    unroll: int = 20
    hidden: int = 20
    scale: float = 0.1
    learned_start: bool = False

    def __post_init__(self) -> None:
        if min(self.steps, self.unroll, self.hidden) < 1 or self.prediction_steps < 0:
            raise LearnerError(
                "a learned optimizer needs positive steps, unroll and hidden; got "
                f"steps={self.steps}, unroll={self.unroll}, hidden={self.hidden}, "
                f"prediction_steps={self.prediction_steps}"
            )

    @property
    def kept(self) -> int:
        """Floats that the steps of one segment keep, a coordinate, as measured."""
        return 50 * self.hidden * min(self.unroll, self.steps)

    def optimizer(self, generator: torch.Generator) -> State:
        """Return the LSTM layers and the layer that gives the step."""
        return {
            **lstm_init("opt.lstm0", 2, self.hidden, generator),
            **lstm_init("opt.lstm1", self.hidden, self.hidden, generator),
            "opt.step.weight": uniform((self.hidden,), self.hidden, generator),
            "opt.step.bias": torch.zeros(()),
        }

    def started(self, theta: Tensor) -> State:
        """Return hidden and cell states of zero."""
        zeros = theta.new_zeros(theta.shape[0], self.hidden)
        return dict.fromkeys(("h0", "c0", "h1", "c1"), zeros)

    def advance(self, state: State, at: Progress, gradient: Tensor, loss: Tensor) -> Progress:
        """Return parameters and LSTM states after one step; the loss is not looked at."""
        carry: State = {}
        x = preprocessed(gradient)
        for layer in ("0", "1"):
            inputs = torch.cat([x, at.carry[f"h{layer}"]], -1)
            x, c = lstm(state, f"opt.lstm{layer}", inputs, at.carry[f"c{layer}"])
            carry |= {f"h{layer}": x, f"c{layer}": c}
        change = x @ state["opt.step.weight"] + state["opt.step.bias"]
        return Progress(at.theta + self.scale * change, carry)

    def start(self, state: State) -> Progress:
        """Return the network at its start: a constant unless it is learned."""
        at = super().start(state)
        return at if self.learned_start else Progress(at.theta.detach(), at.carry)

    def loss(
        self, state: State, support: Examples, query: Examples, n_way: int, phase: Phase
    ) -> Tensor:
        """Return the mean query loss over all steps, cut between segments."""
        at, losses = self.start(state), []
        for first in range(0, self.steps, self.unroll):
            at, each = self._segment(state, at, support, query, first)
            at = _cut(at)
            losses.append(each)
        return torch.stack(losses).sum()

    def meta_gradient(
        self, state: State, episodes: Episodes, phase: Phase, execution: Execution
    ) -> tuple[State, Tensor]:
        """Return gradient and losses, one segment after the other: memory for `unroll` steps."""
        total = {name: torch.zeros_like(value) for name, value in state.items()}
        losses = []
        for part in episodes.split(self.chunk(episodes, execution)):
            each = part.support.x.new_zeros(len(part))
            at: Progress | None = None
            for first in range(0, self.steps, self.unroll):
                with execution.autocast():
                    gradient, (at, found) = self._of_segment(state, at, part, first)
                each = each + found
                total = {name: total[name] + gradient[name] for name in state}
            losses.append(each)
        return {name: value / len(episodes) for name, value in total.items()}, torch.cat(losses)

    def _of_segment(self, state: State, at: Progress | None, part: Episodes, first: int) -> Any:
        def summed(state: State) -> tuple[Tensor, tuple[Progress, Tensor]]:
            def one(support: Examples, query: Examples, *at: Any) -> tuple[Progress, Tensor]:
                start = Progress(*at) if at else self.start(state)
                return self._segment(state, start, support, query, first)

            end, losses = over_episodes(one, part.support, part.query, *(at or ()))
            # What `grad` passes out beside the loss is cut off from it.
            return losses.sum(), (end, losses)

        if len(part) > 1:
            return grad(summed, has_aux=True)(state)
        gradient, (_, (end, losses)) = by_tape(summed)(state)
        return gradient, (_cut(end), losses.detach())

    def _segment(
        self, state: State, at: Progress, support: Examples, query: Examples, first: int
    ) -> tuple[Progress, Tensor]:
        """Return where `unroll` steps from step `first` lead, and their share of the loss."""
        total = torch.zeros_like(at.theta.sum())
        for _ in range(first, min(first + self.unroll, self.steps)):
            at = self.step(state, at, support)
            total = total + self.query_loss(state, at.theta, support, query)
        return at, total / self.steps


def _cut(at: Progress) -> Progress:
    return Progress(at.theta.detach(), {name: one.detach() for name, one in at.carry.items()})
