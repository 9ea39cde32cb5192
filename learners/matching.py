"""Matching networks: Vinyals, Blundell, Lillicrap, Kavukcuoglu and Wierstra, NeurIPS 2016.

Computed: P(class | query) is the attention that the query pays to the support rows of the
class, a softmax over cosine similarities (equation 1 and section 2.1.1). With
`context_steps`, full-context embeddings: support rows are read by a bidirectional LSTM and a
query attends to them over K steps (appendices A.1, A.2). Departures: batch normalisation as
in `learners.embedding`; a `sharpness` other than 1 multiplies the cosines before the softmax.
Cosines lie within 2 of each other, so that at 1 the published attention stays near uniform over
many classes whatever the embedding, and a loss over 60 of them says little about the nearest
(Gidaris and Komodakis, CVPR 2018, section 3.2, give cosines such a factor).

Notation
    f', g'      embeddings of one example by the network `(d,)`
    g_i         h_forward_i + h_backward_i + g'_i
    h_k         LSTM(f', [h_{k-1}, r_{k-1}]) + f', r_k = sum_i softmax_i(h_k . g_i) g_i; the paper
                does not say what h_0 is: here f'
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.embedding import EmbeddingLearner
from learners.episode import Examples
from learners.errors import LearnerError
from learners.learner import State
from learners.recurrent import lstm

_TINY = 1e-12


@dataclass(frozen=True)
class Matching(EmbeddingLearner):
    """Matching network over an embedding network.

    Args:
        network: maps inputs `(n, *shape)` to embeddings `(n, d)`.
        context_steps: K of the full-context embeddings, 0 for none. With them the order of
            the support set matters, as published.
        n_features: d; needed with full-context embeddings.
        sharpness: factor of the cosines; 1 as published.
    """

    context_steps: int = 0
    n_features: int = 0
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        if self.context_steps < 0 or (self.context_steps and self.n_features < 1):
            raise LearnerError(
                "full-context embeddings need context_steps of 1 or more and the embedding's "
                f"width; got context_steps={self.context_steps}, n_features={self.n_features}"
            )
        if not 0 < self.sharpness < math.inf:
            raise LearnerError(f"sharpness is a positive factor, got {self.sharpness}")

    @property
    def ordered(self) -> bool:
        """Whether there are full-context embeddings, which read a sequence."""
        return bool(self.context_steps)

    def init(self, seed: int) -> State:
        """Return the network's parameters and those of the three LSTM cells, if any."""
        state = super().init(seed)
        if self.context_steps:
            d = self.n_features
            generator = torch.Generator().manual_seed(seed + 1)
            for name, width in (("forward", 2 * d), ("backward", 2 * d), ("attend", 3 * d)):
                bound = 1 / math.sqrt(d)
                weight = torch.rand(width, 4 * d, generator=generator)
                state[f"fce.{name}.weight"] = bound * (2 * weight - 1)
                state[f"fce.{name}.bias"] = torch.zeros(4 * d)
        return state

    def compare(
        self, state: State, support: Examples, z: Tensor, query_z: Tensor, n_way: int
    ) -> Tensor:
        """Return log class probabilities `(n_query, n_way)`; absent classes get -27.6."""
        if self.context_steps:
            z = read_support(state, z, support.mask)
            query_z = attend(state, query_z, z, support.mask, self.context_steps)
        similarity = nnf.normalize(query_z, dim=1) @ nnf.normalize(z, dim=1).T
        attention = (self.sharpness * similarity).masked_fill(~support.mask, -torch.inf).softmax(1)
        member = nnf.one_hot(support.y, n_way).to(z.dtype)
        return (attention @ member).clamp(min=_TINY).log()


def read_support(state: State, z: Tensor, mask: Tensor) -> Tensor:
    """Return the support embeddings in the light of the whole set `(n, d)`."""

    def read(direction: str, rows: range) -> list[Tensor]:
        h = c = torch.zeros_like(z[0])
        read_: dict[int, Tensor] = {}
        for i in rows:
            new_h, new_c = lstm(state, f"fce.{direction}", torch.cat([z[i], h]), c)
            # Padding is passed over: it changes neither state.
            h, c = torch.where(mask[i], new_h, h), torch.where(mask[i], new_c, c)
            read_[i] = h
        return [read_[i] for i in range(z.shape[0])]

    n = z.shape[0]
    forward, backward = read("forward", range(n)), read("backward", range(n - 1, -1, -1))
    return torch.stack(forward) + torch.stack(backward) + z


def attend(state: State, query_z: Tensor, g: Tensor, mask: Tensor, steps: int) -> Tensor:
    """Return query embeddings after `steps` looks at the support set `(n_query, d)`."""
    h, c = query_z, torch.zeros_like(query_z)
    for _ in range(steps):
        scores = (h @ g.T).masked_fill(~mask, -torch.inf)
        r = scores.softmax(-1) @ g
        new_h, c = lstm(state, "fce.attend", torch.cat([query_z, h, r], -1), c)
        h = new_h + query_z
    return h
