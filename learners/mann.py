"""Memory-augmented neural network: Santoro, Bartunov, Botvinick, Wierstra, Lillicrap, ICML 2016.

Computed: an episode is a sequence; step t sees input x_t beside the label of the step before,
y_{t-1}, so that a label has to be bound to its input in memory. Memory is written where it was
used least or where it was read last (least recently used access, LRUA):

    w^w_t  = sigmoid(alpha) w^r_{t-1} + (1 - sigmoid(alpha)) w^lu_{t-1}      (7)
    M_t(i) = M_{t-1}(i) + w^w_t(i) k_t, least used slots set to zero before   (8)
    w^r_t  = softmax(K(k_t, M_t)), r_t = sum_i w^r_t(i) M_t(i)                (2 to 4)
    w^u_t  = gamma w^u_{t-1} + w^r_t + w^w_t                                  (5)
    w^lu_t = 1 on the n least used slots, 0 elsewhere, n the read heads       (6)

Departures: each head writes to one of the n least used slots, where the paper does not say how
heads share them; ties go to the first slot; `strength` gives the softmax a learned factor, as
in the Neural Turing Machine (the paper's has none); the query set alone is scored, each query
as the next step after the support set, where the paper scores every step of one stream; inputs
may be embedded by a network (the paper takes pixels: `Flatten`).

Notation: as `learners.ntm`, and alpha a learned gate, gamma the decay of usage.
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
from learners.losses import at_least_float32
from learners.networks import Params
from learners.ntm import BLANK, MemoryCell, ask, content, read_sequence
from learners.recurrent import lstm, lstm_init, uniform


@dataclass(frozen=True)
class LRUACell:
    """Controller and memory with least-recently-used access; the defaults are the paper's.

    Args:
        n_slots: rows of the memory.
        width: numbers in a row.
        n_reads: read heads; each writes, too.
        hidden: width of the controller.
        decay: gamma, what usage keeps of itself in a step.
        strength: whether a learned factor sharpens the softmax over cosines.
    """

    n_slots: int = 128
    width: int = 40
    n_reads: int = 4
    hidden: int = 200
    decay: float = 0.95
    strength: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.n_reads <= self.n_slots or min(self.width, self.hidden) < 1:
            raise LearnerError(
                "a memory needs positive sizes and at least as many slots as read heads; got "
                f"{self}"
            )
        if not 0 <= self.decay <= 1:
            raise LearnerError(f"decay is a share from 0 to 1, got {self.decay}")

    @property
    def n_out(self) -> int:
        """Width of the controller's output and what was read."""
        return self.hidden + self.n_reads * self.width

    def init(self, n_in: int, generator: torch.Generator) -> Params:
        """Return the controller `lstm.*` and the layer that makes keys and gates `heads.*`."""
        read = self.n_reads * self.width
        n_heads = self.n_reads * (self.width + 1 + self.strength)
        return lstm_init("lstm", n_in + read, self.hidden, generator) | {
            "heads.weight": uniform((self.hidden, n_heads), self.hidden, generator),
            "heads.bias": torch.zeros(n_heads),
        }

    def start(self, like: Tensor) -> Params:
        """Return an empty memory that nothing was read from."""
        return {
            "memory": like.new_full((self.n_slots, self.width), BLANK),
            "read_at": like.new_zeros(self.n_reads, self.n_slots),
            "usage": like.new_zeros(self.n_slots),
            "read": like.new_zeros(self.n_reads * self.width),
            "h": like.new_zeros(self.hidden),
            "c": like.new_zeros(self.hidden),
        }

    def step(self, params: Params, x: Tensor, carry: Params) -> tuple[Tensor, Params]:
        """Return controller output and reads `(n_out,)`, and the carry after writing."""
        h, c = lstm(params, "lstm", torch.cat([x, carry["read"], carry["h"]]), carry["c"])
        heads = (h @ params["heads.weight"] + params["heads.bias"]).reshape(self.n_reads, -1)
        key, gate = heads[:, : self.width], heads[:, self.width : self.width + 1].sigmoid()
        unused = least_used(carry["usage"], self.n_reads)
        write_at = gate * carry["read_at"] + (1 - gate) * unused
        kept = carry["memory"] * (1 - unused.sum(0))[:, None]
        memory = kept + write_at.T @ key
        factor = 1 + nnf.softplus(heads[:, -1:]) if self.strength else torch.ones_like(gate)
        read_at = content(memory, key, factor)
        usage = self.decay * carry["usage"] + read_at.sum(0) + write_at.sum(0)
        read = (read_at @ memory).flatten()
        after = {"memory": memory, "read_at": read_at, "usage": usage, "read": read}
        return torch.cat([h, read]), after | {"h": h, "c": c}


def least_used(usage: Tensor, n: int) -> Tensor:
    """Return `(n, n_slots)`: row i is 1 at the slot that was used i-th least (eq. 6).

    >>> least_used(torch.tensor([0.5, 0.0, 0.3, 0.0]), 3).int()
    tensor([[0, 1, 0, 0],
            [0, 0, 0, 1],
            [0, 0, 1, 0]], dtype=torch.int32)
    """
    # Stable, so that ties fall alike however a batch is executed.
    order = torch.sort(usage.detach(), stable=True).indices[:n]
    return nnf.one_hot(order, usage.shape[0]).to(usage.dtype)


@dataclass(frozen=True)
class Mann(EmbeddingLearner):
    """Classification of a sequence by a network with a memory.

    Args:
        network: embeds inputs; `Flatten()` takes them as they are.
        n_features: width of the embedding.
        n_way: most classes an episode can have.
        cell: the memory: `LRUACell`, or `NTMCell` which the paper compares with.
    """

    n_features: int = 0
    n_way: int = 5
    cell: MemoryCell = LRUACell()

    def __post_init__(self) -> None:
        if self.n_features < 1 or self.n_way < 1:
            raise LearnerError(
                "a memory network needs the width of its inputs and the number of classes; got "
                f"n_features={self.n_features}, n_way={self.n_way}"
            )

    @property
    def ordered(self) -> bool:
        """True: the support set is a sequence."""
        return True

    @property
    def most_ways(self) -> int | None:
        """The number of classes that the one-hot labels have room for."""
        return self.n_way

    def init(self, seed: int) -> State:
        """Return the network `net.*`, the cell `cell.*` and the last layer `out.*`."""
        generator = torch.Generator().manual_seed(seed + 1)
        cell = self.cell.init(self.n_features + self.n_way, generator)
        n_out = self.cell.n_out
        return super().init(seed) | {
            **{f"cell.{name}": value for name, value in cell.items()},
            "out.weight": uniform((n_out, self.n_way), n_out, generator),
            "out.bias": torch.zeros(self.n_way),
        }

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return the memory after the support set, and the label that came last."""
        embedded = super().fit(state, support, n_way)
        return self._read(state, embedded["z"], support)

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return log-odds `(n_query, n_way)` of each query as the next step."""
        raw = super().fit(state, query, n_way)["z"]
        return self._answer(state, context, raw, n_way)

    def compare(
        self, state: State, support: Examples, z: Tensor, query_z: Tensor, n_way: int
    ) -> Tensor:
        """Return log-odds `(n_query, n_way)` from embeddings `(n, d)` and `(n_query, d)`."""
        return self._answer(state, self._read(state, z, support), query_z, n_way)

    def _read(self, state: State, z: Tensor, support: Examples) -> State:
        labels = nnf.one_hot(support.y, self.n_way).to(z.dtype)
        # The label of the step before: that of the nearest real row above, none at the start.
        last = torch.zeros_like(labels[0])
        before = []
        for label, real in zip(labels, support.mask, strict=True):
            before.append(last)
            last = torch.where(real, label, last)
        rows = torch.cat([z, torch.stack(before)], 1)
        start = self.cell.start(at_least_float32(z))
        return read_sequence(self.cell, _cell(state), rows, support.mask, start) | {"last": last}

    def _answer(self, state: State, context: State, query_z: Tensor, n_way: int) -> Tensor:
        carry = {name: value for name, value in context.items() if name != "last"}
        last = context["last"].expand(query_z.shape[0], -1)
        outputs = ask(self.cell, _cell(state), torch.cat([query_z, last], 1), carry)
        return (outputs @ state["out.weight"] + state["out.bias"])[:, :n_way]


def _cell(state: State) -> Params:
    prefix = "cell."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
