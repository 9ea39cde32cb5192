"""First-order MAML: Finn, Abbeel and Levine, ICML 2017, section 5.2; Nichol et al. 2018, eq. 2.

Computed: theta <- theta - beta sum_i dL_q/dphi at phi_T, the inner gradients being constants.
Departures: as MAML's.
"""

from __future__ import annotations

from learners.inner_loop import GradientLearner, InnerLoop
from learners.networks import Network


def fomaml(
    network: Network,
    *,
    steps: int = 1,
    rate: float = 0.4,
    regression: bool = False,
    query_statistics: bool = False,
) -> GradientLearner:
    """Return first-order MAML; arguments as `learners.maml.maml` has them."""
    loop = InnerLoop(steps=steps, rate=rate, first_order=True, query_statistics=query_statistics)
    return GradientLearner(network, loop, regression)
