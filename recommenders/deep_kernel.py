"""Few-shot Bayesian optimisation with a deep-kernel Gaussian process (FSBO).

Wistuba and Grabocka, "Few-Shot Bayesian Optimization with Deep Kernel Surrogates", ICLR 2021.
Past datasets are the episodes: network and kernel are learned together by the marginal likelihood
of batches of one dataset's runs, whose scores are put on a new random scale each time (section
4.1), so that the process does not come to rely on one. A new dataset's observed runs condition the
process, after some steps on their own marginal likelihood (section 4.2), and the config of highest
expected improvement is next. Until something is observed the configs are those that cover past
datasets, which is what the paper's warm start searches for (section 4.3).

Departures: greedy cover in place of the evolutionary search; conditions on scores scaled to their
own range; several configs at once, and where it is kept: see `recommenders.surrogate_search`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from recommenders.surrogate_search import Runs, Surrogate, SurrogateSearch


class DeepKernelSearch(SurrogateSearch):
    """Chooses by a deep-kernel Gaussian process that was meta-trained on past datasets."""

    name: ClassVar[str] = "deep_kernel"

    def train(self, episodes: Mapping[str, Runs]) -> Surrogate:
        """Return the process that past datasets' runs teach."""
        from recommenders.deep_surrogate import train  # noqa: PLC0415 - needs torch
        from recommenders.surrogate_training import Plan  # noqa: PLC0415

        plan = Plan(
            self.iterations, self.seed, self.device, self.cache, self.progress, self.refresh
        )
        return train(list(episodes.values()), plan, tuple(episodes))
