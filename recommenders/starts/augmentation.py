"""Images and rows a little changed, so that a few are not learned by heart."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as nnf


def jittered(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return images turned, scaled and shifted a little, or rows with a little noise.

    Args:
        x: images `(n, c, side, side)`: up to 10 degrees, 10 % of size, 8 % of the side; or rows
            `(n, d)` in deviations: noise of 0.1.
        generator: on the CPU, so that draws are the same on any device.
    """
    if x.ndim != 4:
        return x + 0.1 * torch.randn(x.shape, generator=generator).to(x)
    draws = 2 * torch.rand(len(x), 4, generator=generator) - 1
    angle, size = math.radians(10) * draws[:, 0], 1 + 0.1 * draws[:, 1]
    cos, sin = size * angle.cos(), size * angle.sin()
    shift = 0.16 * draws[:, 2:]  # the side is 2 wide in these coordinates
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    grid = nnf.affine_grid(
        torch.cat([turn, shift[:, :, None]], 2).to(x), list(x.shape), align_corners=False
    )
    return nnf.grid_sample(x, grid, padding_mode="border", align_corners=False)
