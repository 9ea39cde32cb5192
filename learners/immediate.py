"""A loss whose gradient is taken where it is computed, so that its graph need not be kept.

The last loss of an episode is asked for its first derivative alone. Taken at once, it leaves one
gradient behind instead of all activations; the arithmetic is the same. What knows that it is asked
once can compute a few images at a time (`learners.in_parts`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from learners.scoped import scoped

State = dict[str, Tensor]


def differentiated_now(loss: Callable[[State], Tensor], at: State) -> Tensor:
    """Return a scalar loss that carries its gradient instead of its graph; once differentiable.

    Args:
        loss: of what `at` holds and of constants.
        at: what the gradient is asked in, on PyTorch's tape.
    """
    value: Tensor = _Now.apply(loss, tuple(at), *at.values())  # type: ignore[no-untyped-call]
    return value


_ONCE: ContextVar[bool] = ContextVar("once", default=False)


def asked_once() -> bool:
    """Whether what runs is asked for its first derivative alone, by PyTorch's own tape."""
    return _ONCE.get() and not torch._C._are_functorch_transforms_active()


def once() -> AbstractContextManager[None]:
    """Say that of what runs inside no second derivative will be asked."""
    return scoped(_ONCE, True)


class _Now(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        loss, names, *values = given
        leaves = [value.detach().requires_grad_() for value in values]
        with torch.enable_grad(), once():
            value: Tensor = loss(dict(zip(names, leaves, strict=True)))
            found = torch.autograd.grad(value, leaves, allow_unused=True)
        ctx.save_for_backward(*found)
        return value.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> tuple[Tensor | None, ...]:
        (scale,) = cotangents
        found = (None if one is None else scale * one for one in ctx.saved_tensors)
        return None, None, *found
