"""What users hand to `adapt` and `predict`, as tensors of the type that a state computes in."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.episode import Episodes, Examples, tensor_of
from learners.errors import LearnerError

_BYTES = "{} bytes, and networks take floats: divide by 255 first"


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


def episodes_like(state: dict[str, Tensor], episodes: Episodes, *, whole: bool) -> Episodes:
    """Return episodes to train on, inputs and targets in the floating-point type of a state.

    Args:
        state: what is trained.
        episodes: of a sampler.
        whole: as for `values_like`.

    Raises:
        LearnerError: if inputs are bytes.
    """

    def part(one: Examples) -> Examples:
        if one.x.dtype == torch.uint8:
            raise LearnerError(_BYTES.format("the sampler gives"))
        x = values_like(state, one.x, whole=whole)
        return one._replace(x=x, y=one.y if episodes.n_way else values_like(state, one.y))

    return Episodes(part(episodes.support), part(episodes.query), episodes.n_way)


def support_like(
    state: dict[str, Tensor], support: Examples, *, classification: bool, whole: bool
) -> Examples:
    """Return a support set, or a batch of them, as a state computes with it.

    Raises:
        LearnerError: if its parts do not agree in shape, a set has no real row, or real inputs
            or targets are bytes, NaN or infinite.
    """
    x, y, mask = support
    axes = mask.ndim
    fits = x.shape[:axes] == mask.shape == y.shape[:axes] and x.ndim > axes
    if not fits or y.ndim != axes + (not classification) or mask.dtype != torch.bool:
        labels = "(n,)" if classification else "(n, n_out)"
        raise LearnerError(
            f"a support set has x (n, *shape), y {labels} and a boolean mask (n,), with or without "
            f"an axis for episodes before them; got x {tuple(x.shape)}, y {tuple(y.shape)} and a "
            f"{mask.dtype} mask {tuple(mask.shape)}; learners.episode.examples makes one"
        )
    if not mask.any(-1).all():
        raise LearnerError("a support set has no real row: its mask hides them all")
    if x.dtype == torch.uint8:
        raise LearnerError(_BYTES.format("the support set holds"))
    x, y = values_like(state, x, whole=whole), y if classification else values_like(state, y)
    for name, values in (("inputs", x), ("targets", y)):
        if values.is_floating_point() and not torch.isfinite(values[mask]).all():
            raise LearnerError(
                f"the support set's {name} hold NaN or infinity; drop or impute those rows first"
            )
    return Examples(x, y, mask)


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
        raise LearnerError(_BYTES.format("the query holds"))
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
