"""Images by class from folders and npz files, as bytes `(n, channels, side, side)`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metastore.errors import InvalidInputError, MissingDependencyError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_IMAGE_AXES = 4


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
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise InvalidInputError(
            f"no images below {folder}: expected one folder a class with files such as "
            f"{', '.join(_SUFFIXES[:3])}"
        )
    if any(path.parent == folder for path in files):
        raise InvalidInputError(
            f"{folder} holds images itself: put those of each class into a folder of its own"
        )
    pictures = [_read(path, side) for path in files]
    grey = all(picture.shape[2] == 1 for picture in pictures)
    classes: dict[str, list[Tensor]] = {}
    for path, picture in zip(files, pictures, strict=True):
        channels = picture if grey else np.broadcast_to(picture, (side, side, 3))
        pixels = torch.from_numpy(channels.transpose(2, 0, 1).copy())
        classes.setdefault(path.parent.relative_to(folder).as_posix(), []).append(pixels)
    return {name: torch.stack(images) for name, images in classes.items()}


def _read(path: Path, side: int) -> np.ndarray[Any, Any]:
    """Return the bytes of one image, `(side, side, 1)` if it is grey, else `(side, side, 3)`."""
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - only folders need it
    except ImportError as error:
        raise MissingDependencyError(
            "reading images needs Pillow: pip install 'headstart[images]'"
        ) from error
    try:
        with warnings.catch_warnings():
            # A tiny file can unpack to gigabytes; Pillow only warns of it.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                grey = image.mode in ("1", "L", "LA", "I", "I;16", "F")
                sized = image.convert("L" if grey else "RGB").resize(
                    (side, side), Image.Resampling.BOX
                )
    except (OSError, UnidentifiedImageError, Image.DecompressionBombWarning) as error:
        raise InvalidInputError(f"{path} cannot be read as an image: {error}") from error
    return np.asarray(sized).reshape(side, side, -1)


def npz_classes(path: Path) -> dict[str, Tensor]:
    """Return the images of each class in an npz file; nothing in it is unpickled.

    Args:
        path: holds `images` `(n_classes, n_each, side, side)`, or `images`
            `(n, [channels,] side, side)` beside `labels` `(n,)`. Images are bytes.

    Returns:
        Class name, a number or the label, to bytes `(n, channels, side, side)`.

    Raises:
        InvalidInputError: if the file holds neither.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            images = file["images"]
            labels = file.get("labels")
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInputError(
            f"{path} cannot be read as an npz file with an array 'images': {error}"
        ) from error
    if images.dtype != np.uint8:
        raise InvalidInputError(f"{path}: images must be bytes (uint8), got {images.dtype}")
    if labels is None:
        by_class = images[:, :, None] if images.ndim == _IMAGE_AXES else images
        found = {f"{i:05d}": one for i, one in enumerate(by_class)}
    elif labels.shape == images.shape[:1]:
        flat = images if images.ndim == _IMAGE_AXES else images[:, None]
        found = {str(label): flat[labels == label] for label in np.unique(labels)}
    else:
        raise InvalidInputError(
            f"{path}: expected a label an image, got images {images.shape} and labels "
            f"{labels.shape}"
        )
    shapes = {one.shape[1:] for one in found.values()}
    if any(len(shape) != 3 or shape[1] != shape[2] for shape in shapes):
        raise InvalidInputError(f"{path}: images must be square, got shapes {sorted(shapes)}")
    return {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in found.items()}
