"""Omniglot at 28 x 28: 1,200 characters to train on, the rest to test on (Santoro et al. 2016).

Characters are shuffled by seed; turned by 90, 180 and 270 degrees they make new classes for
training only. The last 100 of the 1,200 choose the state to keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from benchmarks.realdata import realdata
from learners.samplers import ClassSampler, Shape, class_images, quarter_turns, split_classes


@dataclass(frozen=True, eq=False)
class Omniglot:
    """Images by class: `(n_classes, 20, 1, 28, 28)` bytes."""

    train: Tensor
    validation: Tensor
    test: Tensor


@cache
def omniglot(seed: int = 0) -> Omniglot:
    """Return the split by a seed."""
    images = torch.from_numpy(class_images(realdata("omniglot/omniglot_28x28.npz")))[:, :, None]
    train, validation, test = split_classes(len(images), (1100, 100, 423), seed)
    return Omniglot(quarter_turns(images[train]), images[validation], images[test])


def samplers(train: Shape, test: Shape, seed: int = 0) -> tuple[ClassSampler, ...]:
    """Return the samplers to train with, to validate with and to test with."""
    data = omniglot()
    return (
        ClassSampler(data.train, train, seed),
        ClassSampler(data.validation, test, 10_000 + seed),
        ClassSampler(data.test, test, 20_000 + seed),
    )
