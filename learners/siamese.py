"""Siamese networks: Koch, Zemel and Salakhutdinov, ICML deep learning workshop 2015, section 3.

Computed: p(same class) = sigmoid(sum_j alpha_j |h1_j - h2_j| + b), trained by cross-entropy on
pairs; a query takes the class whose support rows it most probably matches. Departures: any
embedding network; pairs are every query with every support row of an episode, same and
different pairs weighted equally in sum; with several shots a class's log-odds are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.embedding import EmbeddingLearner
from learners.episode import Examples
from learners.errors import LearnerError
from learners.learner import State

_SHARPNESS = 100.0


@dataclass(frozen=True)
class Siamese(EmbeddingLearner):
    """Siamese network over an embedding network.

    Args:
        network: maps inputs `(n, *shape)` to embeddings `(n, d)`.
        n_features: d, the width of the embeddings.
    """

    n_features: int = 64

    def __post_init__(self) -> None:
        if self.n_features < 1:
            raise LearnerError(f"n_features is the embeddings' width, got {self.n_features}")

    def init(self, seed: int) -> State:
        """Return the network's parameters and the weights of the distance.

        Sigmoids of fresh features lie about a tenth apart: their mean distance counts a hundred
        times, so that pairs differ by several nats from the start. Smaller weights learn slowly,
        since the gradient of everything below is proportional to them.
        """
        return super().init(seed) | {
            "pair.weight": torch.full((self.n_features,), -_SHARPNESS / self.n_features),
            "pair.bias": torch.tensor(0.1 * _SHARPNESS),
        }

    def pairs(self, state: State, z: Tensor, query_z: Tensor) -> Tensor:
        """Return the log-odds that query and support row are of one class `(n_query, n)`."""
        apart = (nnf.sigmoid(query_z)[:, None] - nnf.sigmoid(z)[None]).abs()
        return apart @ state["pair.weight"] + state["pair.bias"]

    def compare(
        self, state: State, support: Examples, z: Tensor, query_z: Tensor, n_way: int
    ) -> Tensor:
        """Return each class's mean log-odds `(n_query, n_way)`; absent classes get -inf."""
        odds = self.pairs(state, z, query_z)
        member = nnf.one_hot(support.y, n_way).to(z.dtype) * support.mask[:, None]
        count = member.sum(0)
        return torch.where(count > 0, odds @ member / count.clamp(min=1), -torch.inf)

    def embedded_loss(self, state: State, support: Examples, query: Examples, n_way: int) -> Tensor:
        """Return the cross-entropy of the pairs in nats, half from same and half from different."""
        odds = self.pairs(state, support.x, query.x)
        real = query.mask[:, None] & support.mask[None]
        same = query.y[:, None] == support.y[None]
        each = nnf.binary_cross_entropy_with_logits(odds, same.to(odds.dtype), reduction="none")
        halves = [
            (each * kind).sum() / kind.sum().clamp(min=1) for kind in (real & same, real & ~same)
        ]
        return 0.5 * (halves[0] + halves[1])
