"""Relation networks: Sung, Yang, Zhang, Xiang, Torr and Hospedales, CVPR 2018, equations 1 and 2.

Computed: a small convolutional network g scores each pair of a class's embedding (the sum over
its support maps) and a query's, both stacked as channels; it is trained by squared error
towards 1 for the same class and 0 for others. Departures: convolutions of g are padded, as
its maps are 7 x 7; batch normalisation as in `learners.embedding`, over the pairs that exist.

Notation
    maps    `(n, c, s, s)`, kept flat as `(n, c s s)`
    pairs   `(n_query n_way, 2c, s, s)`, the class first
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.embedding import EmbeddingLearner
from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.execution import Execution
from learners.learner import Learner, Phase, State
from learners.losses import at_least_float32, masked_mean
from learners.networks import Conv4, convolved, glorot_filters, normalised

_BLOCKS = ("relation.block0", "relation.block1")


@dataclass(frozen=True)
class Relation(EmbeddingLearner):
    """Relation network over `Conv4(0, n_pooled=2)`.

    Args:
        network: embeds images as maps, flattened; a `Conv4` without a head whose maps are at
            least 4 x 4.
        hidden: width of the layer before the score.
    """

    hidden: int = 8

    def __post_init__(self) -> None:
        network = self.network
        if not isinstance(network, Conv4) or network.n_out or network.strided or self._side < 4:
            raise LearnerError(
                "a relation network needs maps of 4 x 4 or more: give Conv4(0, n_pooled=2), "
                f"got {network}"
            )

    @property
    def _side(self) -> int:
        return math.isqrt(self._conv4.n_features // self._conv4.filters)

    @property
    def _conv4(self) -> Conv4:
        if not isinstance(self.network, Conv4):
            raise LearnerError(f"expected a Conv4, got {type(self.network).__name__}")
        return self.network

    def init(self, seed: int) -> State:
        """Return the network's parameters and those of the relation module."""
        state, c = super().init(seed), self._conv4.filters
        generator = torch.Generator().manual_seed(seed + 1)
        for block, fan_in in zip(_BLOCKS, (2 * c, c), strict=True):
            state[f"{block}.weight"] = glorot_filters(fan_in, c, generator)
            state[f"{block}.scale"], state[f"{block}.shift"] = torch.ones(c), torch.zeros(c)
        flat = c * (self._side // 4) ** 2
        for name, n, m in (("hidden", flat, self.hidden), ("score", self.hidden, 1)):
            weight = torch.randn(n, m, generator=generator) / math.sqrt(n)
            state[f"relation.{name}.weight"] = weight
            state[f"relation.{name}.bias"] = torch.zeros(m)
        return state

    def compare(
        self, state: State, support: Examples, z: Tensor, query_z: Tensor, n_way: int
    ) -> Tensor:
        """Return scores in [0, 1] as log-odds of one class `(n_query, n_way)`; absent, -inf."""
        everything = torch.ones_like(query_z[:, 0], dtype=torch.bool)
        queries = Examples(query_z, everything, everything)
        score, present = self._relate(state, support._replace(x=z), queries, n_way)
        return torch.where(present, score, -torch.inf)

    def embedded_loss(self, state: State, support: Examples, query: Examples, n_way: int) -> Tensor:
        """Return the mean squared error of the scores against same class or not."""
        score, present = self._relate(state, support, query, n_way)
        same = nnf.one_hot(query.y, n_way).to(score.dtype)
        apart = (score.sigmoid() - same).square()
        return masked_mean((apart * present).sum(1) / present.sum(), query.mask)

    def meta_gradient(
        self, state: State, episodes: Episodes, phase: Phase, execution: Execution
    ) -> tuple[State, Tensor]:
        """Return gradient and losses; here what compares is convolutions, too, one by one."""
        return Learner.meta_gradient(self, state, episodes, phase, execution)

    def statistics(self, state: State, support: Examples, query: Examples, n_way: int) -> State:
        """Return the moments of the embedding's normalisations and of the relation module's."""
        z, query_z = self.embed_together(state, support, query)
        embedded = support._replace(x=z), query._replace(x=query_z)
        seen: State = {}
        self._relate(state, *embedded, n_way, seen)
        return super().statistics(state, support, query, n_way) | seen

    def _relate(
        self,
        state: State,
        support: Examples,
        query: Examples,
        n_way: int,
        seen: State | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return log-odds `(n_query, n_way)` and which classes are present.

        `x` of both sets holds flat maps; `seen` takes the moments of the normalisations.
        """
        member = nnf.one_hot(support.y, n_way).to(support.x.dtype) * support.mask[:, None]
        present = member.sum(0) > 0
        n, c, side = query.x.shape[0], self._conv4.filters, self._side
        classes = (member.T @ support.x).reshape(n_way, c, side, side)
        # A convolution over stacked channels is the sum of one over each half: n_query + n_way
        # of them, where pairs would take n_query * n_way.
        first = state[f"{_BLOCKS[0]}.weight"]
        of_classes = convolved(classes, first[:, :c])
        of_queries = convolved(query.x.reshape(n, c, side, side), first[:, c:])
        x = (of_queries[:, None] + of_classes).flatten(0, 1)
        real = (query.mask[:, None] & present).flatten()
        x = _pooled(state, _BLOCKS[0], x, real, seen)
        x = _pooled(state, _BLOCKS[1], convolved(x, state[f"{_BLOCKS[1]}.weight"]), real, seen)
        x = x.flatten(1) @ state["relation.hidden.weight"] + state["relation.hidden.bias"]
        x = x.relu() @ state["relation.score.weight"] + state["relation.score.bias"]
        return at_least_float32(x).reshape(n, n_way), present


def _pooled(state: State, block: str, x: Tensor, real: Tensor, seen: State | None) -> Tensor:
    """Return a convolution's output `(n_pairs, c, s, s)` normalised, pooled and cut off at 0."""
    return nnf.max_pool2d(normalised(state, block, x, real, seen), 2).relu()
