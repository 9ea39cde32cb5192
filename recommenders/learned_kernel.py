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

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from learners.deep_kernel import DeepKernel, ScaleFreeDeepKernel
from learners.episode import Episodes
from learners.execution import Execution
from learners.learner import State
from learners.networks import MLP
from learners.training import Budget, Training, meta_train
from metastore.view import FloatArray
from recommenders.run_episodes import Runs, episodes_of

WIDTH = 64
FEATURES = 16
RUNS = 50
META_BATCH = 16
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


def learn(
    episodes: Sequence[tuple[FloatArray, FloatArray]],
    *,
    iterations: int = ITERATIONS,
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = False,
) -> LearnedKernel:
    """Return the kernel that past datasets teach, from the cache where it is there.

    Always on the processor and on one thread: the network is too small for anything else to pay.

    Args:
        episodes: points `(n, d)` and scores `(n,)`, larger-is-better and not all equal, of each
            past dataset.
        iterations: meta-training steps.
        seed: of the network and the episodes.
        cache: folder to keep what was learned in, by content; training that was killed goes on.
        progress: whether to show a progress bar.
    """
    columns = episodes[0][0].shape[1]
    network = MLP((columns, WIDTH, WIDTH, FEATURES))
    learner = ScaleFreeDeepKernel(network, FEATURES)
    tables = [
        # The level does not matter, but its digits would be lost to the scores.
        (torch.from_numpy(points).float(), torch.from_numpy(_standardised(scores)).float())
        for points, scores in episodes
    ]
    path = None
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        path = cache / f"learned-kernel-{_digest(episodes, iterations, seed)}.json"
    settings = Training(
        meta_batch=META_BATCH,
        rate=RATE,
        schedule="cosine",
        clip=10.0,
        seed=seed,
        checkpoint=path,
        progress=progress,
        execution=Execution(),
    )
    trained = meta_train(learner, Subsets(tables, seed), Budget(iterations), settings)
    return LearnedKernel(learner, trained.state)


def _standardised(scores: FloatArray) -> FloatArray:
    standardised: FloatArray = (scores - scores.mean()) / scores.std()
    return standardised


def _digest(episodes: Sequence[tuple[FloatArray, FloatArray]], iterations: int, seed: int) -> str:
    about = f"{iterations}|{seed}|{WIDTH}|{FEATURES}|{RUNS}|{META_BATCH}|{RATE}"
    digest = hashlib.sha256(about.encode())
    for points, scores in episodes:
        digest.update(np.ascontiguousarray(points).tobytes())
        digest.update(np.ascontiguousarray(scores).tobytes())
    return digest.hexdigest()[:24]
