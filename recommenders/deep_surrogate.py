"""The deep-kernel process of `recommenders.deep_kernel`: trained, cached, and asked.

The one bridge from past runs to `learners.deep_kernel`. Kept apart, for it needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from learners.deep_kernel import DeepKernel, predict_distribution
from learners.episode import Episodes, Examples
from learners.execution import Execution
from learners.learner import Phase, State
from learners.networks import MLP
from metastore.view import FloatArray
from recommenders.learned_runs import PastRuns
from recommenders.lineage import Course
from recommenders.run_episodes import Runs, episodes_of
from recommenders.surrogate_search import Predict
from recommenders.surrogate_training import Plan, run_set, tensors

WIDTH = 64
FEATURES = 16
RUNS = 50
"""Runs of one dataset in an episode, as in the paper."""

RATE = 1e-3
FINE_TUNE_RATE = 1e-3
LEAST = 1e-3
"""Smallest deviation that an expected improvement is given, in units of the observed range."""


@dataclass(frozen=True, eq=False)
class RescaledRuns:
    """Episodes of past datasets' runs, scores on a random scale of their own.

    Scores y become (y - l) / (u - l) with l < u drawn from the range of the dataset's scores
    (Wistuba and Grabocka, 2021, algorithm 1). Support and query are halves of the batch: the
    marginal likelihood takes both together.

    Args:
        tables: points `(n, d)` and scores `(n,)` of each dataset.
        seed: which stream of episodes.
    """

    tables: Sequence[tuple[Tensor, Tensor]] = field(repr=False)
    seed: int

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return batch number `index`."""
        return episodes_of(self.tables, (self.seed, index), n_episodes, RUNS, _rescaled)


def _rescaled(runs: Runs, generator: torch.Generator) -> Runs:
    x, y = runs
    rows = torch.randperm(len(x), generator=generator)[:RUNS]
    ends = torch.rand(2, generator=generator).sort().values * (y.max() - y.min()) + y.min()
    return x[rows], (y[rows] - ends[0]) / (ends[1] - ends[0]).clamp(min=0.1 * float(y.std()))


@dataclass(frozen=True, eq=False)
class DeepSurrogate:
    """A trained process: `adapted` gives what predicts for one task."""

    learner: DeepKernel
    state: State

    def adapted(self, points: FloatArray, scores: FloatArray, steps: int) -> Predict:
        """Return what predicts, after some steps on the runs of the task itself.

        Args:
            points: `(k, d)` encoded configs that were observed.
            scores: `(k,)` their scores, larger-is-better.
            steps: of Adam on their marginal likelihood.
        """
        low, spread = float(scores.min()), float(np.ptp(scores))
        spread = spread if spread > 0 else 1.0
        state = self.state
        if steps and len(scores) > 1:
            state = self._tuned(run_set(points, (scores - low) / spread), steps)

        def predict(
            seen: FloatArray, values: FloatArray, asked: FloatArray
        ) -> tuple[FloatArray, FloatArray]:
            support = run_set(seen, (values - low) / spread)
            found = self.learner.adapt(state, support)
            mean, deviation = predict_distribution(found, torch.from_numpy(asked).float())
            deviations = deviation.double().numpy().clip(min=LEAST)
            return low + spread * mean[:, 0].double().numpy(), spread * deviations

        return predict

    def _tuned(self, runs: Examples, steps: int) -> State:
        batch = Examples(*(part[None] for part in runs))
        nothing = Examples(*(part[:, :0] for part in batch))
        state = {name: value.clone() for name, value in self.state.items()}
        optimizer = torch.optim.Adam(list(state.values()), lr=FINE_TUNE_RATE)
        for _ in range(steps):
            gradient, _ = self.learner.meta_gradient(
                state, Episodes(batch, nothing, 0), Phase(), Execution()
            )
            for name, value in state.items():
                value.grad = gradient[name]
            optimizer.step()
        return {name: value.detach() for name, value in state.items()}


def train(episodes: PastRuns, plan: Plan, datasets: Sequence[str] = ()) -> DeepSurrogate:
    """Return the process that past datasets teach, from the cache where it is there.

    Args:
        episodes: points `(n, d)` and scores `(n,)`, larger-is-better, of each past dataset.
        plan: how to train.
        datasets: names of the past datasets, by which what is kept can be refreshed.
    """
    columns = episodes[0][0].shape[1]
    learner = DeepKernel(
        MLP((columns, WIDTH, WIDTH, FEATURES)), FEATURES, regression=True, noise=0.01
    )
    course = Course(
        name="deep-kernel",
        past=episodes,
        datasets=tuple(datasets),
        iterations=plan.steps(sum(len(scores) for _, scores in episodes)),
        rate=RATE,
        seed=plan.seed,
        settings=(WIDTH, FEATURES, RUNS),
        asked=plan.iterations,
    )
    sampler = RescaledRuns(tensors(episodes), plan.seed)
    return DeepSurrogate(learner, plan.train(learner, sampler, course))
