"""MAML: Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning", ICML 2017, algorithms 1 to 3.

Computed: theta <- theta - beta d/dtheta sum_i L_q(theta - alpha dL_s(theta)/dtheta), with the
derivative taken through the inner steps. Departures: Adam is the outer optimizer, as in the
authors' code; batch statistics of a query set come from the support set unless asked
otherwise (`InnerLoop.query_statistics`); normalisation has a scale beside its shift.
"""

from __future__ import annotations

from learners.inner_loop import GradientLearner, InnerLoop
from learners.networks import Network


def maml(
    network: Network,
    *,
    steps: int = 1,
    rate: float = 0.4,
    regression: bool = False,
    query_statistics: bool = False,
) -> GradientLearner:
    """Return MAML for a network; the defaults are those of Omniglot 5-way.

    Args:
        network: what adapts.
        steps: inner gradient steps in meta-training.
        rate: inner step size alpha.
        regression: whether targets are numbers rather than classes.
        query_statistics: whether query batches are normalised by themselves (transductive).
    """
    loop = InnerLoop(steps=steps, rate=rate, query_statistics=query_statistics)
    return GradientLearner(network, loop, regression)
