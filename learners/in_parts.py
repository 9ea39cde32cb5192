"""The first block of a network a few images at a time, where it is differentiated once.

Its maps are the largest of all, and quickly made: they are made again on the way back, so that no
more than a few images' exist, and those in cache.
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
    y: Tensor = _Convolved.apply(first.weights, filters, first, stride)  # type: ignore[no-untyped-call]
    return y


def maps_in_parts(first: FirstBlock) -> Tensor:
    """Return the block's maps `(n, h, w, B, c)`; once differentiable."""
    x: Tensor = _Maps.apply(first.weights, first)  # type: ignore[no-untyped-call]
    return x


class _Maps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        weights, ctx.first = given
        ctx.save_for_backward(weights)
        return torch.cat([ctx.first.maps(weights, part) for part in ctx.first.parts()])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> Found:
        leaf = ctx.saved_tensors[0].detach().requires_grad_()
        done = 0
        for part in ctx.first.parts():
            x = _recorded(ctx.first, leaf, part)
            _pull(x, cotangents[0][done : done + len(x)])
            done += len(x)
        return leaf.grad, None


class _Convolved(torch.autograd.Function):
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
            x = _recorded(ctx.first, leaf, part)
            conv = _sizes(x, filters, ctx.stride)
            n, h, w, *_ = conv.output
            dy = cotangents[0][done : done + n * h * w]
            done += n * h * w
            to_x, found = conv.adjoints(dy, x.detach(), filters, True)
            to_filters += found
            _pull(x, to_x)
        return leaf.grad, to_filters, None, None


def _sizes(x: Tensor, filters: Tensor, stride: int) -> Convolution:
    return Convolution(tuple(x.shape), tuple(filters.shape), stride)


def _recorded(first: FirstBlock, leaf: Tensor, part: Tensor) -> Tensor:
    with torch.enable_grad():
        return first.maps(leaf, part)


def _pull(x: Tensor, cotangent: Tensor | None) -> None:
    """Add to the leaf's gradient what the cotangent of x gives it."""
    with torch.enable_grad():
        _Along.apply(x, cotangent).backward()  # type: ignore[no-untyped-call]


class _Along(torch.autograd.Function):
    """A number whose derivative in x is what is given with it.

    Asked for a derivative along a cotangent, PyTorch imports a library of symbols: 30 MB.
    """

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, cotangent = given
        ctx.save_for_backward(cotangent)
        return x.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> Found:
        return *ctx.saved_tensors, None
