"""Images by class from folders and npz files, as bytes `(n, channels, side, side)`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metastore.errors import InvalidInputError
from recommenders.image_files import (
    STACK_AXES,
    image_paths,
    read_images,
    read_npz,
    say_empty_classes,
)
from recommenders.image_sizes import resampling

Bytes = NDArray[np.uint8]


def image_folder(folder: Path, side: int) -> dict[str, Tensor]:
    """Return the images of each class: the folder that an image lies in is its class.

    Images are brought to `side` by `side`, in grey if all of them are grey, else in colour.

    Args:
        folder: holds one folder a class, at any depth.
        side: height and width in pixels.

    Returns:
        Class name (the path below `folder`) to bytes `(n, 1 or 3, side, side)`.

    Raises:
        InvalidInputError: if there are no images, or one cannot be read.
        MissingDependencyError: if Pillow is not installed.
    """
    files = image_paths(folder)
    if any(path.parent == folder for path in files):
        raise InvalidInputError(
            f"{folder} holds images itself: put those of each class into a folder of its own"
        )
    say_empty_classes(folder, files)
    pictures, _ = read_images(files, side)
    grey = all(picture.shape[2] == 1 for picture in pictures)
    classes: dict[str, list[Tensor]] = {}
    for path, picture in zip(files, pictures, strict=True):
        channels = picture if grey else np.broadcast_to(picture, (side, side, 3))
        pixels = torch.from_numpy(channels.transpose(2, 0, 1).copy())
        classes.setdefault(path.parent.relative_to(folder).as_posix(), []).append(pixels)
    return {name: torch.stack(images) for name, images in classes.items()}


def npz_classes(path: Path, side: int | None = None) -> dict[str, Tensor]:
    """Return the images of each class in an npz file; nothing in it is unpickled.

    Args:
        path: holds `images` `(n_classes, n_each, side, side)`, or `images`
            `(n, [channels,] side, side)` beside `labels` `(n,)`. Images are bytes; their 1 or 3
            channels may come last.
        side: height and width to bring them to; None leaves their own.

    Returns:
        Class name, a number or the label, to bytes `(n, channels, side, side)`.

    Raises:
        InvalidInputError: if the file holds neither.
    """
    images, labels = read_npz(path)
    if labels is None:
        by_class = images[:, :, None] if images.ndim == STACK_AXES else _channels_first(images)
        found = {f"{i:05d}": one for i, one in enumerate(by_class)}
    else:
        flat = _channels_first(images) if images.ndim == STACK_AXES else images[:, None]
        found = {str(label): flat[labels == label] for label in np.unique(labels)}
    if side is not None:
        found = {name: _brought(one, side) for name, one in found.items()}
    shapes = {one.shape[1:] for one in found.values()}
    if any(len(shape) != 3 or shape[1] != shape[2] for shape in shapes):
        raise InvalidInputError(f"{path}: images must be square, got shapes {sorted(shapes)}")
    return {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in found.items()}


def _channels_first(images: Bytes) -> Bytes:
    """Return images `(..., channels, height, width)` whose channels may have come last."""
    last = images.ndim >= STACK_AXES and images.shape[-1] in (1, 3)
    return np.moveaxis(images, -1, -3) if last and images.shape[-3] not in (1, 3) else images


def _brought(images: Bytes, side: int) -> Bytes:
    """Return images `(n, channels, side, side)` of images `(n, channels, height, width)`."""
    if images.ndim != STACK_AXES or images.shape[2:] == (side, side):
        return images
    height, width = images.shape[2:]
    found = resampling(height, side) @ images.astype(np.float32) @ resampling(width, side).T
    return found.round().astype(np.uint8)
