"""Image files and npz files as arrays of bytes; needs no torch."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError, MissingDependencyError

_T = TypeVar("_T")

Pixels = NDArray[np.uint8]
"""One image `(height, width, 1 or 3)`."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
WHITES = (255, 1023, 4095, 16383, 65535)
"""Largest values of 8, 10, 12, 14 and 16 bits."""
STACK_AXES = 4
"""Axes of a stack of images by class, or of images with a channel each."""


def image_paths(folder: Path) -> list[Path]:
    """Return the image files at any depth below a folder, sorted; hidden ones are passed over.

    Raises:
        InvalidInputError: if there are none.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not (_hidden(path.relative_to(folder)) or path.is_dir())
    )
    if not files:
        raise InvalidInputError(
            f"no images below {folder}: expected one folder a class with files such as "
            f"{', '.join(SUFFIXES[:3])}"
        )
    return files


def say_empty_classes(folder: Path, files: Sequence[Path]) -> None:
    """Warn of folders that hold no image at any depth: each may have been meant as a class.

    Args:
        folder: holds one folder a class.
        files: the images below it, as `image_paths` gives them.
    """
    filled = {parent for path in files for parent in path.parents}
    empty = [
        place
        for place in sorted(folder.rglob("*"))
        if place.is_dir() and place not in filled and not _hidden(place.relative_to(folder))
    ]
    if not empty:
        return
    held = {one.suffix.lower() for place in empty for one in place.iterdir() if one.is_file()}
    others = f" (but files of {', '.join(sorted(held)) or 'no suffix'})" if held else ""
    names = ", ".join(str(place.relative_to(folder)) for place in empty[:5])
    more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
    warnings.warn(
        f"{folder}: {names}{more} hold no image{others} and are no classes; images are "
        f"{', '.join(SUFFIXES)}",
        stacklevel=3,
    )


def _hidden(path: Path) -> bool:
    """Whether a program left a file for itself, as notebooks' checkpoints and archives do."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


class Whites(NamedTuple):
    """What is white in images whose values are no bytes; 0 where it is not known.

    Args:
        whole: of whole numbers of more than 8 bits.
        fractions: of floating-point numbers.
    """

    whole: float = 0.0
    fractions: float = 0.0


UNKNOWN_WHITES = Whites()


def read_images(
    paths: Sequence[Path], side: int | None = None, whites: Whites | None = None
) -> tuple[list[Pixels], Whites]:
    """Return images that belong together, and what was taken for white in those of no bytes.

    Cameras write 10, 12 or 14 bits into files of 16: white is the largest value of the fewest of
    8, 10, 12, 14 and 16 bits that hold the brightest pixel of them all, so that images stay as
    bright as they are beside each other. Of fractions it is 1 where none is larger, else the
    least power of two, or of those largest values from 255 on, that holds them.

    Args:
        paths: the files.
        side: height and width to bring them to; None leaves their own sizes.
        whites: white where it is known, as from the images that a model was fitted on.

    Raises:
        InvalidInputError: if one cannot be read as an image.
        MissingDependencyError: if Pillow is not installed.
    """
    brightest: dict[bool, float] = {}
    for path in paths:
        fractions, most = _opened(path, _brightest)
        brightest[fractions] = max(brightest.get(fractions, 0.0), most)
    known = whites or UNKNOWN_WHITES
    found = Whites(
        known.whole or _white(brightest.get(False, 0.0), WHITES),
        known.fractions or _white(brightest.get(True, 0.0), _FRACTIONS),
    )

    def pixels(image: Any) -> Pixels:
        return _pixels(image, side, found)

    return [_opened(path, pixels) for path in paths], found


def read_image(path: Path, side: int | None = None, whites: Whites | None = None) -> Pixels:
    """Return the bytes of one image, with one channel if it is grey, else three.

    Transparent pixels become white, as on paper; a photo is turned as its camera says; of several
    frames the first is read.

    Args:
        path: the file.
        side: height and width to bring it to; None leaves its own size.
        whites: as for `read_images`, of which this is one.

    Raises:
        InvalidInputError: if it cannot be read as an image.
        MissingDependencyError: if Pillow is not installed.
    """
    return read_images([path], side, whites)[0][0]


_FRACTIONS = (1, 2, 4, 8, 16, 32, 64, 128, *WHITES)
_BELOW_ZERO = 0.01
"""Share of the brightest value that rounding may leave pixels below 0."""


def _opened(path: Path, use: Callable[[Any], _T]) -> _T:
    """Return what a function makes of a Pillow image."""
    try:
        from PIL import Image  # noqa: PLC0415 - only image files need it
    except ImportError as error:
        raise MissingDependencyError(
            "reading images needs Pillow: pip install 'headstart[images]'"
        ) from error
    try:
        with warnings.catch_warnings():
            # A tiny file can unpack to gigabytes; Pillow only warns of it.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return use(image)
    except (
        *(OSError, ValueError, SyntaxError),
        *(Image.DecompressionBombWarning, Image.DecompressionBombError),
    ) as error:
        raise InvalidInputError(f"{path} cannot be read as an image: {error}") from error


def _pixels(image: Any, side: int | None, whites: Whites) -> Pixels:
    from PIL import Image, ImageOps  # noqa: PLC0415 - the caller has it

    flat = _without_alpha(ImageOps.exif_transpose(image), whites)
    if side is not None:
        flat = flat.resize((side, side), Image.Resampling.BOX)
    pixels = np.asarray(flat, dtype=np.uint8)
    return pixels.reshape(*pixels.shape[:2], -1)


def _deep(image: Any) -> bool:
    return bool(image.mode in ("I", "I;16", "I;16L", "I;16B", "F"))


def _brightest(image: Any) -> tuple[bool, float]:
    """Return whether an image holds fractions, and its largest value; 0 for one of bytes."""
    if not _deep(image):
        return False, 0.0
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("some of its pixels are NaN or infinite")
    most = float(values.max(initial=0))
    if values.min(initial=0) < -_BELOW_ZERO * most:
        raise ValueError(
            f"its pixels go down to {values.min():g}, and 0 is black: add to all of them what "
            "the darkest lacks"
        )
    return image.mode == "F", most


def _white(most: float, known: Sequence[int]) -> float:
    """Return the first of the known largest values that holds all; beyond them the value itself.

    >>> _white(0.0, WHITES), _white(3000.0, WHITES), _white(16.0, _FRACTIONS), _white(1e6, WHITES)
    (0.0, 4095, 16, 1000000.0)
    """
    if most == 0:
        return 0.0
    return next((white for white in known if most <= white), most)


def _without_alpha(image: Any, whites: Whites) -> Any:
    """Return a Pillow image as "L" or "RGB", on white where it is transparent."""
    from PIL import Image  # noqa: PLC0415 - the caller has it

    if _deep(image):
        white = (whites.fractions if image.mode == "F" else whites.whole) or 255
        values = np.asarray(image, dtype=np.float64) / (white / 255)
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        paper = Image.new("RGBA", seen.size, "white")
        image = Image.alpha_composite(paper, seen)
    return image.convert("L" if grey else "RGB")


def read_npz(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
    """Return the arrays `images` and `labels` of an npz file; nothing in it is unpickled.

    Returns:
        Bytes of any shape, and labels of any type; None where there are none.

    Raises:
        InvalidInputError: if the file has no such array of bytes.
    """
    try:
        with path.open("rb") as raw:
            file = _several(np.load(raw, allow_pickle=False))
            images = file["images"]
            labels = file.get("labels")
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise InvalidInputError(
            f"{path} cannot be read as an npz file with an array 'images': {error}"
        ) from error
    if images.dtype != np.uint8:
        raise InvalidInputError(
            f"{path}: images must be bytes (uint8), got {images.dtype}; bring the values to 0 to "
            '255 and write images.astype("uint8")'
        )
    if labels is not None and labels.shape != images.shape[:1]:
        raise InvalidInputError(
            f"{path}: expected a label an image, got images {images.shape} and labels "
            f"{labels.shape}"
        )
    return images, labels


def _several(found: Any) -> Any:
    """Return what holds arrays by name; a file of np.save holds one, whatever its own name."""
    if isinstance(found, np.ndarray):
        raise TypeError("it holds one array without a name; write np.savez(path, images=...)")
    return found
