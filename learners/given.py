"""What users hand to `adapt` and `predict`, as tensors of the type that a state computes in."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.episode import tensor_of
from learners.errors import LearnerError


def values_like(state: dict[str, Tensor], values: Tensor, *, whole: bool = False) -> Tensor:
    """Return numbers in the floating-point type of a state; a state of none leaves them.

    Args:
        state: what meta-training gave.
        values: inputs or targets.
        whole: whether whole numbers stay what they are, as the inputs of a user's own embedding.
    """
    kind = next((one.dtype for one in state.values() if one.is_floating_point()), values.dtype)
    if values.dtype == torch.uint8 or (whole and not values.is_floating_point()):
        return values
    return values.to(kind)


def queries(
    state: dict[str, Tensor],
    x: Tensor | NDArray[Any],
    mask: Tensor | None,
    shape: tuple[int, ...] | None,
    *,
    whole: bool,
) -> tuple[Tensor, Tensor]:
    """Return inputs `(B, n, *shape)` as a state computes with them, and their mask `(B, n)`.

    Args:
        state: what meta-training gave.
        x: inputs with axes for episodes and examples.
        mask: False for padding; None for none.
        shape: of one input of the support set; None where it is not known.
        whole: as for `values_like`.

    Raises:
        LearnerError: if they are bytes, of another shape than the support set, NaN or infinite.
    """
    x = tensor_of(x)
    if x.dtype == torch.uint8:
        raise LearnerError("the query holds bytes, and networks take floats: divide by 255 first")
    if x.ndim < 2 or (shape is not None and tuple(x.shape[2:]) != shape):
        raise LearnerError(
            f"a query's inputs are of shape {tuple(x.shape[2:])}, and the support set's of "
            f"{shape}; give (n_query, *{shape}), or (B, n_query, *{shape}) for a batch of episodes"
        )
    x = values_like(state, x, whole=whole)
    if mask is None:
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if x.is_floating_point() and not torch.isfinite(x[mask]).all():
        raise LearnerError("the query holds NaN or infinity; drop or impute those rows first")
    return x, mask
