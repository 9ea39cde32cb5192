"""Convolution, batch normalisation and ReLU of several episodes, with exact second derivatives.

PyTorch's own operators give the same numbers, at a price on a CPU: on the handful of images of a
support set an operator costs more to start than to compute, and the second derivative of a
normalisation, which an inner loop asks for at every step, is put together from two dozen of them.
Here a few episodes are computed at once, each with filters of its own, beside each other in the
channels, and a normalisation is a few passes over rows that lie in cache. There are two functions;
the first block has ways of its own (`learners.first_block`).

**Convolution** is linear in images and in filters, so its derivatives are itself and its adjoints:

    y = conv(x, W)
    of a cotangent dy:               dx = images(dy, W),  dW = filters(dy, x)
    of (a, V), cotangents of those:  conv(a, W) + conv(x, V),  images(dy, V),  filters(dy, a)

**Normalisation and ReLU** of rows y `(M, B, c)`; every episode and channel for itself:

    p                    share of a row in the statistics, summing to 1: 1/M, or 0 where masked
    u = y - E[y],  r = (E[u^2] + epsilon)^(-1/2),  g = scale r     with E[.] = sum(p .)
    out = relu(g u + shift)

Of a cotangent G of `out`, with z = G where out > 0, s = sum(z), q = sum(z u) and h = g r^2 q:

    dy = g z - p (g s + h u),  dscale = r q,  dshift = s

Let (v, a, b) be cotangents of those three. They are the gradient of <G, out>, and mixed
derivatives commute, so what is asked for is the derivative of (out, dy, dscale) when
(y, scale, shift) move along (v, a, b). With a dash for it:

    u' = v - E[v],  r' = -r^3 E[u u'],  g' = a r + scale r',  q' = sum(z u')
    h' = g' r^2 q + 2 g r r' q + g r^2 q'
    to G: (g' u + g u' + b) where out > 0;  to y: g' z - p (g' s + h' u + h u');
    to scale: r' q + r q'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from learners.convolution import Convolution, pooled
from learners.first_block import EPSILON, MOST_CHANNELS, first_block
from learners.immediate import asked_once
from learners.in_parts import convolved_in_parts

_AXES = (4, 1, 1)
"""Axes of the filters, scale and shift of one episode."""

Found = tuple[Tensor | None, ...]


def features_by_rows(
    blocks: Sequence[tuple[Tensor, ...]], x: Tensor, mask: Tensor, stride: int, n_pooled: int
) -> Tensor:
    """Return the features of convolutional blocks, twice differentiable on PyTorch's tape.

    Args:
        blocks: filters `(c', c, 3, 3)`, scale `(c',)` and shift `(c',)` of each block, two at
            least; of several episodes each its own, by a leading axis, or one for all.
        x: images `(n, c, h, w)` of one episode, or `(B, n, c, h, w)` of several.
        mask: images that count in batch statistics `(n,)`, or `(B, n)`.
        stride: of the convolutions; the mean over space is taken where it is not 1.
        n_pooled: blocks that end in 2 x 2 max-pooling, the first ones.

    Returns:
        `(n, d)`, or `(B, n, d)`.
    """
    if x.ndim == 4:
        return features_by_rows(blocks, x[None], mask[None], stride, n_pooled)[0]
    b = len(x)
    own = [
        tuple(v.expand(b, *v.shape[v.ndim - k :]) for v, k in zip(of, _AXES, strict=True))
        for of in blocks
    ]
    x = x.permute(1, 3, 4, 0, 2)
    if not x.requires_grad and x.shape[-1] <= MOST_CHANNELS:
        done, y, conv = 1, *_begun(own, x, mask, stride, n_pooled > 0)
    else:
        conv = Convolution(tuple(x.shape), tuple(own[0][0].shape), stride)
        done, y = 0, _Convolved.apply(x, own[0][0], conv)  # type: ignore[no-untyped-call]
    for i, (_, scale, shift) in enumerate(own[done:], done):
        share = _shares(mask, conv.output, y)
        rows = _Normalised.apply(y, scale, shift, share)  # type: ignore[no-untyped-call]
        x = rows.view(conv.output)
        x = pooled(x) if i < n_pooled else x
        if i + 1 < len(own):
            filters = own[i + 1][0]
            conv = Convolution(tuple(x.shape), tuple(filters.shape), stride)
            y = _Convolved.apply(x, filters, conv)  # type: ignore[no-untyped-call]
    x = x.movedim(3, 0)
    return x.mean((2, 3)) if stride > 1 else x.movedim(-1, 2).flatten(2)


def _begun(
    own: list[tuple[Tensor, ...]], x: Tensor, mask: Tensor, stride: int, pooled: bool
) -> tuple[Tensor, Convolution]:
    """Return the rows of the second block's convolution, and its sizes."""
    sizes = Convolution(tuple(x.shape), tuple(own[0][0].shape), stride)
    first = first_block(own[0], x, _shares(mask, sizes.output, x), sizes, pooled)
    filters = own[1][0]
    conv = Convolution(first.maps_shape, tuple(filters.shape), stride)
    if asked_once():
        return convolved_in_parts(first, filters, stride), conv
    y = _Convolved.apply(  # type: ignore[no-untyped-call]
        first.maps(first.weights, first.patches), filters, conv
    )
    return y, conv


def _shares(mask: Tensor, output: tuple[int, ...], like: Tensor) -> Tensor:
    """Return p: `(M, B, 1)`, or one number where all rows count alike."""
    n, h, w, *_ = output
    if bool(mask.all()):
        return like.new_full((1, 1, 1), 1 / (n * h * w))
    real = mask.mT.to(like.dtype)
    return (real / (real.sum(0) * h * w)).repeat_interleave(h * w, 0)[..., None]


class _Convolved(torch.autograd.Function):
    """Takes maps `(n, h, w, B, c)`, filters and their `Convolution`; gives rows y."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, filters, conv = given
        ctx.conv = conv
        ctx.save_for_backward(x, filters)
        y: Tensor = conv.of(x, filters)
        return y

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Found:
        wanted = ctx.needs_input_grad[0]
        given = (*cotangents, *ctx.saved_tensors, ctx.conv, wanted)
        return (*_Adjoints.apply(*given), None)  # type: ignore[no-untyped-call]


class _Adjoints(torch.autograd.Function):
    """What `_Convolved` gives back to images and filters."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Found:
        dy, x, filters, conv, wanted = given
        ctx.conv = conv
        ctx.save_for_backward(dy if wanted else None, x, filters)
        found: Found = conv.adjoints(dy, x, filters, wanted)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> Found:
        (dy, x, filters), conv = ctx.saved_tensors, ctx.conv
        of_images, of_filters = cotangents
        to_dy = conv.of(x, of_filters)
        if of_images is None:
            return to_dy, *(None,) * 4
        to_dy += conv.of(of_images, filters)
        to_x, to_filters = conv.adjoints(dy, of_images, of_filters, True)
        return to_dy, to_x, to_filters, None, None


class _Normalised(torch.autograd.Function):
    """Takes rows y and gives them up: u takes their memory."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        y, scale, shift, share = given
        # No one reads y again, so it need not be kept for every inner step beside u. What is saved
        # is still y to the graph, and u in value.
        u = y.sub_(_mean(y, share))
        r = (_mean(u * u, share) + EPSILON).rsqrt()
        out = torch.addcmul(shift, u, scale * r).relu_()
        ctx.save_for_backward(u, scale, share, r, out)
        return out

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Found:
        given = (*cotangents, *ctx.saved_tensors)
        return (*_Slopes.apply(*given), None)  # type: ignore[no-untyped-call]


class _Slopes(torch.autograd.Function):
    """What `_Normalised` gives back to rows, scale and shift."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Found:
        cotangent, u, scale, share, r, out = given
        z = _where_positive(cotangent, out)
        s, q, g = z.sum(0, keepdim=True), (z * u).sum(0, keepdim=True), scale * r
        h = g * r.square() * q
        ctx.save_for_backward(scale, share, u, r, out, z, s, q, g, h)
        return _without(z * g, share, g * s, (u, h)), r * q, s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> Found:
        scale, share, u, r, out, z, s, q, g, h = ctx.saved_tensors
        v, a, b = cotangents
        u_dash = v - _mean(v, share)
        r_dash = -(r.square() * r) * _mean(u * u_dash, share)
        g_dash = a * r + scale * r_dash
        q_dash = (z * u_dash).sum(0, keepdim=True)
        h_dash = r * (g_dash * r * q + g * (2 * r_dash * q + r * q_dash))
        to_cotangent = torch.addcmul(b, u, g_dash).addcmul_(u_dash, g)
        to_y = _without(z * g_dash, share, g_dash * s, (u, h_dash), (u_dash, h))
        to_scale = r_dash * q + r * q_dash
        return _where_positive(to_cotangent, out), to_y, to_scale, *(None,) * 3


def _mean(y: Tensor, share: Tensor) -> Tensor:
    """Return E[y] `(1, B, c)`."""
    return y.mean(0, keepdim=True) if share.numel() == 1 else (y * share).sum(0, keepdim=True)


def _where_positive(y: Tensor, out: Tensor) -> Tensor:
    found: Tensor = torch.ops.aten.threshold_backward(y, out, 0)
    return found


def _without(
    y: Tensor, share: Tensor, constant: Tensor, *products: tuple[Tensor, Tensor]
) -> Tensor:
    """Return y - p (constant + the sum of the products); y is changed."""
    if share.numel() == 1:
        for rows, slope in products:
            y.addcmul_(rows, slope * share, value=-1)
        return y.sub_(constant * share)
    away = constant.expand_as(y).clone()
    for rows, slope in products:
        away.addcmul_(rows, slope)
    return y.addcmul_(away, share, value=-1)
