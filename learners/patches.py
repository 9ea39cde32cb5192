"""A 3 x 3 convolution over channels that lie last, as a matrix product, and its two adjoints.

Each episode of a batch has filters of its own:

    y = X W^T        X = patches of x `(B, M, 9 c)`, M = n * h' * w';  W: filters `(B, c', 9 c)`

Few images make few patches, which stay in cache: a product of matrices is then faster than a
convolution, whose cost is setting it up. Many are left to PyTorch's convolution, whose patches
never exist.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

_CACHED = 2**18
"""Numbers in an episode's matrix of patches up to which it stays in a core's cache."""


@dataclass(frozen=True)
class Convolution:
    """The sizes of 3 x 3 convolutions that are padded by 1, and what they do.

    Args:
        images: shape of what is convolved `(B, n, h, w, c)`.
        filters: shape of the weights `(B, c', c, 3, 3)`.
        stride: of the convolution.
    """

    images: tuple[int, ...]
    filters: tuple[int, ...]
    stride: int

    @property
    def output(self) -> tuple[int, int, int, int, int]:
        """Shape of the result `(B, n, h', w', c')`, whose rows are `(B, M, c')`."""
        b, n, *sides, _ = self.images
        h, w = ((side - 1) // self.stride + 1 for side in sides)
        return b, n, h, w, self.filters[1]

    @property
    def by_patches(self) -> bool:
        """Whether patches are made: not of many images, unless they have hardly a channel."""
        _, n, h, w, _ = self.output
        c = self.images[4]
        return c <= 3 or n * h * w * 9 * c <= _CACHED

    def patches(self, x: Tensor) -> Tensor | None:
        """Return X `(B, M, 9 c)`, or None where it is not to be made."""
        if not self.by_patches:
            return None
        b, n, h, w, _ = self.output
        c = self.images[4]
        padded = nnf.pad(x.flatten(0, 1), (0, 0, 1, 1, 1, 1))
        image, row, pixel, _ = padded.stride()
        # Three pixels of a row lie side by side: a patch is three runs of 3 c numbers.
        strides = (image, self.stride * row, self.stride * pixel, row, 1)
        return padded.as_strided((b * n, h, w, 3, 3 * c), strides).reshape(b, n * h * w, 9 * c)

    def of(self, x: Tensor, patches: Tensor | None, filters: Tensor) -> Tensor:
        """Return y `(B, M, c')` from x and its patches, where there are any."""
        if patches is not None:
            return torch.bmm(patches, _matrix(filters).mT)
        pairs = zip(_first(x), _last_in_memory(filters), strict=True)
        each = [nnf.conv2d(one, of, stride=self.stride, padding=1) for one, of in pairs]
        return _stacked([y.permute(0, 2, 3, 1).flatten(0, 2) for y in each])

    def adjoints(
        self, dy: Tensor, x: Tensor, patches: Tensor | None, filters: Tensor, both: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return the adjoints of y in x, if `both`, and in the filters, at dy `(B, M, c')`.

        The first is dy W, each patch added in its place; the second dy^T X, with channels last in
        memory.
        """
        if patches is not None:
            b, c_out, c, *_ = self.filters
            # Of few channels the long side goes last: MKL is several times slower the other way.
            product = torch.bmm(dy.mT, patches) if c > 3 else torch.bmm(patches.mT, dy).mT
            found = product.reshape(b, c_out, 3, 3, c).permute(0, 1, 4, 2, 3)
            return self._spread(torch.bmm(dy, _matrix(filters))) if both else None, found
        sides = ([self.stride] * 2, [1, 1], [1, 1])
        each = [
            torch.ops.aten.convolution_backward(
                *one, None, *sides, False, [0, 0], 1, [both, True, False]
            )
            for one in zip(
                _first(dy.view(self.output)), _first(x), _last_in_memory(filters), strict=True
            )
        ]
        to_x = _stacked([found[0].permute(0, 2, 3, 1) for found in each]) if both else None
        to_filters = _stacked([found[1].permute(0, 2, 3, 1) for found in each])
        return to_x, to_filters.permute(0, 1, 4, 2, 3)

    def _spread(self, patches: Tensor) -> Tensor:
        b, n, h, w, c = self.images
        size = (b * n, *self.output[2:4], c)
        padded = patches.new_zeros(b * n, h + 2, w + 2, c)
        image, row, pixel, _ = padded.stride()
        strides = (image, self.stride * row, self.stride * pixel, 1)
        for k, part in enumerate(patches.view(*size[:3], 9, c).unbind(3)):
            padded.as_strided(size, strides, k // 3 * row + k % 3 * pixel).add_(part)
        return padded[:, 1:-1, 1:-1].reshape(self.images)


def _stacked(each: list[Tensor]) -> Tensor:
    """Return the tensors along a new first axis; one alone keeps its memory.

    It is no view to autograd, which would forbid that memory to be used again.
    """
    if len(each) > 1:
        return torch.stack(each)
    alone: Tensor = torch.ops.aten._unsafe_view(each[0], (1, *each[0].shape))
    return alone


def _first(x: Tensor) -> Tensor:
    """Return `(B, n, h, w, c)` as the `(B, n, c, h, w)` that PyTorch's convolutions take."""
    return x.permute(0, 1, 4, 2, 3)


def _last_in_memory(filters: Tensor) -> Tensor:
    """Return filters `(B, c', c, 3, 3)` whose channels c lie side by side."""
    return filters.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


def _matrix(filters: Tensor) -> Tensor:
    """Return W `(B, c', 9 c)`: a view where channels lie last in memory."""
    return filters.permute(0, 1, 3, 4, 2).flatten(2)
