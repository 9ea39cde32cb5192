"""The published backbones as pure functions of a flat dict of tensors.

A network is an immutable description. `init` makes its parameters; calling it with
parameters, inputs `(n, *shape)` and a mask `(n,)` gives outputs `(n, n_out)`. Nothing is
remembered between calls: batch normalisation uses the statistics of the rows that the mask
names, or population statistics where the parameters hold them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.conv_block import features_by_rows
from learners.errors import LearnerError
from learners.execution import alone, on_tape
from learners.first_block import EPSILON
from learners.losses import at_least_float32
from learners.own_module import ModuleNetwork as ModuleNetwork  # noqa: PLC0414 - public here

Params = dict[str, Tensor]


class Network(Protocol):
    """A pure function of parameters and inputs."""

    @property
    def normalises(self) -> bool:
        """Whether an output depends on the other rows, through batch statistics."""

    def init(self, generator: torch.Generator) -> Params:
        """Return fresh parameters."""

    def __call__(self, params: Params, x: Tensor, mask: Tensor) -> Tensor:
        """Return outputs `(n, n_out)` for inputs `(n, *shape)`.

        Rows where `mask` is False take no part in batch statistics; their outputs exist
        all the same.
        """


@dataclass(frozen=True)
class MLP:
    """Fully connected layers with one activation between them.

    Args:
        sizes: widths from input to output, such as `(1, 40, 40, 1)`.
        activation: "relu" or "tanh".
    """

    sizes: tuple[int, ...]
    activation: str = "relu"

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or self.activation not in ("relu", "tanh"):
            raise LearnerError(
                "an MLP needs at least an input and an output width, and activation 'relu' or "
                f"'tanh'; got {self.sizes} and {self.activation!r}"
            )

    @property
    def normalises(self) -> bool:
        """False: rows do not see each other."""
        return False

    def init(self, generator: torch.Generator) -> Params:
        """Return weights and biases uniform in +-1/sqrt(fan_in) (LeCun et al. 1998, section 4.6).

        Biases start away from zero: with one input, every kink of a ReLU would else be at 0.
        """
        params: Params = {}
        last = len(self.sizes) - 2
        for i, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            name = "head" if i == last else f"layer{i}"
            bound = 1 / math.sqrt(fan_in)
            weight = torch.rand(fan_in, fan_out, generator=generator)
            params[f"{name}.weight"] = bound * (2 * weight - 1)
            params[f"{name}.bias"] = bound * (2 * torch.rand(fan_out, generator=generator) - 1)
        return params

    def __call__(self, params: Params, x: Tensor, mask: Tensor) -> Tensor:
        """Return `(n, sizes[-1])` for `x` of `sizes[0]` numbers a row; images are flattened."""
        x = x.flatten(1)
        if x.shape[1] != self.sizes[0]:
            raise LearnerError(
                f"{self} takes {self.sizes[0]} numbers a row, and got {x.shape[1]}; build it with "
                "the width of what it is given"
            )
        for i in range(len(self.sizes) - 2):
            x = x @ params[f"layer{i}.weight"] + params[f"layer{i}.bias"]
            x = x.relu() if self.activation == "relu" else x.tanh()
        return x @ params["head.weight"] + params["head.bias"]


@dataclass(frozen=True)
class Flatten:
    """No network at all: inputs as one row of numbers, for methods that take them as they are."""

    @property
    def normalises(self) -> bool:
        """False: rows do not see each other."""
        return False

    def init(self, generator: torch.Generator) -> Params:
        """Return no parameters."""
        return {}

    def __call__(self, params: Params, x: Tensor, mask: Tensor) -> Tensor:
        """Return `(n, n_numbers)` for `x` `(n, *shape)`."""
        return x.flatten(1)


@dataclass(frozen=True)
class Conv4:
    """Four blocks of 3 x 3 convolution, batch normalisation and ReLU (Vinyals et al. 2016).

    Convolutions have no bias: the normalisation after them would subtract it.

    Args:
        n_out: classes of a linear head; 0 gives the flat features themselves.
        channels: input channels.
        filters: filters of each block.
        strided: stride 2 and a mean over space, as MAML has it on Omniglot; otherwise 2 x 2
            max-pooling and flattening.
        side: height and width of the images.
        n_pooled: blocks that halve the image by pooling, the first ones; relation networks
            keep maps by pooling two.
    """

    n_out: int
    channels: int = 1
    filters: int = 64
    strided: bool = False
    side: int = 28
    n_pooled: int = 4

    def __post_init__(self) -> None:
        if not self.strided and self.side >> self.n_pooled < 1:
            raise LearnerError(
                f"images of side {self.side} vanish in {self.n_pooled} halvings; bring them to "
                f"{2**self.n_pooled} or more, or pool fewer blocks"
            )

    @property
    def normalises(self) -> bool:
        """True: batch normalisation."""
        return True

    @property
    def n_features(self) -> int:
        """Width of the flat features before the head."""
        side = 1 if self.strided else self.side >> self.n_pooled
        return self.filters * side * side

    def init(self, generator: torch.Generator) -> Params:
        """Return Glorot-uniform filters (Glorot and Bengio 2010) and a small normal head."""
        params: Params = {}
        for i in range(4):
            fan_in = self.channels if i == 0 else self.filters
            params[f"block{i}.weight"] = glorot_filters(fan_in, self.filters, generator)
            params[f"block{i}.scale"] = torch.ones(self.filters)
            params[f"block{i}.shift"] = torch.zeros(self.filters)
        if self.n_out:
            weight = torch.randn(self.n_features, self.n_out, generator=generator)
            params["head.weight"] = 0.01 * weight
            params["head.bias"] = torch.zeros(self.n_out)
        return params

    def __call__(self, params: Params, x: Tensor, mask: Tensor) -> Tensor:
        """Return `(n, n_out)`, or features `(n, n_features)`, for images `(n, c, side, side)`."""
        features = self._features(params, x, mask, None)
        if not self.n_out:
            return features
        return features @ params["head.weight"] + params["head.bias"].unsqueeze(-2)

    def statistics(self, params: Params, x: Tensor, mask: Tensor) -> Params:
        """Return the batch mean and variance of each block, under the names that fix them."""
        seen: Params = {}
        self._features(params, x, mask, seen)
        return seen

    def _features(self, params: Params, x: Tensor, mask: Tensor, seen: Params | None) -> Tensor:
        if x.ndim < 4 or x.shape[-3] != self.channels:
            raise LearnerError(
                f"{self} takes images of {self.channels} channels, (channels, side, side) each, "
                f"and got {tuple(x.shape[1:])}"
            )
        stride = 2 if self.strided else 1
        if seen is None and _by_rows(params, x):
            blocks = [
                tuple(params[f"block{i}.{of}"] for of in ("weight", "scale", "shift"))
                for i in range(4)
            ]
            return features_by_rows(blocks, x, mask, stride, 0 if self.strided else self.n_pooled)
        for i in range(4):
            block = f"block{i}"
            x = convolved(x, params[f"{block}.weight"], stride)
            x = normalised(params, block, x, mask, seen)
            # The largest of what is cut off at zero is the largest, cut off: one order computes
            # less.
            if not self.strided and i < self.n_pooled:
                x = nnf.max_pool2d(x, 2)
            x = x.relu()
        return x.mean((2, 3)) if self.strided else x.flatten(1)


def normalising(network: Network) -> TypeGuard[Conv4 | ModuleNetwork]:
    """Whether a network normalises by the rows it is given, unless their moments are fixed."""
    return isinstance(network, Conv4 | ModuleNetwork) and network.normalises


def _by_rows(params: Params, x: Tensor) -> bool:
    """Whether `learners.conv_block` computes: in float32 on a CPU, normalised by the batch."""
    plain = on_tape() and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return plain and "block0.mean" not in params


def convolved(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Return 3 x 3 convolutions `(n, c, h, w)`; under autocast with channels last in memory.

    One episode's are convolved, normalised and pooled faster over channels that lie side by side.
    Over one or three input channels a CPU has them so at once by a matrix product of patches. Not
    in float32: there, PyTorch's batch normalisation over channels last rounds a thousand times
    more coarsely (measured on a meta-gradient of five steps).

    Args:
        x: `(n, c_in, h, w)`.
        weight: `(c, c_in, 3, 3)`.
        stride: of the convolution, which is padded by 1.
    """
    kind = x.device.type
    if not (alone() and torch.is_autocast_enabled(kind)):
        return nnf.conv2d(x, weight, stride=stride, padding=1)
    if x.shape[1] > 3 or kind != "cpu":
        last = torch.channels_last
        y = nnf.conv2d(x, weight.contiguous(memory_format=last), stride=stride, padding=1)
        return y.contiguous(memory_format=last)
    patches = nnf.unfold(x, 3, padding=1, stride=stride).transpose(1, 2)  # (n, h * w, 9 * c_in)
    height, width = ((size - 1) // stride + 1 for size in x.shape[2:])
    y = patches @ weight.flatten(1).T
    return y.reshape(len(x), height, width, -1).permute(0, 3, 1, 2)


def normalised(
    params: Params, block: str, x: Tensor, mask: Tensor, seen: Params | None = None
) -> Tensor:
    """Return `x` `(n, c, h, w)` normalised, scaled and shifted.

    Args:
        params: holds `{block}.scale` and `{block}.shift`, and `{block}.mean` and
            `{block}.variance` where population statistics take the place of the batch's.
        block: name of the layer.
        x: activations.
        mask: rows that count in batch statistics.
        seen: takes the moments that it was by, under the names that fix them; None for none.
    """
    scale, shift = params[f"{block}.scale"], params[f"{block}.shift"]
    mean, variance = params.get(f"{block}.mean"), params.get(f"{block}.variance")
    if seen is None and alone() and (mean is not None or bool(mask.all())):
        # All rows count alike: one kernel does it.
        return nnf.batch_norm(x, mean, variance, scale, shift, mean is None, 0.0, EPSILON)
    if mean is None or variance is None:
        mean, variance = batch_statistics(x, mask)
    gain = scale * torch.rsqrt(variance + EPSILON)
    if seen is not None:
        seen |= {f"{block}.mean": mean, f"{block}.variance": variance}
    return x * gain[:, None, None] + (shift - mean * gain)[:, None, None]


def glorot_filters(fan_in: int, fan_out: int, generator: torch.Generator) -> Tensor:
    """Return 3 x 3 filters `(fan_out, fan_in, 3, 3)` (Glorot and Bengio 2010, eq. 16)."""
    bound = math.sqrt(6.0 / (9 * (fan_in + fan_out)))
    return bound * (2 * torch.rand(fan_out, fan_in, 3, 3, generator=generator) - 1)


def batch_statistics(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel over the real rows of `x` `(n, c, h, w)`."""
    x = at_least_float32(x)
    weight = mask.to(x.dtype)[:, None, None, None]
    count = weight.sum() * x.shape[2] * x.shape[3]
    mean = (x * weight).sum((0, 2, 3)) / count
    variance = ((x - mean[:, None, None]).square() * weight).sum((0, 2, 3)) / count
    return mean, variance


def under_net(params: Params) -> Params:
    """Return a network's parameters as entries `net.*` of a learner's state."""
    return {f"net.{name}": value for name, value in params.items()}


def without_net(state: Params) -> Params:
    """Return the network's parameters of a learner's state under their own names."""
    prefix = "net."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
