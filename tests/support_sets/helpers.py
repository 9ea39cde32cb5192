"""Folders of too few classes, and images for any labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.starts import digits, write_folder


def one_class(tmp_path: Path) -> object:
    images, labels = digits(2)
    return write_folder(tmp_path / "one", images[:2], labels[:2])


def flat(tmp_path: Path) -> object:
    place = one_class(tmp_path)
    return place / "0"


def pictured(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return images of random pixels, as many as there are labels."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4), dtype=np.uint8)
    return pixels, labels
