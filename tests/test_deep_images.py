"""Images of more than 8 bits and of fractions are as bright as they are, queries too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from metastore.errors import InvalidInputError  # noqa: E402
from recommenders.image_files import read_image  # noqa: E402
from recommenders.image_folders import image_folder  # noqa: E402
from recommenders.starts.finetuned import FineTuned, load, skeleton  # noqa: E402
from recommenders.starts.plain_classifiers import fit_plain  # noqa: E402
from recommenders.starts.support_sets import read_query, read_support  # noqa: E402
from tests.starts import digits  # noqa: E402


def write(folder: Path, most: float, dtype: type, n_each: int = 2) -> Path:
    """Write digits of values from 0 to `most` as TIFF; those of class 0 are a tenth as bright."""
    images, labels = digits(n_each)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        bright = image / 255 * most / (10 if label == 0 else 1)
        Image.fromarray(bright.astype(dtype)).save(place / f"{i:03d}.tiff")
    return folder


@pytest.mark.parametrize(
    ("most", "dtype"),
    [
        *((1023, np.uint16), (4095, np.uint16), (16383, np.uint16), (65535, np.uint16)),
        *((255, np.uint16), (4095, np.int32), (1, np.float32), (16, np.float32)),
        *((255, np.float32), (4095, np.float32)),
    ],
)
def test_a_set_is_as_bright_as_its_brightest_image(
    most: float, dtype: type, tmp_path: Path
) -> None:
    folder = write(tmp_path / "deep", most, dtype)
    expected, labels = digits(2)
    dim = np.where(labels == 0, 10, 1)
    support = read_support(folder)
    learned = torch.cat(list(image_folder(folder, 8).values())).numpy()[:, 0]
    order = np.argsort(labels, kind="stable")
    for i, at in enumerate(order):
        for found in (support.images[i][:, :, 0], learned[i]):
            assert np.abs(found - expected[at] / dim[at]).max() <= 2


def test_a_query_is_read_as_the_support_set_was(tmp_path: Path) -> None:
    support = read_support(write(tmp_path / "deep", 4095, np.uint16))
    FineTuned(fit_plain("nearest centroid", support), skeleton(support)).save(tmp_path / "model")
    dark = tmp_path / "dark.tiff"
    Image.fromarray(np.full((8, 8), 200, dtype=np.uint16)).save(dark)
    (tmp_path / "flat").mkdir()
    Image.fromarray(np.full((8, 8), 200, dtype=np.uint16)).save(tmp_path / "flat" / "dark.tiff")
    for like in (support, load(tmp_path / "model").like):
        for query in (dark, tmp_path / "flat"):
            assert read_query(query, like).images[0].max() == 200 * 255 // 4095
    assert read_image(dark).max() == 200  # alone it may hold bytes


def test_pixels_below_black_are_refused_and_rounding_is_not(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "signed.tiff")
    with pytest.raises(InvalidInputError, match=r"go down to -1, and 0 is black"):
        read_image(tmp_path / "signed.tiff")
    values = np.where(values < 0, np.float32(-0.001), values)
    Image.fromarray(values).save(tmp_path / "rounded.tiff")
    assert read_image(tmp_path / "rounded.tiff").min() == 0


def test_an_image_that_unpacks_to_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InvalidInputError, match=r"bomb\.png cannot be read as an image"):
        read_image(tmp_path / "bomb.png")
