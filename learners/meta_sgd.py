"""Meta-SGD: Li, Zhou, Chen and Li, "Meta-SGD: Learning to Learn Quickly", 2017, equation 1.

Computed: phi = theta - alpha * dL_s(theta)/dtheta, elementwise, where alpha has theta's shape
and is meta-learned with it; a step size may become negative. Departures: every alpha starts
at the same rate rather than at a random one; batch statistics as in MAML.
"""

from __future__ import annotations

from learners.inner_loop import GradientLearner, InnerLoop
from learners.networks import Network


def meta_sgd(
    network: Network,
    *,
    steps: int = 1,
    rate: float = 0.1,
    regression: bool = False,
    query_statistics: bool = False,
) -> GradientLearner:
    """Return Meta-SGD; `rate` is where every step size starts, the rest as in MAML."""
    loop = InnerLoop(
        steps=steps, rate=rate, learned_rates="weight", query_statistics=query_statistics
    )
    return GradientLearner(network, loop, regression)
