"""SNAIL: Mishra, Rohaninejad, Chen and Abbeel, "A Simple Neural Attentive Meta-Learner", ICLR 2018.

Computed: the support set with its labels and then one query without are a sequence; blocks
that see nothing later than the row itself widen it, and the last row holds the answer.

    dense block(d):  u, v = causal convolutions of two taps, rows t and t - d
                     x <- [x, tanh(u) sigmoid(v)]                       (figure 2a)
    TC block(T):     dense blocks of d = 2, 4, ..., 2^ceil(log2 T)      (figure 2b)
    attention(K, V): q, k, v affine in x; x <- [x, softmax(q k^T / sqrt(K)) v] over rows s <= t
                                                                        (figure 2c)

On Omniglot (section 5.1): attention(64, 32), TC(T, 128), attention(256, 128), TC(T, 128),
attention(512, 256), one linear layer. Departures: batch normalisation of the embedding as in
`learners.embedding`; the widths can be scaled. Because nothing looks ahead, the support set is
run once and every query is a next row of its own.

Notation
    n, T    rows of the support set, and of a whole sequence
    x       rows `(n, c)`; c grows from layer to layer
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.embedding import EmbeddingLearner
from learners.episode import Examples
from learners.errors import LearnerError
from learners.learner import State
from learners.networks import Params
from learners.recurrent import uniform


@dataclass(frozen=True)
class Layer:
    """One layer of the sequence network.

    Args:
        name: its prefix in the state.
        n_in: width of its input; its output is that and `n_added` more.
        n_added: filters of a dense block, or width of an attention's values.
        dilation: d of a dense block; 0 marks an attention block.
        n_key: width of an attention's keys.
    """

    name: str
    n_in: int
    n_added: int
    dilation: int = 0
    n_key: int = 0

    def init(self, generator: torch.Generator) -> Params:
        """Return uniform weights and zero biases."""
        fan_in = self.n_in
        sizes = {"query": self.n_key, "key": self.n_key, "value": self.n_added}
        if self.dilation:
            fan_in, sizes = 2 * self.n_in, {"both": 2 * self.n_added}
        params: Params = {}
        for part, width in sizes.items():
            params[f"{self.name}.{part}.weight"] = uniform((fan_in, width), fan_in, generator)
            params[f"{self.name}.{part}.bias"] = torch.zeros(width)
        return params

    def affine(self, state: State, part: str, x: Tensor) -> Tensor:
        """Return `x W + b` of one part of the layer."""
        return x @ state[f"{self.name}.{part}.weight"] + state[f"{self.name}.{part}.bias"]


@dataclass(frozen=True)
class Snail(EmbeddingLearner):
    """Attention and temporal convolutions over the support set.

    Args:
        network: maps inputs to embeddings; the paper's has 64 outputs.
        n_features: width of the embedding.
        n_way: most classes an episode can have.
        length: T, rows of a sequence: ways times shots, and one. It sets how far the
            convolutions look; longer sequences work.
        scale: factor of all published widths.
    """

    n_features: int = 64
    n_way: int = 5
    length: int = 6
    scale: float = 1.0

    def __post_init__(self) -> None:
        if min(self.n_features, self.n_way) < 1 or self.length < 2 or 32 * self.scale < 1:
            raise LearnerError(
                "SNAIL needs an embedding's width, a number of classes, a length of 2 or more "
                f"and a scale of 1/32 or more; got n_features={self.n_features}, "
                f"n_way={self.n_way}, length={self.length}, scale={self.scale}"
            )

    @property
    def ordered(self) -> bool:
        """True: the support set is a sequence."""
        return True

    @property
    def most_ways(self) -> int | None:
        """The number of classes that the one-hot labels have room for."""
        return self.n_way

    def layers(self) -> Iterator[Layer]:
        """Yield the layers from the input to the last attention."""
        width = self.n_features + self.n_way
        n_dense = math.ceil(math.log2(self.length))
        for block, (n_key, n_value) in enumerate(((64, 32), (256, 128), (512, 256))):
            if block:
                for i in range(1, n_dense + 1):
                    layer = Layer(f"tc{block - 1}.{i}", width, self._scaled(128), dilation=2**i)
                    yield layer
                    width += layer.n_added
            layer = Layer(
                f"attention{block}", width, self._scaled(n_value), n_key=self._scaled(n_key)
            )
            yield layer
            width += layer.n_added

    def init(self, seed: int) -> State:
        """Return the embedding `net.*`, each layer's weights and the last layer `out.*`."""
        generator = torch.Generator().manual_seed(seed + 1)
        state = super().init(seed)
        width = 0
        for layer in self.layers():
            state |= layer.init(generator)
            width = layer.n_in + layer.n_added
        state["out.weight"] = uniform((width, self.n_way), width, generator)
        state["out.bias"] = torch.zeros(self.n_way)
        return state

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return every layer's input rows for the support set, and which rows are real."""
        return self._read(state, super().fit(state, support, n_way)["z"], support)

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return log-odds `(n_query, n_way)`, each query the row after the support set."""
        return self._answer(state, context, super().fit(state, query, n_way)["z"], n_way)

    def compare(
        self, state: State, support: Examples, z: Tensor, query_z: Tensor, n_way: int
    ) -> Tensor:
        """Return log-odds `(n_query, n_way)` from embeddings `(n, d)` and `(n_query, d)`."""
        return self._answer(state, self._read(state, z, support), query_z, n_way)

    def _scaled(self, width: int) -> int:
        return max(1, round(width * self.scale))

    def _read(self, state: State, z: Tensor, support: Examples) -> State:
        n = z.shape[0]
        label = nnf.one_hot(support.y, self.n_way).to(z.dtype)
        # Padding goes in front of the first real row, where a convolution sees zeros anyway.
        order = torch.sort(support.mask.to(torch.uint8), stable=True).indices
        mask = support.mask[order]
        x = torch.cat([z, label], 1)[order] * mask[:, None]
        earlier = torch.ones(n, n, dtype=torch.bool, device=z.device).tril(-1)
        seen = {"mask": mask}
        for layer in self.layers():
            seen[layer.name] = x
            if layer.dilation:
                added = dense(layer, state, x, before(x, layer.dilation))
            else:
                added = attention(layer, state, x, x, earlier & mask)
            x = torch.cat([x, added * mask[:, None]], 1)
        return seen

    def _answer(self, state: State, context: State, query_z: Tensor, n_way: int) -> Tensor:
        m, n = query_z.shape[0], context["mask"].shape[0]
        x = torch.cat([query_z, query_z.new_zeros(m, self.n_way)], 1)
        visible = context["mask"].expand(m, -1)
        for layer in self.layers():
            past = context[layer.name]
            if layer.dilation:
                near = layer.dilation <= n
                row = past[n - layer.dilation] if near else torch.zeros_like(past[0])
                added = dense(layer, state, x, row.expand(m, -1))
            else:
                added = attention(layer, state, x, past, visible)
            x = torch.cat([x, added], 1)
        return (x @ state["out.weight"] + state["out.bias"])[:, :n_way]


def before(x: Tensor, d: int) -> Tensor:
    """Return the rows d places earlier `(n, c)`, zeros where there are none.

    >>> before(torch.tensor([[1.0], [2.0], [3.0]]), 2).flatten()
    tensor([0., 0., 1.])
    """
    return torch.cat([torch.zeros_like(x[:d]), x[: max(x.shape[0] - d, 0)]])


def dense(layer: Layer, state: State, x: Tensor, earlier: Tensor) -> Tensor:
    """Return what a dense block adds to rows `x` `(m, c)` with `earlier` d rows before them."""
    u, v = layer.affine(state, "both", torch.cat([earlier, x], 1)).chunk(2, 1)
    return u.tanh() * v.sigmoid()


def attention(layer: Layer, state: State, x: Tensor, past: Tensor, visible: Tensor) -> Tensor:
    """Return what attention adds to rows `x` `(m, c)`: each sees itself and some of the past.

    Args:
        layer: an attention layer.
        state: holds its weights.
        x: rows that ask.
        past: rows to look at `(n, c)`.
        visible: which of them each row may look at `(m, n)`.
    """
    query, own_key = layer.affine(state, "query", x), layer.affine(state, "key", x)
    scale = 1 / math.sqrt(query.shape[1])
    others = (query @ layer.affine(state, "key", past).T * scale).masked_fill(~visible, -torch.inf)
    own = (query * own_key).sum(1, keepdim=True) * scale
    share = torch.cat([others, own], 1).softmax(1)
    value = layer.affine(state, "value", past)
    return share[:, :-1] @ value + share[:, -1:] * layer.affine(state, "value", x)
