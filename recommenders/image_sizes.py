"""Images of any size and colour brought to one: the resampling that image libraries use.

Pixel i of the result is a weighted mean of the pixels under it, separably in rows and columns,
    w_ij proportional to f((j + 1/2 - (i + 1/2) s) / max(s, 1)),    s = size / side,
where f is a box where the image shrinks (s > 1), as `headstart learn` shrinks what it trains on,
and a triangle where it grows. It needs neither Pillow nor torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recommenders.image_files import Pixels

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601: grey as the eye weighs red, green and blue."""
_LIGHT = 127.5


def stacked(images: Sequence[Pixels], channels: int, side: int) -> Floats:
    """Return images as one array `(n, channels, side, side)` of values from 0 to 255.

    Args:
        images: bytes `(height, width, 1 or 3)`, each of its own size.
        channels: 1 turns colours grey, 3 repeats grey three times.
        side: height and width to bring them to; other proportions are stretched.

    >>> stacked([np.full((2, 4, 3), 100, dtype=np.uint8)], 1, 1).round(3).tolist()
    [[[[100.0]]]]
    """
    out = np.empty((len(images), channels, side, side), dtype=np.float32)
    for i, image in enumerate(images):
        pixels = image.astype(np.float32).transpose(2, 0, 1)
        if channels == 1 and len(pixels) == 3:
            pixels = np.tensordot(_LUMA, pixels, axes=1)[None]
        height, width = pixels.shape[1:]
        out[i] = resampling(height, side) @ pixels @ resampling(width, side).T
    return out


@lru_cache(maxsize=256)
def resampling(size: int, side: int) -> Floats:
    """Return the weights `(side, size)` that turn `size` pixels into `side`; rows sum to 1.

    >>> resampling(4, 2).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    if size == side:
        return np.eye(size, dtype=np.float32)
    # In whole numbers, so that a pixel on the border of two boxes is in one of them for sure.
    twice = (2 * np.arange(size) + 1)[None] * side - (2 * np.arange(side) + 1)[:, None] * size
    if size > side:
        weights = ((twice > -size) & (twice <= size)).astype(np.float64)
    else:
        weights = np.clip(1 - np.abs(twice) / (2 * side), 0, None)
    out: Floats = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return out


def light_background(images: Sequence[Pixels]) -> bool:
    """Whether the border pixels of most images are light, as where ink is on paper."""
    borders = [
        np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).mean() for image in images
    ]
    return float(np.median(borders)) > _LIGHT


def background_of(classes: Iterable[Tensor]) -> str:
    """Return "light" or "dark": what is behind the drawings of a start's training images.

    Args:
        classes: bytes `(n, channels, side, side)` of each class; a few of each are looked at.
    """
    few = [image.permute(1, 2, 0).numpy() for images in classes for image in images[:3]]
    return "light" if light_background(few) else "dark"
