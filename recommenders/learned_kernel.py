"""A kernel over configs learned from past datasets: alike is what scored alike, not what is near.

Deep kernel learning (Wilson et al., 2016, eq. 5) with past datasets as episodes, as in FSBO
(Wistuba and Grabocka, 2021): a network maps encoded configs to features, and network and kernel
together maximise the marginal likelihood of 2 to 50 runs of one dataset at a time. Departure:
level and scale of a dataset's scores are averaged over in closed form
(`learners.deep_kernel.ScaleFreeDeepKernel`), where the paper draws them at random for every
episode. Random scales reach ten times the deviation of the scores, and the likelihood of those
few episodes drowns the others: on 20 development tasks of openml_pimp's SVC table components on
the kernel so learned explained 40 scores of a new dataset by 5 nats less than those on a Matern
kernel of the encoded configs, those on the kernel learned here by 5 nats more.

The one bridge from past runs to `learners.deep_kernel` for `recommenders.deep_mixture`. Kept
apart, for it needs torch.

Notation: n runs of a dataset, d columns of an encoded config.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from learners.deep_kernel import DeepKernel, ScaleFreeDeepKernel
from learners.episode import Episodes
from learners.learner import State
from learners.networks import MLP
from metastore.view import FloatArray
from recommenders.learned_runs import PastRuns
from recommenders.lineage import Course
from recommenders.run_episodes import Runs, episodes_of
from recommenders.surrogate_training import META_BATCH, Plan, tensors

WIDTH = 64
FEATURES = 16
RUNS = 50
ITERATIONS = 1_000
"""Longer training, or a wider network, explained new datasets no better."""

RATE = 2e-3


@dataclass(frozen=True, eq=False)
class Subsets:
    """Episodes of 2 to `RUNS` runs of one past dataset, in halves: the likelihood takes both.

    Args:
        tables: points `(n, d)` and scores `(n,)` of each dataset, n at least 2.
        seed: which stream of episodes.
    """

    tables: Sequence[tuple[Tensor, Tensor]] = field(repr=False)
    seed: int

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return batch number `index`."""
        return episodes_of(self.tables, (self.seed, index), n_episodes, RUNS, _some)


def _some(runs: Runs, generator: torch.Generator) -> Runs:
    x, y = runs
    most = int(torch.randint(2, RUNS + 1, (), generator=generator))
    rows = torch.randperm(len(x), generator=generator)[:most]
    return x[rows], y[rows]


@dataclass(frozen=True, eq=False)
class LearnedKernel:
    """A trained kernel: Matern-5/2 of unit variance over `features`."""

    learner: DeepKernel
    state: State

    def features(self, points: FloatArray) -> FloatArray:
        """Return the features `(n, FEATURES)`, over their lengthscales, of points `(n, d)`."""
        x = torch.from_numpy(np.ascontiguousarray(points)).float()
        mask = torch.ones(len(x), dtype=torch.bool)
        with torch.no_grad():
            found = self.learner.features(self.state, x, mask)
        features: FloatArray = found.double().numpy()
        return features


def learn(episodes: PastRuns, plan: Plan, datasets: Sequence[str] = ()) -> LearnedKernel:
    """Return the kernel that past datasets teach, from the cache where it is there.

    Always on the processor and on one thread: the network is too small for anything else to pay.

    Args:
        episodes: points `(n, d)` and scores `(n,)`, larger-is-better and not all equal, of each
            past dataset.
        plan: how to train; `ITERATIONS` unless it says how many.
        datasets: names of the past datasets, by which what is kept can be refreshed.
    """
    network = MLP((episodes[0][0].shape[1], WIDTH, WIDTH, FEATURES))
    learner = ScaleFreeDeepKernel(network, FEATURES)
    plan = replace(plan, device="cpu", iterations=plan.iterations or ITERATIONS)
    course = Course(
        name="learned-kernel",
        past=episodes,
        datasets=tuple(datasets),
        iterations=plan.iterations,
        rate=RATE,
        seed=plan.seed,
        settings=(WIDTH, FEATURES, RUNS, META_BATCH, RATE),
        asked=plan.iterations,
    )
    # The level does not matter, but its digits would be lost to the scores.
    tables = tensors([(points, _standardised(scores)) for points, scores in episodes])
    return LearnedKernel(learner, plan.train(learner, Subsets(tables, plan.seed), course))


def _standardised(scores: FloatArray) -> FloatArray:
    standardised: FloatArray = (scores - scores.mean()) / scores.std()
    return standardised
