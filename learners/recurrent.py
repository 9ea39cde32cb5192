"""The long short-term memory cell that several methods share: Hochreiter and Schmidhuber 1997.

With a forget gate (Gers et al. 2000) and no peepholes:

    i, f, g, o = [x, h] W + b               gates in the order input, forget, candidate, output
    c' = sigmoid(f) c + sigmoid(i) tanh(g)
    h' = sigmoid(o) tanh(c')
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from learners.networks import Params


def lstm_init(name: str, n_in: int, hidden: int, generator: torch.Generator) -> Params:
    """Return weights uniform in +-1/sqrt(hidden) and a forget bias of 1.

    A forget gate that starts open lets gradients through many steps (Jozefowicz et al. 2015).

    Args:
        name: of the cell in a state.
        n_in: width of the input, without the hidden state.
        hidden: width of the hidden and the cell state.
        generator: draws the weights.
    """
    bias = torch.zeros(4 * hidden)
    bias[hidden : 2 * hidden] = 1.0
    weight = uniform((n_in + hidden, 4 * hidden), hidden, generator)
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def lstm(state: Params, name: str, inputs: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return hidden and cell state of one step.

    Args:
        state: holds `{name}.weight` `(width, 4 d)` and `{name}.bias` `(4 d,)`.
        name: of the cell.
        inputs: input and hidden state, concatenated `(..., width)`.
        c: cell state `(..., d)`.
    """
    gates = inputs @ state[f"{name}.weight"] + state[f"{name}.bias"]
    enter, keep, candidate, leave = gates.chunk(4, -1)
    c = keep.sigmoid() * c + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * c.tanh(), c


def uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> Tensor:
    """Return numbers uniform in +-1/sqrt(fan_in) (LeCun et al. 1998, section 4.6)."""
    return (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(fan_in)
