"""Prototypical networks: Snell, Swersky and Zemel, NeurIPS 2017, equations 1 and 2.

Computed: a class is the mean of its embedded support set, and a query's log-odds are minus
its squared Euclidean distance to each. Departures: batch normalisation is by the statistics
of support and query together while training, as in the authors' code, but by population
statistics from training episodes afterwards (`finish`), where theirs keeps a running average.

Notation
    z   embeddings `(n, d)`
    c   prototypes `(n_way, d)`
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.embedding import EmbeddingLearner
from learners.episode import Examples
from learners.learner import State


@dataclass(frozen=True)
class ProtoNet(EmbeddingLearner):
    """Prototypical network over an embedding network (one with `n_out=0`, or an MLP).

    Args:
        network: maps inputs `(n, *shape)` to embeddings `(n, d)`.
    """

    def compare(
        self, state: State, support: Examples, z: Tensor, query_z: Tensor, n_way: int
    ) -> Tensor:
        """Return minus the squared distances `(n_query, n_way)`; absent classes get -inf."""
        centres, present = prototypes(z, support.y, support.mask, n_way)
        distance = (
            query_z.square().sum(1, keepdim=True)
            - 2 * query_z @ centres.T
            + centres.square().sum(1)
        )
        return torch.where(present, -distance, -torch.inf)


def prototypes(z: Tensor, y: Tensor, mask: Tensor, n_way: int) -> tuple[Tensor, Tensor]:
    """Return the mean embedding of each class `(n_way, d)` and which classes are present.

    >>> z, y = torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([0, 0, 1])
    >>> prototypes(z, y, torch.tensor([True, True, True]), 2)[0]
    tensor([[1.],
            [5.]])
    """
    member = nnf.one_hot(y, n_way).to(z.dtype) * mask.to(z.dtype)[:, None]
    count = member.sum(0)
    return member.T @ z / count.clamp(min=1)[:, None], count > 0
