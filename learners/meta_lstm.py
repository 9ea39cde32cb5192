"""Meta-LSTM: Ravi and Larochelle, "Optimization as a Model for Few-Shot Learning", ICLR 2017.

Computed: the cell state of an LSTM is the network's parameters (equations 2 to 4),

    theta_t = f_t theta_{t-1} - i_t grad_t
    i_t = sigmoid([s_t, theta_{t-1}, i_{t-1}] W_I + b_I)         the learning rate
    f_t = sigmoid([s_t, theta_{t-1}, f_{t-1}] W_F + b_F)         what is kept

for each coordinate with the same weights, where s_t is the hidden state of an ordinary LSTM
that reads gradient and loss, both preprocessed (section 4.1, appendix). theta_0 is learned.
The query loss after the last step is lowered; gradients of the network count as constants
(section 3.3). Departures: the whole support set is one batch; a query is normalised by the
support set's statistics, where the paper keeps running ones in training.

Notation: as `learners.optimizer_learner`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learners.episode import Examples
from learners.errors import LearnerError
from learners.learner import Phase, State
from learners.optimizer_learner import OptimizerLearner, Progress, preprocessed
from learners.recurrent import lstm, lstm_init


@dataclass(frozen=True)
class MetaLSTM(OptimizerLearner):
    """An LSTM whose cell state is the network; the defaults are the paper's.

    Args:
        network: what it trains; its first parameters are learned.
        steps: inner steps in meta-training.
        prediction_steps: inner steps when predicting; those of meta-training if 0.
        regression: whether targets are numbers rather than classes.
        hidden: width of the LSTM that reads gradients and losses.
        rate: learning rate i that training starts from.
    """

    steps: int = 5
    hidden: int = 20
    rate: float = 0.01

    def __post_init__(self) -> None:
        if min(self.steps, self.hidden) < 1 or self.prediction_steps < 0 or not 0 < self.rate < 1:
            raise LearnerError(
                "a meta-LSTM needs positive steps and hidden and a rate between 0 and 1; got "
                f"steps={self.steps}, hidden={self.hidden}, rate={self.rate}, "
                f"prediction_steps={self.prediction_steps}"
            )

    @property
    def kept(self) -> int:
        """Floats that the steps of one episode keep, a coordinate, as measured."""
        return 25 * self.hidden * self.steps

    def optimizer(self, generator: torch.Generator) -> State:
        """Return the LSTM and both gates: small weights, a forget gate near 1, i near `rate`."""
        state = lstm_init("opt.lstm", 4, self.hidden, generator)
        for gate, bias in (("keep", 5.0), ("rate", float(torch.tensor(self.rate).logit()))):
            weight = 2 * torch.rand(self.hidden + 2, generator=generator) - 1
            state[f"opt.{gate}.weight"] = 0.01 * weight
            state[f"opt.{gate}.bias"] = torch.tensor(bias)
        return state

    def started(self, theta: Tensor) -> State:
        """Return gates and LSTM states of zero."""
        zeros = theta.new_zeros(theta.shape[0], self.hidden)
        gate = theta.new_zeros(theta.shape[0])
        return {"h": zeros, "c": zeros, "keep": gate, "rate": gate}

    def advance(self, state: State, at: Progress, gradient: Tensor, loss: Tensor) -> Progress:
        """Return parameters, gates and LSTM states after one step."""
        seen = torch.cat(
            [preprocessed(gradient), preprocessed(loss).expand(gradient.shape[0], 2)], -1
        )
        inputs = torch.cat([seen, at.carry["h"]], -1)
        h, c = lstm(state, "opt.lstm", inputs, at.carry["c"])
        carry = {"h": h, "c": c}
        for gate in ("keep", "rate"):
            inputs = torch.cat([h, at.theta[:, None], at.carry[gate][:, None]], -1)
            raw = inputs @ state[f"opt.{gate}.weight"] + state[f"opt.{gate}.bias"]
            carry[gate] = raw.sigmoid()
        return Progress(carry["keep"] * at.theta - carry["rate"] * gradient, carry)

    def loss(
        self, state: State, support: Examples, query: Examples, n_way: int, phase: Phase
    ) -> Tensor:
        """Return the query loss after the last step."""
        at = self.start(state)
        for _ in range(self.steps):
            at = self.step(state, at, support)
        return self.query_loss(state, at.theta, support, query)
