"""Two blocks' beginning a few images at a time, where it is differentiated once.

The first block's maps are the largest of all, and quickly made: they are made again on the way
back, so that no more than a few images' exist, and those in cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from learners.convolution import Convolution
from learners.first_block import FirstBlock

Found = tuple[Tensor | None, ...]


def convolved_in_parts(first: FirstBlock, filters: Tensor, stride: int) -> Tensor:
    """Return rows `(M, B, c')` of a convolution of the block's maps; once differentiable."""
    y: Tensor = _InParts.apply(first.weights, filters, first, stride)  # type: ignore[no-untyped-call]
    return y


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        weights, filters, ctx.first, ctx.stride = given
        ctx.save_for_backward(weights, filters)
        rows = []
        for part in ctx.first.parts():
            x = ctx.first.maps(weights, part)
            rows.append(_sizes(x, filters, ctx.stride).of(x, filters))
        return torch.cat(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> Found:
        weights, filters = ctx.saved_tensors
        leaf, to_filters, done = weights.detach().requires_grad_(), torch.zeros_like(filters), 0
        for part in ctx.first.parts():
            with torch.enable_grad():
                x = ctx.first.maps(leaf, part)
            conv = _sizes(x, filters, ctx.stride)
            n, h, w, *_ = conv.output
            dy = cotangents[0][done : done + n * h * w]
            done += n * h * w
            to_x, found = conv.adjoints(dy, x.detach(), filters, True)
            to_filters += found
            with torch.enable_grad():
                _Along.apply(x, to_x).backward()  # type: ignore[no-untyped-call]
        return leaf.grad, to_filters, None, None


def _sizes(x: Tensor, filters: Tensor, stride: int) -> Convolution:
    return Convolution(tuple(x.shape), tuple(filters.shape), stride)


class _Along(torch.autograd.Function):
    """A number whose derivative in x is what is given with it.

    Asked for a derivative along a cotangent, PyTorch imports a library of symbols: 30 MB.
    """

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, cotangent = given
        ctx.save_for_backward(cotangent)
        nothing: Tensor = x.new_zeros(())
        return nothing

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> Found:
        return *ctx.saved_tensors, None
