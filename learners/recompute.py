"""The derivative through inner steps with memory for one step: gradient checkpointing.

The parameters after each step are kept, its activations are not; going back, each step is run
again (Griewank and Walther 2000, with every step a checkpoint). With phi_t the parameters after
t steps and lambda_t = d loss / d phi_t:

    lambda_{t-1} = (d phi_t / d phi_{t-1})^T lambda_t + w_{t-1} dL_q / d phi_{t-1}
    d loss / d theta gets (d phi_t / d theta)^T lambda_t at each step

Memory grows with the steps by one copy of the parameters each; time by one more forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp

from learners.networks import Params

State = dict[str, Tensor]
Step = Callable[[State, Params, int], Params]
Loss = Callable[[State, Params, int], Tensor]


def through_steps(
    state: State, start: Params, step: Step, loss: Loss, weights: Tensor
) -> tuple[State, Params, Tensor]:
    """Return d/d state and d/d start of the weighted loss after each step, and the loss.

    Args:
        state: what every step may depend on.
        start: parameters before the first step.
        step: gives the parameters after step t from those before it.
        loss: the loss under the parameters after step t.
        weights: of the losses `(steps,)`; where one is 0 its loss is not computed.
    """
    steps = weights.shape[0]
    counts = [True] * steps if bool((weights != 0).all()) else [False] * (steps - 1) + [True]
    path = [start]
    for t in range(steps):
        path.append(step(state, path[-1], t))
    total = {name: torch.zeros_like(value) for name, value in state.items()}
    back = {name: torch.zeros_like(value) for name, value in start.items()}
    value = torch.zeros_like(weights[0])
    for t in reversed(range(steps)):
        if counts[t]:
            each, pull = _vjp(lambda state, at, t=t: loss(state, at, t), state, path[t + 1])
            of_state, of_fast = pull(weights[t].to(each.dtype))
            value = value + weights[t] * each
            total, back = _plus(total, of_state), _plus(back, of_fast)
        _, pull = _vjp(lambda state, at, t=t: step(state, at, t), state, path[t])
        of_state, back = pull(back)
        total = _plus(total, of_state)
    return total, back, value


def _vjp(function: Callable[..., Any], *at: State) -> tuple[Any, Callable[[Any], Any]]:
    """Return the value and the function that pulls cotangents back, as torch types them not."""
    value, pull = vjp(function, *at)[:2]
    return value, pull


def _plus(one: State, other: State) -> State:
    return {name: value + other[name] for name, value in one.items()}
