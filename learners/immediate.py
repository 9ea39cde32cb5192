"""A loss whose gradient is taken where it is computed, so that its graph need not be kept.

The last loss of an episode is asked for its first derivative alone. Taken at once, it leaves one
gradient behind instead of all activations; the arithmetic is the same. What is
computed of many rows can then be computed a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

State = dict[str, Tensor]


def differentiated_now(loss: Callable[[State], Tensor], at: State) -> Tensor:
    """Return a scalar loss that carries its gradient instead of its graph; once differentiable.

    Args:
        loss: of what `at` holds and of constants.
        at: what the gradient is asked in, on PyTorch's tape.
    """
    value: Tensor = _Now.apply(loss, tuple(at), *at.values())  # type: ignore[no-untyped-call]
    return value


_AT_ONCE: ContextVar[bool] = ContextVar("at_once", default=False)


def at_once() -> bool:
    """Whether what runs is part of such a loss: differentiated once, where it is computed."""
    return _AT_ONCE.get()


class _Now(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        loss, names, *values = given
        leaves = [value.detach().requires_grad_() for value in values]
        token = _AT_ONCE.set(True)
        try:
            with torch.enable_grad():
                value: Tensor = loss(dict(zip(names, leaves, strict=True)))
                found = torch.autograd.grad(value, leaves, allow_unused=True)
        finally:
            _AT_ONCE.reset(token)
        ctx.save_for_backward(*found)
        return value.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> tuple[Tensor | None, ...]:
        (scale,) = cotangents
        found = (None if one is None else scale * one for one in ctx.saved_tensors)
        return None, None, *found
