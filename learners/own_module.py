"""A user's own `torch.nn.Module` as a network: a pure function of parameters, inputs and a mask.

Batch normalisation without running statistics is taken over: it counts the rows that the mask
names, or goes by population statistics where the parameters hold them, as `learners.networks`
has it. So a padded row changes nothing, and queries can be read by the support set's moments.
Attention runs as plain products and softmax, which alone have second derivatives.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as nnf
from torch.nn.attention import SDPBackend, sdpa_kernel

from learners.errors import LearnerError, NotTogetherError
from learners.execution import alone, looped
from learners.losses import at_least_float32
from learners.scoped import scoped

Params = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class ModuleNetwork:
    """A user's own `torch.nn.Module` as a network.

    Its parameters are the starting point of meta-training. Layers that keep running
    statistics or draw random numbers are refused while the module is in training mode: an
    episode must be a pure function. In evaluation mode (`module.eval()`) they are fixed functions.

    Layers that several episodes cannot run through at once (`torch.func.vmap` takes no LSTM) see
    one episode after the other, to the same result; a warning says so.

    Args:
        module: takes `(n, *shape)` and returns `(n, n_out)`.
        normalises: whether rows see each other in it, by torch's batch normalisation.

    Raises:
        LearnerError: if a layer is no pure function, or mixes rows and `normalises` is False, or
            `normalises` is True and there is no layer that does.
    """

    module: nn.Module
    normalises: bool = False

    def __post_init__(self) -> None:
        for name, part in self.module.named_modules():
            keeps = getattr(part, "track_running_stats", False) or _draws(part)
            if keeps and part.training:
                raise LearnerError(
                    f"layer {name!r} ({type(part).__name__}) keeps state or draws random numbers; "
                    "build it with track_running_stats=False, leave dropout out, or call "
                    "module.eval() first if its statistics are to stay as they are"
                )
            if _mixes_rows(part) and not self.normalises:
                raise LearnerError(
                    f"layer {name!r} ({type(part).__name__}) normalises by the rows that it is "
                    "given, so that a prediction would depend on the other queries: say so by "
                    "ModuleNetwork(module, normalises=True), or take GroupNorm or LayerNorm"
                )
        if self.normalises and not normalises_rows(self.module):
            raise LearnerError(
                "normalises=True, and the module has no batch normalisation that goes by the rows "
                "it is given, such as nn.BatchNorm2d(c, track_running_stats=False): leave "
                "normalises out; one written by hand would mix queries and cannot be taken"
            )

    def init(self, generator: torch.Generator) -> Params:
        """Return copies of the module's parameters; the generator is not used."""
        return {name: value.detach().clone() for name, value in self.module.named_parameters()}

    def __call__(self, params: Params, x: Tensor, mask: Tensor) -> Tensor:
        """Return the module's output `(n, n_out)`; rows off the mask count in no statistic.

        Raises:
            NotTogetherError: if several episodes run at once and a layer cannot take them.
        """
        return self._output(params, x, mask, None)

    def statistics(self, params: Params, x: Tensor, mask: Tensor) -> Params:
        """Return mean and variance of each batch normalisation, under the names that fix them."""
        seen: Params = {}
        self._output(params, x, mask, seen)
        return seen

    def _output(self, params: Params, x: Tensor, mask: Tensor, seen: Params | None) -> Tensor:
        moments = {name: value for name, value in params.items() if name not in self._names}
        weights = {name: value for name, value in params.items() if name in self._names}
        rows = scoped(_ROWS, _Rows(mask, moments, seen)) if self.normalises else nullcontext()
        with rows, self._attention():
            if torch.compiler.is_compiling() or alone():
                output: Tensor = functional_call(self._pure, weights, (x,))
            else:
                output = self._together(weights, x)
        return output

    def _together(self, weights: Params, x: Tensor) -> Tensor:
        """Return what the module gives under `vmap`."""
        if looped(self.module):
            raise NotTogetherError("known to run one by one", self.module)
        if any(isinstance(part, nn.RNNBase) for part in self.module.modules()):
            raise self._not_together("vmap takes no recurrent layers of torch")
        try:
            output: Tensor = functional_call(self._pure, weights, (x,))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if "randomness" in str(error):
                raise LearnerError(
                    f"{type(self.module).__name__} draws random numbers in its forward; an "
                    "episode must be a pure function: leave them out, or call module.eval() first"
                ) from error
            raise self._not_together(str(error).splitlines()[0][:120]) from error
        return output

    def _not_together(self, why: str) -> NotTogetherError:
        return NotTogetherError(
            f"{type(self.module).__name__} cannot take several episodes at once ({why}): they run "
            "one after the other, to the same result, and slower",
            self.module,
        )

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.module.named_parameters())

    @cached_property
    def _pure(self) -> nn.Module:
        """The module, its batch normalisations replaced by those that see the mask."""
        return _replaced(copy.deepcopy(self.module), "", {}) if self.normalises else self.module

    @contextmanager
    def _attention(self) -> Iterator[None]:
        attends = any(isinstance(part, nn.MultiheadAttention) for part in self.module.modules())
        with sdpa_kernel(SDPBackend.MATH) if attends else nullcontext():
            yield


@dataclass(frozen=True)
class _Rows:
    """What batch normalisations go by: rows that count, fixed moments, and what they saw."""

    mask: Tensor
    moments: Params
    seen: Params | None


_ROWS: ContextVar[_Rows | None] = ContextVar("rows", default=None)


class _RowNorm(nn.Module):
    """Batch normalisation over the rows that a mask names, or by fixed moments.

    Args:
        layer: torch's layer, whose scale and shift it keeps under their names.
        name: of the layer in its module.
    """

    def __init__(self, layer: nn.modules.batchnorm._BatchNorm, name: str) -> None:
        super().__init__()
        self.name, self.eps = name, layer.eps
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return `(n, c, ...)` normalised over all axes but the second, scaled and shifted."""
        rows = _ROWS.get()
        if rows is None:
            raise LearnerError("a module's batch normalisation ran outside of its network")
        start = f"{self.name}." if self.name else ""
        mean, variance = (rows.moments.get(f"{start}{of}") for of in ("mean", "variance"))
        if rows.seen is None and alone() and mean is None and bool(rows.mask.all()):
            return nnf.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        if mean is None or variance is None:
            mean, variance = _moments(at_least_float32(x), rows.mask, self.name)
        if rows.seen is not None:
            rows.seen.update({f"{start}mean": mean, f"{start}variance": variance})
        gain = torch.rsqrt(variance + self.eps)
        gain = gain if self.weight is None else gain * self.weight
        shift = -mean * gain if self.bias is None else self.bias - mean * gain
        wide = (-1, *(1,) * (x.ndim - 2))
        return x * gain.reshape(wide) + shift.reshape(wide)


def _moments(x: Tensor, mask: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return mean and variance `(c,)` of `x` `(n, c, ...)` over the rows of the mask.

    Where a module has made several rows of each input, `n` is a multiple of the mask's length.
    """
    if len(x) % len(mask):
        raise LearnerError(
            f"layer {name!r} normalises {len(x)} rows for {len(mask)} inputs, so that padding "
            "and queries cannot be told apart there; take GroupNorm or LayerNorm"
        )
    weight = mask.to(x.dtype).repeat_interleave(len(x) // len(mask))
    weight = weight.reshape(-1, *(1,) * (x.ndim - 1))
    axes = [0, *range(2, x.ndim)]
    count = weight.sum() * x[0, 0].numel()
    mean = (x * weight).sum(axes) / count
    apart = x - mean.reshape(-1, *(1,) * (x.ndim - 2))
    return mean, (apart.square() * weight).sum(axes) / count


def _replaced(part: nn.Module, name: str, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """Return a module with its batch normalisations replaced; a layer used twice stays one."""
    if part not in done:
        done[part] = part
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and _mixes_rows(part):
            done[part] = _RowNorm(part, name)
        for key, child in part.named_children():
            setattr(part, key, _replaced(child, f"{name}.{key}" if name else key, done))
    return done[part]


def _draws(part: nn.Module) -> bool:
    """Whether a layer draws random numbers in training mode; dropout of nothing draws none."""
    if isinstance(part, nn.modules.dropout._DropoutNd):
        return part.p > 0
    if isinstance(part, (nn.RNNBase, nn.MultiheadAttention)):
        return part.dropout > 0
    return isinstance(part, nn.RReLU)


def normalises_rows(module: nn.Module) -> bool:
    """Whether a module has batch normalisation that goes by the rows it is given."""
    return any(map(_mixes_rows, module.modules()))


def _mixes_rows(part: nn.Module) -> bool:
    """Whether a layer normalises by the moments of all rows together."""
    kind = nn.modules.batchnorm._BatchNorm
    return isinstance(part, kind) and part.running_mean is None
