"""A hypernetwork over support sets: Ha, Dai and Le, "HyperNetworks", ICLR 2017, equation 2.

Computed: one network writes the weights of another. Ha et al. generate the weights of a layer
from a learned vector a layer; here the vector describes the support set, r = mean_i e(x_i, y_i)
(the encoder of Garnelo et al. 2018), so that one forward pass makes a network for the episode:

    a_i = W_i r + B_i               one small vector for each input i of the layer
    K_i = W_out a_i + B_out         row i of the layer's weights;  bias = V r + v

Classification: the last layer has one column a class, written from the mean r_c of the class's
own rows by the same equations (class weights from the class's activations: Qiao et al., CVPR
2018, equation 3). So any number of classes goes, and renaming them renames the answers.
Departures: layers have a generator each, where the paper's layers share one in equal blocks.

Notation
    z    embedding of an input `(n, d)`     r   description of a set `(n_r,)`
    W    `(fan_in, width, n_r)`     B `(fan_in, width)`     K `(fan_in, fan_out)`
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.func import vmap

from learners.embedding import EmbeddingLearner
from learners.episode import Examples
from learners.errors import LearnerError
from learners.learner import State
from learners.losses import at_least_float32
from learners.networks import MLP
from learners.protonet import prototypes
from learners.recurrent import uniform


@dataclass(frozen=True)
class Hypernetwork(EmbeddingLearner):
    """A network that writes the weights of a small fully connected network.

    Args:
        network: maps inputs to `(n, d)`; `Flatten()` takes numbers as they are.
        encoder: e, from `d + n_out` numbers (regression) or d (classification) to n_r.
        main: the network that is written, from d numbers to n_out (regression), or to 1
            (classification: a column for each class).
        width: numbers of a_i.
        regression: whether targets are numbers rather than classes.
    """

    encoder: MLP = field(default_factory=lambda: MLP((2, 64, 64, 64)))
    main: MLP = field(default_factory=lambda: MLP((1, 40, 40, 1)))
    width: int = 8
    regression: bool = False

    def __post_init__(self) -> None:
        d, n_out = self.main.sizes[0], self.main.sizes[-1]
        takes = d + n_out if self.regression else d
        if self.encoder.sizes[0] != takes or self.width < 1 or (not self.regression and n_out > 1):
            raise LearnerError(
                "the encoder takes the embedding, and targets in regression; the main network "
                "takes the embedding and gives the targets, or 1 in classification. Got encoder "
                f"{self.encoder.sizes}, main {self.main.sizes}, width={self.width} and "
                f"regression={self.regression}"
            )

    @property
    def classification(self) -> bool:
        """Whether `y` holds class numbers."""
        return not self.regression

    def init(self, seed: int) -> State:
        """Return `net.*`, `encoder.*` and a generator for each layer, `layer0.*` and on.

        a is of the size of 1 and W_out of 1/sqrt(width fan_in), so that the weights written
        first are those of a fresh network.
        """
        generator = torch.Generator().manual_seed(seed + 1)
        state = super().init(seed)
        state |= {f"encoder.{k}": v for k, v in self.encoder.init(generator).items()}
        n_r = self.encoder.sizes[-1]
        for i, (fan_in, fan_out) in enumerate(self._layers()):
            name = f"layer{i}"
            state |= {
                f"{name}.W": uniform((fan_in, self.width, n_r), n_r, generator),
                f"{name}.B": torch.randn(fan_in, self.width, generator=generator),
                f"{name}.W_out": uniform((self.width, fan_out), self.width * fan_in, generator),
                f"{name}.B_out": torch.zeros(fan_out),
                f"{name}.V": uniform((n_r, fan_out), n_r * fan_in, generator),
                f"{name}.v": uniform((fan_out,), fan_in, generator),
            }
        return state

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return the weights of the main network, and which classes are present."""
        return self._written(state, super().fit(state, support, n_way)["z"], support, n_way)

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return what the written network says `(n_query, n_out)`."""
        return self._answer(context, super().fit(state, query, n_way)["z"])

    def compare(
        self, state: State, support: Examples, z: Tensor, query_z: Tensor, n_way: int
    ) -> Tensor:
        """Return scores `(n_query, n_out)` from embeddings `(n, d)` and `(n_query, d)`."""
        return self._answer(self._written(state, z, support, n_way), query_z)

    def _layers(self) -> list[tuple[int, int]]:
        return list(zip(self.main.sizes, self.main.sizes[1:], strict=False))

    def _written(self, state: State, z: Tensor, support: Examples, n_way: int) -> State:
        inputs = torch.cat([z, support.y.to(z.dtype)], 1) if self.regression else z
        prefix = "encoder."
        params = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        encoded = at_least_float32(self.encoder(params, inputs, support.mask))
        weight = support.mask.to(encoded.dtype)
        r = (encoded * weight[:, None]).sum(0) / weight.sum()
        context: State = {}
        last = len(self._layers()) - 1
        for i in range(last + self.regression):
            K, bias = layer_weights(state, f"layer{i}", r)
            context |= {f"{i}.weight": K, f"{i}.bias": bias}
        if self.classification:
            each, present = prototypes(encoded, support.y, support.mask, n_way)
            K, bias = vmap(lambda one: layer_weights(state, f"layer{last}", one))(each)
            context |= {f"{last}.weight": K[:, :, 0].T, f"{last}.bias": bias[:, 0]}
            context["present"] = present
        return context

    def _answer(self, context: State, x: Tensor) -> Tensor:
        last = len(self._layers()) - 1
        for i in range(last + 1):
            x = x @ context[f"{i}.weight"] + context[f"{i}.bias"]
            if i < last:
                x = x.relu() if self.main.activation == "relu" else x.tanh()
        return x if self.regression else torch.where(context["present"], x, -torch.inf)


def layer_weights(state: State, name: str, r: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights `(fan_in, fan_out)` and bias `(fan_out,)` written from `r` `(n_r,)`."""
    a = state[f"{name}.W"] @ r + state[f"{name}.B"]
    return (
        a @ state[f"{name}.W_out"] + state[f"{name}.B_out"],
        r @ state[f"{name}.V"] + state[f"{name}.v"],
    )
