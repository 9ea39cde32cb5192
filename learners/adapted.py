"""A network with parameters of its own for an episode, and how it predicts with them.

Where rows are normalised together, queries are normalised by the support set's statistics, so
that a prediction does not depend on the other queries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from learners.episode import Examples
from learners.learner import State
from learners.networks import Network, Params


def keep(network: Network, fast: Params, support: Examples) -> State:
    """Return adapted parameters as a context, with the support set where it is needed."""
    context = {f"fast.{name}": value for name, value in fast.items()}
    if network.normalises:
        context |= {"support.x": support.x, "support.mask": support.mask}
    return context


def predict(network: Network, context: State, query: Examples) -> Tensor:
    """Return outputs `(n_query, n_out)` of the network kept in a context."""
    prefix = "fast."
    fast = {k.removeprefix(prefix): v for k, v in context.items() if k.startswith(prefix)}
    if not network.normalises:
        return network(fast, query.x, query.mask)
    x = torch.cat([context["support.x"], query.x])
    mask = torch.cat([context["support.mask"], torch.zeros_like(query.mask)])
    return network(fast, x, mask)[context["support.mask"].shape[0] :]
