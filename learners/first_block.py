"""The first block of a convolutional network, over images that nothing is differentiated in.

Images of few channels are seen through patches of few numbers, and those are the same in every
inner step. What normalisation needs of a filter's responses is in the patches' covariance, so that
the responses themselves need not exist, and no derivative of a normalisation runs over them:

    p   share of a patch in the statistics, summing to 1: 1/M, or 0 where masked
    X   patches `(B, M, 9 c)`, centred: X - p^T X
    L   the Cholesky factor of their covariance X^T diag(p) X = L L^T
    W   filters `(B, c', 9 c)`, whose responses X W^T have mean 0 and variance |W L|^2

    A = scale (|W L|^2 + epsilon)^(-1/2) W,     out = relu(X A^T + shift)

A is small and left to PyTorch's tape. `out` is linear in (A, shift) where it is positive: of a
cotangent G they get z^T (X, 1), with z = G where out > 0; of a cotangent V of that, G gets
(X, 1) V^T where out > 0, and nothing else gets anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as nnf

from learners.convolution import Convolution, pooled

MOST_CHANNELS = 3
"""Channels up to which patches are few numbers."""

EPSILON = 1e-5
"""What every normalisation adds to a variance."""

_PART = 2**19
"""Numbers of the maps that are made at once where all need not exist."""

_LEAST = 1e-13
"""Of the covariance's trace, added to its diagonal: it may be of less than full rank."""


@dataclass(frozen=True)
class FirstBlock:
    """The first block of a network, at its images.

    Args:
        weights: (A, shift - A E[X]) `(B, c', 9 c + 1)`.
        patches: (X, 1) `(B, M, 9 c + 1)`.
        output: shape of its maps before pooling `(n, h, w, B, c')`.
        pooled: whether the block ends in 2 x 2 max-pooling.
    """

    weights: Tensor
    patches: Tensor
    output: tuple[int, int, int, int, int]
    pooled: bool

    def maps(self, weights: Tensor, patches: Tensor) -> Tensor:
        """Return the maps of all or of some images, twice differentiable in the weights.

        Args:
            weights: `(B, c', 9 c + 1)`, rounded to what patches are of.
            patches: of whole images `(B, m, 9 c + 1)`.
        """
        rows = _Rectified.apply(  # type: ignore[no-untyped-call]
            weights.to(patches.dtype), patches
        )
        x: Tensor = rows.view(-1, *self.output[1:])
        return pooled(x) if self.pooled else x

    @property
    def maps_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the maps `(n, h, w, B, c')`."""
        n, h, w, b, c = self.output
        return (n, h // 2, w // 2, b, c) if self.pooled else self.output

    def parts(self) -> tuple[Tensor, ...]:
        """Return the patches of a few images after the other."""
        _, h, w, b, c = self.output
        return self.patches.split(max(1, _PART // (h * w * b * c)) * h * w, 1)


def first_block(
    block: tuple[Tensor, ...], x: Tensor, share: Tensor, conv: Convolution, pooled: bool
) -> FirstBlock:
    """Return the first block at images `(n, h, w, B, c)`.

    Args:
        block: filters `(B, c', c, 3, 3)`, scale `(B, c')` and shift `(B, c')`.
        x: the images.
        share: of each patch in the statistics `(M, B, 1)`, or one number `(1, 1, 1)`.
        conv: the convolution's sizes.
        pooled: whether the block ends in pooling.
    """
    filters, scale, shift = block
    with torch.no_grad():
        patches = _patches(conv, x)
        mean, factor = _moments(patches.double(), share.movedim(1, 0))
    w = filters.permute(0, 1, 3, 4, 2).flatten(2).double()
    gain = scale * ((w @ factor).square().sum(2) + EPSILON).rsqrt()
    a = gain[..., None] * w
    a = torch.cat([a, shift[..., None] - a @ mean], 2).to(filters.dtype)
    return FirstBlock(a, nnf.pad(patches, (0, 1), value=1.0), conv.output, pooled)


def _patches(conv: Convolution, x: Tensor) -> Tensor:
    n, h, w, b, _ = conv.output
    c = x.shape[-1]
    padded = nnf.pad(x.movedim(3, 0).flatten(0, 1), (0, 0, 1, 1, 1, 1))
    image, row, pixel, _ = padded.stride()
    # Three pixels of a row lie side by side: a patch is three runs of 3 c numbers.
    strides = (image, conv.stride * row, conv.stride * pixel, row, 1)
    return padded.as_strided((b * n, h, w, 3, 3 * c), strides).reshape(b, n * h * w, 9 * c)


def _moments(patches: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return E[X] `(B, 9 c, 1)` and L, in float64."""
    alike = share.numel() == 1
    weighed, by = (patches, 1 / patches.shape[1]) if alike else (patches * share, 1.0)
    mean = by * weighed.sum(1)[..., None]
    covariance = by * (weighed.mT @ patches) - mean @ mean.mT
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    diagonal += _LEAST * diagonal.sum(1, keepdim=True) + torch.finfo(patches.dtype).tiny
    # What is not finite is to be seen in the loss: no error here.
    return mean, torch.linalg.cholesky_ex(covariance)[0]


def _product(patches: Tensor, a: Tensor) -> Tensor:
    """Return rows (X, 1) A^T `(M, B, c')`, their episodes side by side."""
    rows = patches.new_empty(patches.shape[1], *a.shape[:2])
    torch.bmm(patches, a.mT, out=rows.movedim(1, 0))
    return rows


class _Rectified(torch.autograd.Function):
    """Takes (A, shift) `(B, c', k)` and (X, 1) `(B, M, k)`; gives rows `(M, B, c')`."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        a, patches = given
        out = _product(patches, a).relu_()
        ctx.save_for_backward(patches, out)
        return out

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> tuple[Tensor | None, ...]:
        return _Weights.apply(*cotangents, *ctx.saved_tensors), None  # type: ignore[no-untyped-call]


class _Weights(torch.autograd.Function):
    """What `_Rectified` gives back to (A, shift)."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        cotangent, patches, out = given
        ctx.save_for_backward(patches, out)
        z = torch.ops.aten.threshold_backward(cotangent, out, 0)
        # The long side goes last: MKL is several times slower the other way.
        return torch.bmm(patches.mT, z.movedim(1, 0)).mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> tuple[Tensor | None, ...]:
        (v,) = cotangents
        patches, out = ctx.saved_tensors
        found: Tensor = torch.ops.aten.threshold_backward(_product(patches, v), out, 0)
        return found, None, None
