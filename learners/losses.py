"""Masked losses of a set, or of each set of a batch: padding counts for nothing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.errors import LearnerError
from learners.execution import alone


def at_least_float32(values: Tensor) -> Tensor:
    """Return float32 for half precision, float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `values` `(..., n)` over the rows where `mask` is True."""
    weight = mask.to(values.dtype)
    return (values * weight).sum(-1) / weight.sum(-1)


def cross_entropy(scores: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats of `scores` `(..., n, n_way)`; `y` is `(..., n)`.

    Raises:
        LearnerError: if a label has no score.
    """
    if alone() and y.device.type == "cpu" and int(y.max()) >= scores.shape[-1]:
        raise _too_few(scores, str(int(y.max()) + 1))
    rows = at_least_float32(scores).flatten(0, -2)
    try:
        each = nnf.cross_entropy(rows, y.flatten(), reduction="none")
    except (IndexError, RuntimeError) as error:
        # Under `vmap` labels cannot be looked at before.
        if "out of bounds" not in str(error):
            raise
        raise _too_few(scores, "more") from error
    return masked_mean(each.view(y.shape), mask)


def mean_squared_error(predicted: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared error of `predicted` against `y`, both `(..., n, n_out)`.

    Raises:
        LearnerError: if they differ in width, for one number would stand for all targets.
    """
    if predicted.shape[-1] != y.shape[-1]:
        raise LearnerError(
            f"the network gives {predicted.shape[-1]} outputs a row, and an example has "
            f"{y.shape[-1]} targets; build it with as many outputs as there are targets"
        )
    return masked_mean((predicted - y).square().mean(-1), mask)


def _too_few(scores: Tensor, n_classes: str) -> LearnerError:
    return LearnerError(
        f"the network gives {scores.shape[-1]} outputs a row, and there are {n_classes} classes; "
        "build it with as many outputs as there are classes, or more"
    )
