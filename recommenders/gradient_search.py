"""A network meta-learned on past datasets' runs that a few gradient steps adapt to a new one.

Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML
2017, algorithm 2 (few-shot regression), with past datasets as tasks: from an encoded config to its
score. The start of the network is learned so that gradient steps on 1 to 25 runs of a dataset
lower the error on others of its runs. A new dataset's observed runs adapt it before each answer.

Departures: scores are put on the scale of the observed ones, which a new dataset can be put on,
too; Adam is the outer optimizer, as in the authors' code for regression. The adapted network says
what it expects and not how sure it is: its deviation is the same for all configs, its error on
past datasets, so that the config of highest expected improvement is the one of highest mean.
What it is asked, and where it is kept: see `recommenders.surrogate_search`.

On 40 development tasks of openml_pimp's SVC table its mean regret after 5, 10, 25 and 50 configs
was .055, .043, .024 and .020, where `empirical_bayes` had .045, .031, .008 and .003
(`benchmarks.recommend.own_configs --tasks development --table svc`): it is there to be compared
with. Neither wider layers nor larger inner steps lowered its error on datasets held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from recommenders.surrogate_search import Runs, Surrogate, SurrogateSearch


class GradientSearch(SurrogateSearch):
    """Chooses by a network that MAML trained on past datasets and a few steps adapt."""

    name: ClassVar[str] = "maml"

    def train(self, episodes: Mapping[str, Runs]) -> Surrogate:
        """Return the network that past datasets' runs teach."""
        from recommenders.gradient_surrogate import train  # noqa: PLC0415 - needs torch
        from recommenders.surrogate_training import Plan  # noqa: PLC0415

        plan = Plan(
            self.iterations, self.seed, self.device, self.cache, self.progress, self.refresh
        )
        return train(list(episodes.values()), plan, tuple(episodes))
