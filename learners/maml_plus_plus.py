"""MAML++: Antoniou, Edwards and Storkey, "How to train your MAML", ICLR 2019, section 4.

Computed: MAML with a multi-step loss that anneals to the last step, one learned rate a
tensor and step, first-order derivatives at the start, and a scale and shift of each
normalisation for every step. The cosine schedule of the outer rate is `Training.schedule`.
Departures: normalisation uses batch statistics, as the authors' released code does, where the
paper keeps running ones for every step; epochs of the paper are given in iterations.
"""

from __future__ import annotations

from dataclasses import dataclass

from learners.inner_loop import GradientLearner, InnerLoop
from learners.networks import Network


@dataclass(frozen=True)
class Annealing:
    """How long the two schedules of MAML++ last, in meta-iterations.

    Args:
        multi_step: until the loss counts the last inner step alone.
        first_order: until derivatives are second-order.
    """

    multi_step: int = 5000
    first_order: int = 0


def maml_plus_plus(
    network: Network,
    *,
    steps: int = 5,
    rate: float = 0.1,
    annealing: Annealing | None = None,
    query_statistics: bool = False,
) -> GradientLearner:
    """Return MAML++; `rate` is where every learned rate starts."""
    annealing = annealing or Annealing()
    loop = InnerLoop(
        steps=steps,
        rate=rate,
        learned_rates="layer_step",
        first_order_until=annealing.first_order,
        multi_step_until=annealing.multi_step,
        step_norm=True,
        query_statistics=query_statistics,
    )
    return GradientLearner(network, loop)
