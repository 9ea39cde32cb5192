"""The first block of a convolutional network, over images that nothing is differentiated in.

Images of few channels are seen through patches of few numbers, and those are the same in every
inner step. What normalisation needs of a filter's responses is in the patches' covariance, so that
the responses themselves need not exist, and no derivative of a normalisation runs over them:

    p   share of a patch in the statistics, summing to 1: 1/M, or 0 where masked
    X   patches `(B, M, 9 c)`, of mean E[X] = p^T X
    L   the Cholesky factor of their covariance, in float64: it is small
    W   filters `(B, c', 9 c)`, whose responses X W^T have mean W E[X] and variance |W L|^2

    A = scale (|W L|^2 + epsilon)^(-1/2) W,   b = shift - A E[X],   out = relu((X, 1) (A, b)^T)

(A, b) is small, too, and left to PyTorch's tape. `out` is linear in it where it is positive: of a
cotangent G it gets z^T (X, 1), with z = G where out > 0; of a cotangent V of that, G gets
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
        weights: (A, b) `(B, c', 9 c + 1)`.
        patches: (X, 1)^T `(B, 9 c + 1, M)`.
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
            weights: `(B, c', 9 c + 1)`.
            patches: of whole images `(B, 9 c + 1, m)`.
        """
        rows = _Rectified.apply(weights, patches)  # type: ignore[no-untyped-call]
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
        few = max(1, _PART // (h * w * b * c)) * h * w
        found: tuple[Tensor, ...] = torch.split(self.patches, few, 2)
        return found


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
        mean, factor = _moments(patches, share.permute(1, 2, 0))
    w = filters.permute(0, 1, 3, 4, 2).flatten(2).double()
    gain = scale * ((w @ factor).square().sum(2) + EPSILON).rsqrt()
    a = gain[..., None] * w
    a = torch.cat([a, shift[..., None] - a @ mean], 2).to(filters.dtype)
    return FirstBlock(a, patches, conv.output, pooled)


def _patches(conv: Convolution, x: Tensor) -> Tensor:
    """Return (X, 1)^T: numbers of one place in all patches lie side by side, as in the images."""
    n, h, w, b, _ = conv.output
    c = x.shape[-1]
    padded = nnf.pad(x.permute(3, 0, 4, 1, 2), (1, 1, 1, 1))
    episode, image, channel, row, _ = padded.stride()
    strides = (episode, row, 1, channel, image, conv.stride * row, conv.stride)
    seen = padded.as_strided((b, 3, 3, c, n, h, w), strides)
    found = x.new_empty(b, 9 * c + 1, n * h * w)
    found[:, :-1].view(seen.shape).copy_(seen)
    found[:, -1] = 1
    return found


def _moments(patches: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return E[X] `(B, 9 c, 1)` and L, in float64."""
    double = patches.double()
    weighed, by = (double, 1 / double.shape[2]) if share.numel() == 1 else (double * share, 1.0)
    # The last row and column are of ones: the products with them are sums.
    moments = by * (weighed[:, :-1] @ double.mT)
    mean = moments[:, :, -1:]
    covariance = moments[:, :, :-1] - mean @ mean.mT
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    diagonal += _LEAST * diagonal.sum(1, keepdim=True) + torch.finfo(double.dtype).tiny
    # What is not finite is to be seen in the loss: no error here.
    return mean, torch.linalg.cholesky_ex(covariance)[0]


def _product(patches: Tensor, a: Tensor) -> Tensor:
    """Return rows (X, 1) (A, b)^T `(M, B, c')`, their episodes side by side."""
    rows = patches.new_empty(patches.shape[2], *a.shape[:2])
    torch.bmm(patches.mT, a.mT, out=rows.movedim(1, 0))
    return rows


class _Rectified(torch.autograd.Function):
    """Takes (A, b) `(B, c', k)` and (X, 1)^T `(B, k, M)`; gives rows `(M, B, c')`."""

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
    """What `_Rectified` gives back to (A, b)."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        cotangent, patches, out = given
        ctx.save_for_backward(patches, out)
        z = torch.ops.aten.threshold_backward(cotangent, out, 0)
        return torch.bmm(patches, z.movedim(1, 0)).mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> tuple[Tensor | None, ...]:
        (v,) = cotangents
        patches, out = ctx.saved_tensors
        found: Tensor = torch.ops.aten.threshold_backward(_product(patches, v), out, 0)
        return found, None, None
