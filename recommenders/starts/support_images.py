"""Images with or without classes, from folders, npz files and arrays, as support sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError
from recommenders.image_files import (
    STACK_AXES,
    SUFFIXES,
    Pixels,
    image_paths,
    read_image,
    read_images,
    read_npz,
    say_empty_classes,
)
from recommenders.starts.support_set import UNKNOWN, SupportSet, coded, other_kind


def folder_support(folder: Path) -> SupportSet:
    """Return the images below a folder; the path of an image's own folder is its class."""
    files = image_paths(folder)
    if any(path.parent == folder for path in files):
        raise InvalidInputError(
            f"{folder} holds images itself: put those of each class into a folder of its own"
        )
    say_empty_classes(folder, files)
    names = [path.parent.relative_to(folder).as_posix() for path in files]
    images, whites = read_images(files)
    support = _labelled(folder.resolve().name, tuple(images), names)
    rows = tuple(path.relative_to(folder).as_posix() for path in files)
    return replace(support, rows=rows, whites=whites)


def npz_support(path: Path) -> SupportSet:
    """Return the images of an npz file with `labels`, or stacked by class."""
    images, labels = read_npz(path)
    if labels is not None:
        return _labelled(path.stem, _images(images), labels)
    if images.ndim != STACK_AXES:
        raise InvalidInputError(
            f"{path}: expected an array 'labels' beside 'images', or images stacked by class "
            f"(n_classes, n_each, height, width); got images {images.shape} alone"
        )
    stacked = images.reshape(-1, *images.shape[2:])
    names = [f"{i:05d}" for i in range(len(images)) for _ in range(images.shape[1])]
    return _labelled(path.stem, _images(stacked), names)


def pair_support(pair: tuple[Any, Any]) -> SupportSet:
    """Return images and a label each as a set."""
    return _labelled("", _images(pair[0]), pair[1])


def holds_images(source: Any) -> bool:
    """Whether a pair's first part, or an array, is a stack or a list of images."""
    first = source[0] if isinstance(source, tuple) and len(source) == 2 else source
    if isinstance(first, np.ndarray):
        return first.ndim in (3, STACK_AXES)
    return (
        isinstance(first, list | tuple)
        and len(first) > 0
        and all(isinstance(one, np.ndarray) and one.ndim in (2, 3) for one in first)
    )


def _images(images: Any) -> tuple[Pixels, ...]:
    """Return each image as `(height, width, 1 or 3)`; channels may come first in a stack."""
    return tuple(_image(np.asarray(one)) for one in images)


def _image(one: NDArray[Any]) -> Pixels:
    if one.dtype != np.uint8:
        raise InvalidInputError(
            f"images must be bytes (uint8) from 0 to 255, got {one.dtype}; scale them, for "
            "example (255 * x / x.max()).astype('uint8')"
        )
    if one.ndim == 2:
        one = one[:, :, None]
    if one.ndim == 3 and one.shape[2] not in (1, 3) and one.shape[0] in (1, 3):
        one = one.transpose(1, 2, 0)
    if one.ndim != 3 or one.shape[2] not in (1, 3) or 0 in one.shape:
        raise InvalidInputError(
            f"an image is (height, width) or (height, width, 1 or 3), got {one.shape}"
        )
    return np.ascontiguousarray(one)


def _labelled(name: str, images: tuple[Pixels, ...], labels: Any) -> SupportSet:
    # A list keeps numbers apart from text.
    given = np.asarray(labels, dtype=None if hasattr(labels, "__array__") else object)
    if given.shape != (len(images),):
        raise InvalidInputError(
            f"expected a label an image, got {len(images)} images and labels {given.shape}"
        )
    classes, values, codes = coded(given.tolist())
    return SupportSet(name, "images", classes, codes, images, values=values)


def images_query(source: Any, like: SupportSet) -> SupportSet:
    """Return images to predict; see `recommenders.starts.support_sets.read_query`."""
    path = Path(source) if isinstance(source, str | Path) else None
    if path is not None and path.is_dir():
        return _query_folder(path, like)
    if path is not None:
        return _query_file(path, like)
    if _one_image(source):
        return _unlabelled("", _images([source]), like)
    if not holds_images(source):
        raise other_kind(like)
    if isinstance(source, tuple) and len(source) == 2 and np.ndim(source[1]) == 1:
        return pair_support(source)
    return _unlabelled("", _images(source), like)


def _one_image(source: Any) -> bool:
    """Whether an array is one image, its channels last if it has them, and no stack."""
    if not isinstance(source, np.ndarray) or source.dtype != np.uint8:
        return False
    channelled = source.ndim == 3 and source.shape[2] in (1, 3) and source.shape[1] not in (1, 3)
    return source.ndim == 2 or channelled


def _query_file(path: Path, like: SupportSet) -> SupportSet:
    suffix = path.suffix.lower()
    if suffix not in (*SUFFIXES, ".npz"):
        raise other_kind(like)
    if not path.exists():
        raise InvalidInputError(f"no file {str(path)!r}: check the path")
    if suffix != ".npz":
        return _unlabelled(path.stem, (read_image(path, whites=like.whites),), like, (path.name,))
    images, labels = read_npz(path)
    if labels is not None:
        return _labelled(path.stem, _images(images), labels)
    if images.ndim == STACK_AXES and not _channelled(images):
        return npz_support(path)
    return _unlabelled(path.stem, _images(images), like)


def _channelled(images: NDArray[Any]) -> bool:
    """Whether four axes are those of images with channels rather than of stacks by class."""
    return images.shape[1] in (1, 3) or images.shape[3] in (1, 3)


def _query_folder(folder: Path, like: SupportSet) -> SupportSet:
    files = image_paths(folder)
    number = {name: i for i, name in enumerate(like.classes)}
    places = [path.parent.relative_to(folder).as_posix() for path in files]
    labels = np.array([number.get(place, UNKNOWN) for place in places], dtype=np.int64)
    rows = tuple(path.relative_to(folder).as_posix() for path in files)
    images = tuple(read_images(files, whites=like.whites)[0])
    return SupportSet(folder.resolve().name, "images", like.classes, labels, images, rows=rows)


def _unlabelled(
    name: str, images: tuple[Pixels, ...], like: SupportSet, rows: tuple[str, ...] = ()
) -> SupportSet:
    labels = np.full(len(images), UNKNOWN, dtype=np.int64)
    return SupportSet(name, "images", like.classes, labels, images, rows=rows)
