"""Masked losses of one set: padding counts for nothing."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as nnf


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `values` `(n,)` over the rows where `mask` is True."""
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum()


def cross_entropy(scores: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats of `scores` `(n, n_way)` against `y` `(n,)`."""
    return masked_mean(nnf.cross_entropy(scores.float(), y, reduction="none"), mask)


def mean_squared_error(predicted: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared error of `predicted` against `y`, both `(n, n_out)`."""
    return masked_mean((predicted - y).square().mean(-1), mask)
