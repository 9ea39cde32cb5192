"""ANIL: Raghu, Raghu, Bengio and Vinyals, "Rapid Learning or Feature Reuse?", ICLR 2020, sec. 4.

Computed: MAML's meta-gradient where only the last layer adapts in the inner loop.
Departures: as MAML's.
"""

from __future__ import annotations

from learners.inner_loop import GradientLearner, InnerLoop
from learners.networks import Network


def anil(
    network: Network,
    *,
    steps: int = 1,
    rate: float = 0.1,
    regression: bool = False,
    query_statistics: bool = False,
) -> GradientLearner:
    """Return ANIL: the parameters named `head...` adapt; arguments as `learners.maml.maml`."""
    loop = InnerLoop(steps=steps, rate=rate, adapts=("head",), query_statistics=query_statistics)
    return GradientLearner(network, loop, regression)
