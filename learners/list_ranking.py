"""ListNet: a network that puts the rows of a list in order, learned from whole lists.

Cao, Qin, Liu, Tsai and Li, "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML
2007. Scores of a list become the probability of each row to be ranked first (their top one
probability with phi = exp),

    P_s(j) = exp(s_j) / sum_k exp(s_k)

and the loss of a list is the cross-entropy between that of its judgments y and that of the
network's scores z,

    L(y, z) = - sum_j P_y(j) log P_z(j)

An episode is one list: support and query are its two parts, which the loss takes together, and
nothing is learned from a support set when asked. Departure: half `decay` times the sum of squares
of the parameters is added, which the paper does without.

Notation: n rows of a list, n_out = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learners.episode import Examples
from learners.errors import LearnerError
from learners.execution import Execution
from learners.learner import Learner, Phase, State
from learners.losses import at_least_float32
from learners.networks import Network, under_net, without_net


@dataclass(frozen=True)
class ListNet(Learner):
    """Scores rows so that those of high targets come first.

    Args:
        network: from a row to one number; rows must not see each other.
        decay: of the parameters towards zero.

    Raises:
        LearnerError: if the network normalises by batches, or `decay` is negative.
    """

    network: Network
    decay: float = 0.0

    def __post_init__(self) -> None:
        if self.network.normalises:
            raise LearnerError(
                "a ranking network scores each row on its own: take one without batch "
                "normalisation, such as learners.networks.MLP"
            )
        if not self.decay >= 0:
            raise LearnerError(f"decay is 0 or more, got {self.decay}")

    @property
    def classification(self) -> bool:
        """False: targets are judgments, larger for what is to come first."""
        return False

    def init(self, seed: int) -> State:
        """Return the network's fresh parameters."""
        return under_net(self.network.init(torch.Generator().manual_seed(seed)))

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return how many rows there are, which nothing reads: the network alone ranks a list."""
        return {"rows": support.mask.sum()}

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return scores `(n_query, 1)`, the higher the earlier; they compare rows of one list."""
        return self._scored(state, query)[..., None]

    def loss(
        self, state: State, support: Examples, query: Examples, n_way: int, phase: Phase
    ) -> Tensor:
        """Return the loss of the list that support and query make, or of each of several."""
        both = Examples(
            *(
                torch.cat(pair, axis)
                for pair, axis in zip(zip(support, query, strict=True), (-2, -2, -1), strict=True)
            )
        )
        found = list_net(self._scored(state, both), both.y[..., 0], both.mask)
        if not self.decay:
            return found
        return (
            found + 0.5 * self.decay * torch.stack([w.square().sum() for w in state.values()]).sum()
        )

    def several(self, execution: Execution) -> bool:
        """True: rows of all lists go through the network together."""
        return True

    def _scored(self, state: State, rows: Examples) -> Tensor:
        """Return the scores `(..., n)` of rows of numbers `(..., n, d)`."""
        flat = rows.x.flatten(0, -2)
        found = self.network(without_net(state), flat, rows.mask.flatten())
        return found[:, 0].reshape(rows.mask.shape)


def list_net(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the cross-entropies `(...)` of top one probabilities, in nats.

    Args:
        scores: `(..., n)` of the network.
        targets: `(..., n)` judgments, larger for what is to come first.
        mask: `(..., n)` False for padding, which is in no list.
    """
    absent = ~mask
    wanted = at_least_float32(targets).masked_fill(absent, -torch.inf).softmax(-1)
    logs = at_least_float32(scores).masked_fill(absent, -torch.inf).log_softmax(-1)
    return -(wanted * logs.masked_fill(absent, 0.0)).sum(-1)
