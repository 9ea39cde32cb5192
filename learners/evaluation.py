"""How good a learner is on episodes of classes or tables it has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.episode import Examples
from learners.errors import LearnerError
from learners.execution import Execution
from learners.learner import Learner, State
from learners.samplers import Sampler, in_order_for


@dataclass(frozen=True)
class Score:
    """A mean over episodes with a 95% interval.

    Args:
        mean: accuracy as a share, or mean squared error.
        half_width: 1.96 standard errors over episodes.
        n_episodes: how many.
        larger_is_better: True for accuracy.
    """

    mean: float
    half_width: float
    n_episodes: int
    larger_is_better: bool

    def better_than(self, other: Score | None) -> bool:
        """Whether this mean is finite and strictly better; anything finite is better than None."""
        if other is None:
            return math.isfinite(self.mean)
        return self.mean > other.mean if self.larger_is_better else self.mean < other.mean

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.half_width:.4f}"


def evaluate(
    learner: Learner,
    state: State,
    sampler: Sampler,
    n_episodes: int = 600,
    execution: Execution | None = None,
) -> Score:
    """Return the mean accuracy or squared error over the first `n_episodes` of a sampler.

    Args:
        learner: the method.
        state: what meta-training gave.
        sampler: test episodes.
        n_episodes: how many, at least 2.
        execution: how batches run.

    Raises:
        LearnerError: if fewer than two episodes are asked for.
    """
    if n_episodes < 2:
        raise LearnerError(f"an interval needs at least 2 episodes, got {n_episodes}")
    execution = execution or Execution()
    sampler = in_order_for(learner, sampler)
    values: list[Tensor] = []
    index, left = 0, n_episodes
    while left:
        # A fixed batch, so that the episodes do not depend on how they are executed.
        batch = sampler.sample(index, 20)[: min(20, left)].to(execution.device)
        for part in batch.split(learner.chunk(batch, execution)):
            with execution.autocast():
                predicted = learner.adapt(state, part.support, part.n_way).predict(
                    part.query.x, part.query.mask
                )
            values.append(_each(learner, predicted.float(), part.query))
        index, left = index + 1, left - len(batch)
    each = torch.cat(values).double()
    half_width = 1.96 * float(each.std()) / math.sqrt(n_episodes)
    return Score(float(each.mean()), half_width, n_episodes, learner.classification)


def _each(learner: Learner, predicted: Tensor, query: Examples) -> Tensor:
    """Return the accuracy or the squared error of each episode `(B,)`."""
    weight = query.mask.float()
    if learner.classification:
        values = (predicted.argmax(-1) == query.y).float()
    else:
        values = (predicted - query.y).square().mean(-1)
    return (values * weight).sum(1) / weight.sum(1)
