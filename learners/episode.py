"""Episodes: a support set to learn from and a query set to be tested on (Vinyals et al. 2016).

Notation
    B       episodes in a batch, always the leading axis
    n       examples of a set, after padding to the longest of the batch
    mask    True for a real example, False for padding

A batch may mix episodes of different size: shorter ones are padded, and every mean in
`learners` is a masked mean, so that padding changes no result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.errors import LearnerError


class Examples(NamedTuple):
    """A labelled set: one episode's, or with a leading axis B those of a batch.

    Args:
        x: inputs, `(n, *shape)` or `(B, n, *shape)`.
        y: class numbers `(n,)` as int64, or regression targets `(n, n_out)` as floats.
        mask: `(n,)` booleans, False where the row is padding.
    """

    x: Tensor
    y: Tensor
    mask: Tensor

    def to(self, device: torch.device | str) -> Examples:
        """Return the same set on another device."""
        return Examples(*(part.to(device) for part in self))


@dataclass(frozen=True, slots=True)
class Episodes:
    """A batch of episodes with leading axis B.

    Args:
        support: what to learn from.
        query: what to predict; its `y` is for losses and scores alone.
        n_way: classes an episode can have; 0 for regression.
    """

    support: Examples
    query: Examples
    n_way: int

    def __len__(self) -> int:
        return self.support.x.shape[0]

    def __getitem__(self, rows: slice) -> Episodes:
        """Return the episodes of a slice of the leading axis."""
        support = Examples(*(part[rows] for part in self.support))
        query = Examples(*(part[rows] for part in self.query))
        return Episodes(support, query, self.n_way)

    def split(self, size: int) -> Iterator[Episodes]:
        """Yield consecutive batches of at most `size` episodes."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def to(self, device: torch.device | str) -> Episodes:
        """Return the same episodes on another device."""
        return Episodes(self.support.to(device), self.query.to(device), self.n_way)


def examples(x: Tensor | NDArray[Any], y: Tensor | NDArray[Any]) -> Examples:
    """Return one unpadded set with a mask of its own, checked.

    Args:
        x: inputs `(n, *shape)`, a tensor or a NumPy array.
        y: class numbers `(n,)` or targets `(n, n_out)`; a float `(n,)` becomes `(n, 1)`.

    Raises:
        LearnerError: if the lengths differ, the set is empty, the inputs are bytes, or a value is
            not finite.

    >>> examples(torch.zeros(3, 2), torch.tensor([0, 1, 1])).mask
    tensor([True, True, True])
    """
    x, y = tensor_of(x), tensor_of(y)
    if x.dtype == torch.uint8:
        raise LearnerError("x holds bytes, and networks take floats: divide by 255 first")
    if not (x.ndim and y.ndim) or x.shape[0] != y.shape[0] or not x.shape[0]:
        raise LearnerError(
            f"a set needs as many labels as inputs and at least one: got x {tuple(x.shape)} "
            f"and y {tuple(y.shape)}"
        )
    if y.is_floating_point() and y.ndim == 1:
        y = y[:, None]
    for name, part in (("x", x), ("y", y)):
        if part.is_floating_point() and not torch.isfinite(part).all():
            raise LearnerError(
                f"{name} holds NaN or infinity; drop or impute those rows before making a set"
            )
    if not y.is_floating_point():
        if y.ndim > 1:
            raise LearnerError(
                f"class numbers are (n,), got {tuple(y.shape)}: squeeze(1) a column, argmax(1) "
                "indicators; targets to predict are floats"
            )
        y = y.long()
    return Examples(x, y, torch.ones(x.shape[0], dtype=torch.bool, device=x.device))


def tensor_of(values: Tensor | NDArray[Any]) -> Tensor:
    """Return a tensor as it is, and a NumPy array as one, float64 as the float32 of networks."""
    if isinstance(values, Tensor):
        return values
    array = np.ascontiguousarray(values)
    if array.dtype.kind not in "biuf":
        raise LearnerError(
            f"expected numbers, got an array of {array.dtype}; names of classes become numbers by "
            "np.unique(labels, return_inverse=True)[1]"
        )
    found = torch.from_numpy(array)
    return found.float() if found.dtype == torch.float64 else found


def pad(sets: Sequence[Examples], size: int | None = None) -> Examples:
    """Stack sets of different sizes along a new leading axis, padded with zeros.

    Args:
        sets: one or more sets of the same input shape.
        size: rows after padding; the longest set's by default.

    Raises:
        LearnerError: if there is nothing to stack, or a set is longer than `size`.
    """
    if not sets:
        raise LearnerError("no sets to stack; give at least one")
    longest = max(one.x.shape[0] for one in sets)
    size = longest if size is None else size
    if longest > size:
        raise LearnerError(f"a set has {longest} examples, more than the padded size {size}")
    return Examples(
        *(
            torch.stack([_lengthen(part, size) for part in parts])
            for parts in zip(*sets, strict=True)
        )
    )


def bucket(size: int) -> int:
    """Return the power of two at or above `size`: few shapes to compile for.

    >>> [bucket(size) for size in (1, 3, 8, 9)]
    [1, 4, 8, 16]
    """
    return 1 << max(size - 1, 0).bit_length()


def _lengthen(part: Tensor, size: int) -> Tensor:
    rest = part.new_zeros((size - part.shape[0], *part.shape[1:]))
    return torch.cat([part, rest])


def check(episodes: Episodes) -> None:
    """Check shapes, labels and masks of a batch that a user made by hand.

    Raises:
        LearnerError: naming the first thing that is wrong.
    """
    for name, part in (("support", episodes.support), ("query", episodes.query)):
        if part.x.shape[:2] != part.mask.shape or part.y.shape[:2] != part.mask.shape:
            raise LearnerError(
                f"{name}: x {tuple(part.x.shape)}, y {tuple(part.y.shape)} and mask "
                f"{tuple(part.mask.shape)} must agree in their first two axes (episodes, examples)"
            )
        if part.mask.dtype != torch.bool or not part.mask.any(dim=1).all():
            raise LearnerError(f"{name}: mask must be boolean with a real example in each episode")
        if episodes.n_way and (part.y.is_floating_point() or outside(part.y, episodes.n_way)):
            raise LearnerError(
                f"{name}: labels must be integers from 0 to {episodes.n_way - 1}, got "
                f"{part.y.dtype} from {part.y.min().item()} to {part.y.max().item()}"
            )


def outside(labels: Tensor, n_way: int) -> bool:
    """Whether a label is none of the classes 0 to `n_way - 1`."""
    return bool(((labels < 0) | (labels >= n_way)).any())
