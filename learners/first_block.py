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

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from learners.patches import Convolution

MOST_CHANNELS = 3
"""Channels up to which patches are few numbers."""

_LEAST = 1e-13
"""Of the covariance's trace, added to its diagonal: it may be of less than full rank."""


def first_rows(
    x: Tensor, block: tuple[Tensor, ...], share: Tensor, stride: int, epsilon: float
) -> Tensor:
    """Return convolution, normalisation and ReLU of images, twice differentiable in the block.

    Args:
        x: images `(B, n, h, w, c)`.
        block: filters `(B, c', c, 3, 3)`, scale `(B, c')` and shift `(B, c')`.
        share: of each patch in the statistics `(B, M, 1)`, or one number `(1, 1, 1)`.
        stride: of the convolution.
        epsilon: what normalisation adds to a variance.

    Returns:
        Rows `(B, M, c')`.
    """
    filters, scale, shift = block
    conv = Convolution(tuple(x.shape), tuple(filters.shape), stride)
    patches, mean, factor = _seen(conv, x, share)
    w = filters.permute(0, 1, 3, 4, 2).flatten(2).double()
    gain = scale * ((w @ factor).square().sum(2) + epsilon).rsqrt()
    a = gain[..., None] * w
    a = torch.cat([a, shift[..., None] - a @ mean], 2).to(x.dtype)
    rows: Tensor = _Rectified.apply(a, patches)  # type: ignore[no-untyped-call]
    return rows


def _seen(conv: Convolution, x: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (X, 1) `(B, M, 9 c + 1)`, E[X] `(B, 9 c, 1)` and L."""
    with torch.no_grad():
        patches = conv.patches(x)
        double = patches.double()
        weighed = double * share if share.numel() > 1 else double / double.shape[1]
        mean = weighed.sum(1)[..., None]
        covariance = weighed.mT @ double - mean @ mean.mT
        diagonal = covariance.diagonal(dim1=1, dim2=2)
        diagonal += _LEAST * diagonal.sum(1, keepdim=True) + torch.finfo(double.dtype).tiny
        # What is not finite is to be seen in the loss: no error here.
        factor = torch.linalg.cholesky_ex(covariance)[0]
    return torch.nn.functional.pad(patches, (0, 1), value=1.0), mean, factor


class _Rectified(torch.autograd.Function):
    """Takes (A, shift) `(B, c', k)` and (X, 1) `(B, M, k)`; gives rows."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        a, patches = given
        out = torch.bmm(patches, a.mT).relu_()
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
        return torch.bmm(patches.mT, z).mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> tuple[Tensor | None, ...]:
        (v,) = cotangents
        patches, out = ctx.saved_tensors
        found: Tensor = torch.ops.aten.threshold_backward(torch.bmm(patches, v.mT), out, 0)
        return found, None, None
