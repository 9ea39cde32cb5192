"""The network of `recommenders.gradient_search`: meta-trained, cached, and adapted.

Apart from it, for it needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from learners.episode import Episodes
from learners.evaluation import evaluate
from learners.inner_loop import GradientLearner
from learners.learner import State
from learners.maml import maml
from learners.networks import MLP
from metastore.view import FloatArray
from recommenders.learned_runs import PastRuns
from recommenders.lineage import Course
from recommenders.run_episodes import Runs, episodes_of
from recommenders.surrogate_search import Predict
from recommenders.surrogate_training import Plan, run_set, tensors

WIDTH = 64
RUNS = 50
"""Runs of one dataset in an episode at most: half to adapt to, half to be right about."""

RATE = 1e-3
INNER_RATE = 0.05
INNER_STEPS = 5
FURTHEST = 5.0
"""Scores further than that many deviations from the mean count as that far."""

SMALLEST = 0.1
"""Least unit of an episode, as a share of the deviation of all of the dataset's scores."""

MOST = 1_000
"""Meta-training steps, unless more are asked for: half a minute."""

JUDGED = 128
"""Episodes by which the error is measured."""


@dataclass(frozen=True, eq=False)
class StandardisedRuns:
    """Episodes of 2 to `RUNS` runs of one past dataset, on the scale of the support set's scores.

    Args:
        tables: points `(n, d)` and scores `(n,)` of each dataset.
        seed: which stream of episodes.
    """

    tables: Sequence[Runs] = field(repr=False)
    seed: int

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return batch number `index`."""
        return episodes_of(self.tables, (self.seed, index), n_episodes, RUNS, _standardised)


def _standardised(runs: Runs, generator: torch.Generator) -> Runs:
    x, y = runs
    most = int(torch.randint(2, RUNS + 1, (), generator=generator))
    rows = torch.randperm(len(x), generator=generator)[:most]
    drawn = y[rows]
    support = drawn[: (len(drawn) + 1) // 2]
    whole = float(y.std())
    # One run, or equal ones, have no scale of their own.
    unit = max(float(support.std(unbiased=False)), SMALLEST * whole) if len(support) > 1 else whole
    return x[rows], ((drawn - support.mean()) / unit).clamp(-FURTHEST, FURTHEST)


@dataclass(frozen=True, eq=False)
class GradientSurrogate:
    """A meta-trained network.

    Args:
        learner: MAML of it.
        state: what was learned.
        error: root mean square error after adapting, in the unit of an episode.
    """

    learner: GradientLearner
    state: State
    error: float

    def adapted(self, points: FloatArray, scores: FloatArray, steps: int) -> Predict:
        """Return what predicts after `steps` gradient steps on what is then said to be seen."""
        learner = self.learner.predicting(max(steps, 1))
        unit = float(scores.std()) or 1.0

        def predict(
            seen: FloatArray, values: FloatArray, asked: FloatArray
        ) -> tuple[FloatArray, FloatArray]:
            centre = float(values.mean())
            standard = ((values - centre) / unit).clip(-FURTHEST, FURTHEST)
            found = learner.adapt(self.state, run_set(seen, standard))
            mean: Tensor = found.predict(torch.from_numpy(asked).float())[:, 0]
            means: FloatArray = centre + unit * mean.double().numpy()
            return means, np.full(len(means), unit * self.error)

        return predict


def train(episodes: PastRuns, plan: Plan, datasets: Sequence[str] = ()) -> GradientSurrogate:
    """Return the network that past datasets teach, from the cache where it is there.

    Args:
        episodes: points `(n, d)` and scores `(n,)`, larger-is-better, of each past dataset.
        plan: how to train.
        datasets: names of the past datasets, by which what is kept can be refreshed.
    """
    network = MLP((episodes[0][0].shape[1], WIDTH, WIDTH, 1))
    learner = maml(network, steps=INNER_STEPS, rate=INNER_RATE, regression=True)
    tables = tensors(episodes)
    course = Course(
        name="maml",
        past=episodes,
        datasets=tuple(datasets),
        iterations=plan.iterations or min(MOST, plan.steps(sum(len(y) for _, y in episodes))),
        rate=RATE,
        seed=plan.seed,
        settings=(WIDTH, RUNS, INNER_RATE, INNER_STEPS),
        asked=plan.iterations,
    )
    state = plan.train(learner, StandardisedRuns(tables, plan.seed), course)
    judged = evaluate(learner, state, StandardisedRuns(tables, plan.seed + 1), JUDGED)
    return GradientSurrogate(learner, state, float(np.sqrt(judged.mean)))
