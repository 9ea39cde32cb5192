"""A 3 x 3 convolution of several episodes, each with filters of its own, and its two adjoints.

Episodes lie beside each other in the channels: maps are `(n, h, w, B, c)`, so that PyTorch's
grouped convolution over channels that lie last computes all of them in one call. For few images,
one call an episode costs more to start than to compute.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf


@dataclass(frozen=True)
class Convolution:
    """The sizes of 3 x 3 convolutions that are padded by 1, and what they do.

    Args:
        maps: shape of what is convolved `(n, h, w, B, c)`.
        filters: shape of the weights `(B, c', c, 3, 3)`.
        stride: of the convolution.
    """

    maps: tuple[int, ...]
    filters: tuple[int, ...]
    stride: int

    @property
    def output(self) -> tuple[int, int, int, int, int]:
        """Shape of the result `(n, h', w', B, c')`, whose rows are `(M, B, c')`."""
        n, *sides, b, _ = self.maps
        h, w = ((side - 1) // self.stride + 1 for side in sides)
        return n, h, w, b, self.filters[1]

    def of(self, x: Tensor, filters: Tensor) -> Tensor:
        """Return rows y `(M, B, c')`."""
        b = self.filters[0]
        y = nnf.conv2d(in_channels(x), _grouped(filters), None, self.stride, 1, 1, b)
        return _own(y, (-1, b, self.filters[1]))

    def adjoints(
        self, dy: Tensor, x: Tensor, filters: Tensor, both: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return the adjoints of y in x, if `both`, and in the filters, at rows dy `(M, B, c')`.

        The second has channels last in memory.
        """
        b, c_out, c, *_ = self.filters
        how = ([self.stride] * 2, [1, 1], [1, 1], False, [0, 0], b, [both, True, False])
        to_x, to_filters, _ = torch.ops.aten.convolution_backward(
            in_channels(dy.view(self.output)), in_channels(x), _grouped(filters), None, *how
        )
        found = _own(to_filters, (b, c_out, 3, 3, c)).permute(0, 1, 4, 2, 3)
        return _own(to_x, self.maps) if both else None, found


def in_channels(x: Tensor) -> Tensor:
    """Return maps `(n, h, w, B, c)` as the `(n, B c, h, w)` that PyTorch's operators take."""
    return x.flatten(3).permute(0, 3, 1, 2)


def pooled(x: Tensor) -> Tensor:
    """Return `(n, h // 2, w // 2, B, c)`, the largest of every four pixels of each map."""
    found = nnf.max_pool2d(in_channels(x), 2).permute(0, 2, 3, 1)
    return found.reshape(*found.shape[:3], *x.shape[3:])


def _grouped(filters: Tensor) -> Tensor:
    """Return filters `(B, c', c, 3, 3)` as `(B c', c, 3, 3)`, channels last in memory."""
    return filters.permute(0, 1, 3, 4, 2).contiguous().flatten(0, 1).permute(0, 3, 1, 2)


def _own(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return `(n, c, h, w)` by its channels last, in another shape.

    It is no view to autograd, which would forbid its memory to be used again.
    """
    found: Tensor = torch.ops.aten._unsafe_view(x.permute(0, 2, 3, 1).contiguous(), shape)
    return found
