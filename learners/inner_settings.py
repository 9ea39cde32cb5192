"""Settings of the inner loop that the MAML family shares; `learners.inner_loop` runs it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learners.errors import LearnerError

NORM = (".scale", ".shift")
"""How the names of a normalisation's own parameters end."""


@dataclass(frozen=True)
class InnerLoop:
    """Which parameters adapt, how far, and which losses count.

    Args:
        steps: gradient steps on the support set.
        rate: step size, or its first value where step sizes are learned.
        adapts: prefixes of the parameter names that adapt; `("",)` for all, `("head",)` for
            the last layer.
        learned_rates: "none"; "weight", one step size a weight (Meta-SGD); "layer_step", one
            a tensor and step (MAML++).
        first_order: whether inner gradients count as constants.
        first_order_until: meta-iterations at the start that are first-order.
        multi_step_until: meta-iterations over which the loss moves from all steps to the last;
            0 counts the last alone.
        step_norm: one scale and shift of each normalisation for every step; these do not
            adapt (MAML++).
        query_statistics: True normalises a query set by its own batch statistics, as
            published (transductive: a prediction depends on the other queries); False by
            those of the support set under the adapted parameters.
    """

    steps: int = 1
    rate: float = 0.4
    adapts: tuple[str, ...] = ("",)
    learned_rates: str = "none"
    first_order: bool = False
    first_order_until: int = 0
    multi_step_until: int = 0
    step_norm: bool = False
    query_statistics: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.rate <= 0 or not self.adapts:
            raise LearnerError(
                "an inner loop needs at least one step, a positive rate and a prefix that "
                f"adapts; got steps={self.steps}, rate={self.rate}, adapts={self.adapts}"
            )
        if self.learned_rates not in ("none", "weight", "layer_step"):
            raise LearnerError(
                f"learned_rates is 'none', 'weight' or 'layer_step', got {self.learned_rates!r}"
            )

    def moves(self, name: str) -> bool:
        """Whether the parameter `name` of the network adapts."""
        if self.step_norm and name.endswith(NORM):
            return False
        return name.startswith(self.adapts)


def step_weights(iteration: int, loop: InnerLoop) -> Tensor:
    """Return the weights of the multi-step loss at a meta-iteration (Antoniou et al. 2019, 4).

    All steps start at 1/T; earlier ones fall linearly to 0.03/T and the last takes the rest.

    >>> step_weights(0, InnerLoop(steps=2, multi_step_until=10))
    tensor([0.5000, 0.5000])
    """
    share = 1.0 / loop.steps
    earlier = max(share * (1 - iteration / loop.multi_step_until), 0.03 * share)
    last = 1.0 - (loop.steps - 1) * earlier
    return torch.tensor([earlier] * (loop.steps - 1) + [last])
