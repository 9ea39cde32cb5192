"""A learned performance model by a small network: which configs a dataset like this ranks first.

ListNet (Cao et al., 2007; `learners.list_ranking` has the equations): a network over (encoded
config, meta-features), one list a past dataset, trained on the cross-entropy of the
probabilities to be first. The judgment of a config of regret r is y = -r / `TEMPERATURE`, so that
a config is e times as probable as one whose regret is a tenth of the dataset's range higher. A
meta-feature that is missing counts as the past datasets' median, which is 0.

The width, the temperature, the decay, the rate and the number of steps were chosen on half 0 of
auto-sklearn's groups (`benchmarks.recommend.dense` says what that is) and this project's own
collected runs (`benchmarks.recommend.collect`), by how good the first ten of lists left out in
five folds were.

The one bridge from past runs to `learners.list_ranking`. Kept apart, for it needs torch.

Notation: D datasets, P configs, d columns of an encoded config, F meta-features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from learners.episode import Episodes, Examples
from learners.learner import State
from learners.list_ranking import ListNet
from learners.networks import MLP, without_net
from metastore.view import FloatArray, IntArray
from recommenders.learned_runs import PastRuns
from recommenders.lineage import Course
from recommenders.rank_model import DECIMALS, Lists, joined
from recommenders.run_episodes import Runs
from recommenders.surrogate_training import META_BATCH, Plan, tensors

WIDTH = 64
RUNS = 32
"""Configs of one dataset in a list at most, drawn anew each time."""

ITERATIONS = 300
TEMPERATURE = 0.1
DECAY = 1e-3
RATE = 3e-3


@dataclass(frozen=True, eq=False)
class Drawn:
    """Lists of at most `RUNS` runs of one past dataset, every second one in the query.

    Args:
        tables: inputs `(n, d + F)` and judgments `(n,)` of each dataset, n at least 2.
        seed: which stream of lists.
    """

    tables: Sequence[Runs] = field(repr=False)
    seed: int

    @cached_property
    def _joined(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All inputs and judgments, sizes `(D,)` of the datasets, and where each begins `(D,)`."""
        x, y = (torch.cat(parts) for parts in zip(*self.tables, strict=True))
        sizes = torch.tensor([len(one) for _, one in self.tables])
        return x, y[:, None], sizes, sizes.cumsum(0) - sizes

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return batch number `index`; all of its lists are drawn together, which is faster."""
        x, y, sizes, starts = self._joined
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        drawn = torch.randint(len(sizes), (n_episodes,), generator=generator)
        size, start, most = sizes[drawn, None], starts[drawn, None], int(sizes.max())
        order = torch.rand(n_episodes, most, generator=generator)
        order = order.masked_fill(torch.arange(most) >= size, -1.0)  # what is not there comes last
        place = order.topk(min(RUNS, most)).indices
        mask = place < size
        rows = start + place.where(mask, 0)
        both = Examples(x[rows], y[rows], mask)
        support, query = (Examples(*(part[:, half::2] for part in both)) for half in (0, 1))
        return Episodes(support, query, 0)


@dataclass(frozen=True, eq=False)
class RankNetwork:
    """A trained network; `state` is None where no past list says which of two is better."""

    learner: ListNet
    state: State | None = field(repr=False)

    def scores(self, points: FloatArray, described: FloatArray) -> FloatArray:
        """Return scores `(D, P)`, the higher the better, of configs `(P, d)` on datasets `(D, F)`.

        They compare the configs of one dataset, not datasets.
        """
        if self.state is None or not len(points):
            return np.zeros((len(described), len(points)))
        # In float64, so that how many are asked about at once changes no digit that is kept.
        network = {name: value.double() for name, value in without_net(self.state).items()}
        everyone = torch.ones(len(points), dtype=torch.bool)
        found = []
        with torch.no_grad():
            for one in described:
                rows = torch.from_numpy(inputs(points, one))
                found.append(self.learner.network(network, rows, everyone)[:, 0].numpy())
        return np.stack(found).round(DECIMALS)


def learn(lists: Lists, rows: IntArray, plan: Plan) -> RankNetwork:
    """Return the network that some past datasets teach, from the cache where it is there.

    Args:
        lists: past datasets' configs.
        rows: which of them are learned from.
        plan: how to train; `ITERATIONS` unless it says how many.
    """
    past = _taught(lists, rows)
    columns = lists.points[0].shape[1] + lists.described.shape[1]
    learner = ListNet(MLP((columns, WIDTH, WIDTH, 1)), DECAY)
    if not past:
        return RankNetwork(learner, None)
    course = Course(
        name="rank-network",
        past=past,
        datasets=(),  # a second a network: what is refreshed would hang on earlier questions
        iterations=plan.iterations or ITERATIONS,
        rate=RATE,
        seed=plan.seed,
        settings=(WIDTH, RUNS, DECAY, META_BATCH, RATE),
        asked=plan.iterations,
    )
    return RankNetwork(learner, plan.train(learner, Drawn(tensors(past), plan.seed), course))


def _taught(lists: Lists, rows: IntArray) -> PastRuns:
    """Return inputs `(n, d + F)` and judgments `(n,)` of the datasets whose regrets differ."""
    return [
        (inputs(lists.points[i], lists.described[i]), -lists.regrets[i] / TEMPERATURE)
        for i in rows.tolist()
        if len(lists.regrets[i]) and np.ptp(lists.regrets[i]) > 0
    ]


def inputs(points: FloatArray, described: FloatArray) -> FloatArray:
    """Return inputs `(P, d + F)` of configs `(P, d)` on one dataset `(F,)`."""
    return joined(points, np.where(np.isfinite(described), described, 0.0))
