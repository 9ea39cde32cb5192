"""Conditional neural process: Garnelo, Rosenbaum, Maddison et al., ICML 2018, equations 1 to 3.

Computed: r_i = h(x_i, y_i), r = mean_i r_i, and g(x, r) gives what is predicted. Regression: a
Gaussian's mean and standard deviation, trained by its negative log likelihood, with
sigma = 0.1 + 0.9 softplus, as in the authors' code. Classification (section 4.3): rows of one
class make one mean, the means of all classes side by side are r, and g gives log-odds.
Departures: meta-training scores the query set alone, where the paper scores all observations;
images are embedded by one network for h and g.

Notation
    z   embedding of an input `(n, d)`; the input itself with `Flatten`
    r   representation of a support set `(n_r,)`, or one a class `(n_way, n_r)`
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.embedding import EmbeddingLearner
from learners.episode import Examples
from learners.errors import LearnerError
from learners.learner import State
from learners.losses import at_least_float32, masked_mean
from learners.networks import MLP, Params
from learners.protonet import prototypes


@dataclass(frozen=True)
class ConditionalNeuralProcess(EmbeddingLearner):
    """Encoder, mean, decoder.

    Args:
        network: maps inputs to `(n, d)`; `Flatten()` takes numbers as they are.
        encoder: h, from `d + n_out` numbers (regression) or d (classification) to n_r.
        decoder: g, from `d + n_r` numbers to `2 n_out` (regression: means, then deviations
            before their softplus), or from `d + n_way n_r` to `n_way`.
        n_way: most classes an episode can have; 0 for regression.
    """

    encoder: MLP = field(default_factory=lambda: MLP((2, 128, 128, 128, 128)))
    decoder: MLP = field(default_factory=lambda: MLP((129, 128, 128, 2)))
    n_way: int = 0

    def __post_init__(self) -> None:
        read = self.encoder.sizes[-1] * max(self.n_way, 1)
        d = self.decoder.sizes[0] - read
        n_out = 0 if self.n_way else self.decoder.sizes[-1] // 2
        fits = self.decoder.sizes[-1] == self.n_way if self.n_way else n_out > 0
        if not fits or d < 1 or self.encoder.sizes[0] != d + n_out:
            raise LearnerError(
                "the decoder takes the encoder's output (once a class) beside the embedding, and "
                "gives a number a class, or two a target; the encoder takes the embedding, and "
                f"targets in regression. Got encoder {self.encoder.sizes}, decoder "
                f"{self.decoder.sizes} and n_way={self.n_way}"
            )

    @property
    def classification(self) -> bool:
        """Whether `y` holds class numbers."""
        return bool(self.n_way)

    @property
    def most_ways(self) -> int | None:
        """The number of classes that the decoder has room for; None for regression."""
        return self.n_way or None

    def init(self, seed: int) -> State:
        """Return the network `net.*`, and `encoder.*` and `decoder.*`."""
        generator = torch.Generator().manual_seed(seed + 1)
        state = super().init(seed)
        for name, part in (("encoder", self.encoder), ("decoder", self.decoder)):
            state |= {f"{name}.{k}": v for k, v in part.init(generator).items()}
        return state

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return the representation `r` of the support set."""
        return {"r": self._encode(state, super().fit(state, support, n_way)["z"], support)}

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return log-odds `(n_query, n_way)`, or means `(n_query, n_out)`."""
        if self.classification:
            z = super().fit(state, query, n_way)["z"]
            return self._decode(state, context["r"], z)[:, :n_way]
        return self.distribution(state, context, query)[0]

    def distribution(self, state: State, context: State, query: Examples) -> tuple[Tensor, Tensor]:
        """Return means and variances `(n_query, n_out)` of the targets.

        Raises:
            LearnerError: if this is a classifier.
        """
        if self.classification:
            raise LearnerError("a classifier gives log-odds; only regression has variances")
        mean, deviation = self._gaussian(state, context["r"], super().fit(state, query, 0)["z"])
        return mean, deviation.square()

    def compare(
        self, state: State, support: Examples, z: Tensor, query_z: Tensor, n_way: int
    ) -> Tensor:
        """Return log-odds `(n_query, n_way)` from embeddings `(n, d)` and `(n_query, d)`."""
        return self._decode(state, self._encode(state, z, support), query_z)[:, :n_way]

    def embedded_loss(self, state: State, support: Examples, query: Examples, n_way: int) -> Tensor:
        """Return cross-entropy, or the negative log likelihood a target in nats."""
        if self.classification:
            return super().embedded_loss(state, support, query, n_way)
        encoded = self._encode(state, support.x, support)
        mean, deviation = self._gaussian(state, encoded, query.x)
        squared = ((query.y - mean) / deviation).square()
        each = 0.5 * (squared + math.log(2 * math.pi)) + deviation.log()
        return masked_mean(each.mean(-1), query.mask)

    def _encode(self, state: State, z: Tensor, support: Examples) -> Tensor:
        inputs = z if self.classification else torch.cat([z, support.y.to(z.dtype)], 1)
        encoded = at_least_float32(self.encoder(_part(state, "encoder"), inputs, support.mask))
        if self.classification:
            return prototypes(encoded, support.y, support.mask, self.n_way)[0].flatten()
        weight = support.mask.to(encoded.dtype)
        return (encoded * weight[:, None]).sum(0) / weight.sum()

    def _decode(self, state: State, r: Tensor, z: Tensor) -> Tensor:
        rows = torch.cat([z, r.expand(z.shape[0], -1)], 1)
        mask = torch.ones(z.shape[0], dtype=torch.bool, device=z.device)
        return at_least_float32(self.decoder(_part(state, "decoder"), rows, mask))

    def _gaussian(self, state: State, r: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self._decode(state, r, z).chunk(2, 1)
        return mean, 0.1 + 0.9 * nnf.softplus(raw)


def _part(state: State, name: str) -> Params:
    return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
