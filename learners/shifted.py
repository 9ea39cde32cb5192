"""A network that sees every image as it is and shifted by a pixel to each side.

Pooling and strides make what a small network says of an image depend on where its lines meet the
grid (Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019). Averaging what it
says over a few places takes that away without training (test-time augmentation: Krizhevsky,
Sutskever and Hinton, NeurIPS 2012, section 4.1, average over five crops).

Notation
    n   images;  V  views of each, the image itself first
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.errors import LearnerError
from learners.networks import Network, Params

PLACES = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
"""Rows and columns that the views are shifted by, in parts of `GRID` of a side."""
GRID = 28


@dataclass(frozen=True)
class Shifted:
    """A network whose outputs are the mean over views of each image.

    Args:
        network: maps images `(n, c, side, side)` to outputs `(n, d)`.
    """

    network: Network

    @property
    def normalises(self) -> bool:
        """Whether an output depends on the other rows, as the network's does."""
        return self.network.normalises

    def init(self, generator: torch.Generator) -> Params:
        """Return fresh parameters of the network: views have none."""
        return self.network.init(generator)

    def __call__(self, params: Params, x: Tensor, mask: Tensor) -> Tensor:
        """Return outputs `(n, d)` for images `(n, c, side, side)`.

        Raises:
            LearnerError: if inputs are no images.
        """
        seen = [self.network(params, one, mask) for one in views(x)]
        return torch.stack(seen).mean(0)


def views(x: Tensor) -> list[Tensor]:
    """Return the V views `(n, c, side, side)` of images; what comes in repeats the edge.

    Args:
        x: images `(n, c, side, side)`; of 28 pixels a side they are shifted by one.

    Raises:
        LearnerError: if `x` is of another shape.

    >>> [one[0, 0, 1].tolist() for one in views(torch.arange(9.0).reshape(1, 1, 3, 3))][:3]
    [[3.0, 4.0, 5.0], [3.0, 3.0, 4.0], [4.0, 5.0, 5.0]]
    """
    if x.ndim != 4:
        raise LearnerError(f"images of shape (n, c, side, side) can be shifted, got {x.shape}")
    height, width = x.shape[2:]
    by = max(1, round(max(height, width) / GRID))
    wide = nnf.pad(x, (by, by, by, by), mode="replicate")
    return [
        wide[:, :, by - by * down : by - by * down + height, by - by * right :][..., :width]
        for down, right in PLACES
    ]
