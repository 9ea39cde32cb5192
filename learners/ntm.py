"""Neural Turing Machine cell: Graves, Wayne and Danihelka, 2014 (arXiv:1410.5401).

Computed, for each head (section 3.3; equation numbers are the paper's):

    w^c = softmax(beta K(k, M))                     by content, K the cosine     (5, 6)
    w^g = g w^c + (1 - g) w_{t-1}                   interpolation                (7)
    w~(i) = sum_j w^g(j) s(i - j)                   circular shift               (8)
    w = w~^gamma / sum w~^gamma                     sharpening                   (9)

    M_t(i) = M_{t-1}(i) (1 - w(i) e) + w(i) a       the write head               (3, 4)
    r = sum_i w(i) M_t(i)                           a read head                  (2)

The paper leaves the order within a step open: here the write head addresses and writes first,
and read heads address what it left. Departures: the controller is one LSTM; weights start on
the first slot and memory at a constant, rather than at learned values.

Notation
    M   memory `(n_slots, width)`       k   key `(width,)`       w   weights `(n_slots,)`
    beta, gamma   key strength and sharpening, one number a head; g   gate in (0, 1)
    s   shift distribution over -reach ... reach `(2 reach + 1,)`
    e, a   erase vector in (0, 1) and add vector `(width,)`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as nnf

from learners.errors import LearnerError
from learners.networks import Params
from learners.recurrent import lstm, lstm_init, uniform

#: First content of the memory: not zero, where the cosine has no gradient.
BLANK = 1e-6
_TINY = 1e-12


class MemoryCell(Protocol):
    """A recurrent cell with an external memory: one vector in, one vector out."""

    @property
    def n_out(self) -> int:
        """Width of what a step gives out."""

    def init(self, n_in: int, generator: torch.Generator) -> Params:
        """Return fresh parameters for inputs of width `n_in`."""

    def start(self, like: Tensor) -> Params:
        """Return what the first step is given, in the type and on the device of `like`."""

    def step(self, params: Params, x: Tensor, carry: Params) -> tuple[Tensor, Params]:
        """Return the output `(n_out,)` for `x` `(n_in,)` and what the next step is given."""


@dataclass(frozen=True)
class NTMCell:
    """Neural Turing Machine with one write head.

    Args:
        n_slots: rows of the memory.
        width: numbers in a row.
        n_reads: read heads.
        hidden: width of the controller.
        reach: slots that a shift can move to either side.
    """

    n_slots: int = 128
    width: int = 40
    n_reads: int = 4
    hidden: int = 200
    reach: int = 1

    def __post_init__(self) -> None:
        smallest = min(self.n_slots, self.width, self.n_reads, self.hidden)
        if smallest < 1 or not 0 <= 2 * self.reach < self.n_slots:
            raise LearnerError(
                f"a memory needs positive sizes and a shift of less than half its slots; got {self}"
            )

    @property
    def n_out(self) -> int:
        """Width of the controller's output and what was read."""
        return self.hidden + self.n_reads * self.width

    def init(self, n_in: int, generator: torch.Generator) -> Params:
        """Return the controller `lstm.*` and one linear layer for all heads `heads.*`."""
        read = self.n_reads * self.width
        n_heads = (self.n_reads + 1) * self._n_address + 2 * self.width
        return lstm_init("lstm", n_in + read, self.hidden, generator) | {
            "heads.weight": uniform((self.hidden, n_heads), self.hidden, generator),
            "heads.bias": torch.zeros(n_heads),
        }

    def start(self, like: Tensor) -> Params:
        """Return an empty memory, with all heads on the first slot."""
        first = like.new_zeros(self.n_reads + 1, self.n_slots)
        first[:, 0] = 1.0
        return {
            "memory": like.new_full((self.n_slots, self.width), BLANK),
            "weights": first,
            "read": like.new_zeros(self.n_reads * self.width),
            "h": like.new_zeros(self.hidden),
            "c": like.new_zeros(self.hidden),
        }

    def step(self, params: Params, x: Tensor, carry: Params) -> tuple[Tensor, Params]:
        """Return controller output and reads `(n_out,)`, and the carry after writing."""
        h, c = lstm(params, "lstm", torch.cat([x, carry["read"], carry["h"]]), carry["c"])
        heads = h @ params["heads.weight"] + params["heads.bias"]
        erase, add, rest = torch.split(
            heads, [self.width, self.width, (self.n_reads + 1) * self._n_address]
        )
        address = rest.reshape(self.n_reads + 1, self._n_address)
        at = self._addressed(carry["memory"], address[:1], carry["weights"][:1])
        memory = write(carry["memory"], at[0], erase.sigmoid(), add)
        read_at = self._addressed(memory, address[1:], carry["weights"][1:])
        read = (read_at @ memory).flatten()
        after = {"memory": memory, "weights": torch.cat([at, read_at]), "read": read}
        return torch.cat([h, read]), after | {"h": h, "c": c}

    @property
    def _n_address(self) -> int:
        return self.width + 3 + 2 * self.reach + 1

    def _addressed(self, memory: Tensor, raw: Tensor, before: Tensor) -> Tensor:
        """Return weights `(n, n_slots)` of n heads from raw outputs `(n, n_address)`."""
        key, strength, gate, gamma, shift = torch.split(
            raw, [self.width, 1, 1, 1, 2 * self.reach + 1], dim=-1
        )
        by_content = content(memory, key, nnf.softplus(strength))
        moved = shifted(interpolated(by_content, before, gate.sigmoid()), shift.softmax(-1))
        return sharpened(moved, 1 + nnf.softplus(gamma))


def cosine(memory: Tensor, key: Tensor) -> Tensor:
    """Return the cosine of each key `(n, width)` with each slot `(n, n_slots)` (eq. 6)."""
    lengths = (key.square().sum(-1, keepdim=True) + _TINY).sqrt()
    slots = (memory.square().sum(-1) + _TINY).sqrt()
    return key @ memory.T / (lengths * slots)


def content(memory: Tensor, key: Tensor, strength: Tensor) -> Tensor:
    """Return weights by content `(n, n_slots)`; strength is `(n, 1)` (eq. 5)."""
    return (strength * cosine(memory, key)).softmax(-1)


def interpolated(by_content: Tensor, before: Tensor, gate: Tensor) -> Tensor:
    """Return the gated mixture of weights by content and of the step before (eq. 7)."""
    return gate * by_content + (1 - gate) * before


def shifted(weights: Tensor, shift: Tensor) -> Tensor:
    """Return weights `(n, n_slots)` moved round the ring by a distribution (eq. 8).

    Args:
        weights: `(n, n_slots)`.
        shift: probability of each move from -reach to reach `(n, 2 reach + 1)`.

    >>> shifted(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.25, 0.75]]))
    tensor([[0.2500, 0.7500, 0.0000, 0.0000]])
    """
    reach = shift.shape[-1] // 2
    moved = [weights.roll(move, -1) for move in range(-reach, reach + 1)]
    return (torch.stack(moved, -1) * shift[..., None, :]).sum(-1)


def sharpened(weights: Tensor, gamma: Tensor) -> Tensor:
    """Return weights raised to `gamma` `(n, 1)` of 1 or more, adding to one again (eq. 9)."""
    # A slot of weight 0 has no finite derivative of its power in gamma.
    power = weights.clamp(min=_TINY) ** gamma
    return power / power.sum(-1, keepdim=True)


def write(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """Return the memory after one head erased and added (eq. 3, 4)."""
    return memory * (1 - weights[:, None] * erase) + weights[:, None] * add


def read_sequence(
    cell: MemoryCell, params: Params, x: Tensor, mask: Tensor, start: Params
) -> Params:
    """Return the carry after a sequence `(n, n_in)`; rows that the mask hides are passed over."""
    carry = start
    for row, real in zip(x, mask, strict=True):
        after = cell.step(params, row, carry)[1]
        carry = {name: torch.where(real, after[name], value) for name, value in carry.items()}
    return carry


def ask(cell: MemoryCell, params: Params, x: Tensor, carry: Params) -> Tensor:
    """Return outputs `(m, n_out)` for inputs `(m, n_in)`, each the next after the same carry."""
    outputs: Tensor = vmap(lambda row: cell.step(params, row, carry)[0])(x)
    return outputs
