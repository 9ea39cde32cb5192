"""Support sets from folders, npz files, tables, arrays and tensors of real data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metastore.datasets import describe
from metastore.errors import InvalidInputError
from recommenders.image_files import read_image
from recommenders.starts.support_sets import SupportSet, read_query, read_support
from tests.starts import digits


def test_a_folder_is_read_with_its_classes(folder: Path) -> None:
    support = read_support(folder)
    assert support.name == "digits"
    assert support.kind == "images"
    assert support.classes == tuple("0123456789")
    assert support.counts.tolist() == [3] * 10
    assert support.rows[0] == "0/0000.png"
    assert all(image.shape == (8, 8, 1) for image in support.images)
    images, _ = digits(3)
    assert np.array_equal(support.images[0][:, :, 0], images[0])


def test_folder_npz_and_arrays_are_the_same_set(folder: Path, tmp_path: Path) -> None:
    images, labels = digits(3)
    np.savez(tmp_path / "labelled.npz", images=np.stack(images), labels=labels)
    by_class = np.stack(images).reshape(10, 3, 8, 8)
    np.savez(tmp_path / "stacked.npz", images=by_class)
    sets = [
        read_support(folder),
        read_support(tmp_path / "labelled.npz"),
        read_support((np.stack(images), labels)),
        read_support((images, [str(label) for label in labels])),
    ]
    assert len({one.fingerprint for one in sets}) == 1
    stacked = read_support(tmp_path / "stacked.npz")
    assert stacked.classes[1] == "00001"
    assert [one.tolist() for one in stacked.images] == [one.tolist() for one in sets[1].images]


@given(st.permutations(range(8)))
def test_a_fingerprint_does_not_see_the_order(order: list[int]) -> None:
    images, labels = digits(1)
    support = read_support((images[:8], labels[:8]))
    assert support.take(order).fingerprint == support.fingerprint
    other = support.take([*order[:-1], order[0]])
    assert other.fingerprint != support.fingerprint


def test_a_label_is_part_of_the_fingerprint() -> None:
    images, labels = digits(1)
    turned = np.roll(labels, 1)
    assert read_support((images, labels)).fingerprint != read_support((images, turned)).fingerprint


def test_a_table_is_the_dataset_that_the_store_knows(realdata) -> None:
    frame = pd.read_parquet(realdata("pmlb/parquet/iris.parquet"))
    support = read_support(frame, "target")
    ref, _ = describe((frame.drop(columns="target"), frame["target"]))
    assert support.fingerprint == ref.fingerprint
    assert support.classes == tuple(str(k) for k in sorted(frame["target"].unique()))
    assert len(support.frame.columns) == frame.shape[1] - 1


def test_a_mixed_table_keeps_its_cells(bank: pd.DataFrame, tmp_path: Path) -> None:
    bank.to_csv(tmp_path / "bank.csv", index=False)
    support = read_support(tmp_path / "bank.csv", "bought")
    assert support.classes == ("no", "yes")
    assert support.labels.tolist() == [1, 0, 0, 1, 1, 0, 1, 0]
    assert list(support.frame.columns) == ["age", "job", "since", "owner"]
    assert support.take(np.array([False, True] * 4)).labels.tolist() == [0, 1, 0, 0]


def test_hidden_folders_and_files_are_no_examples(folder: Path) -> None:
    before = read_support(folder)
    for place in (".ipynb_checkpoints", "0/.ipynb_checkpoints", "__MACOSX/0"):
        (folder / place).mkdir(parents=True)
        (folder / place / "0000-checkpoint.png").write_bytes((folder / "0/0000.png").read_bytes())
    (folder / "0" / "._0000.png").write_bytes(b"a resource fork")
    assert read_support(folder).rows == before.rows
    hidden = folder / ".ipynb_checkpoints"  # asked for by name
    assert len(read_query(hidden, before)) == 1


def test_transparent_deep_and_turned_images_look_as_they_should(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    drawn = np.full((6, 4, 4), 0, dtype=np.uint8)
    drawn[2:4, :, 3] = 255  # black ink, elsewhere transparent
    deep = np.arange(24, dtype=np.uint16).reshape(6, 4) * 2000
    place = tmp_path / "mixed"
    (place / "a").mkdir(parents=True)
    (place / "b").mkdir()
    image_module.fromarray(drawn).save(place / "a" / "ink.png")
    image_module.fromarray(deep).save(place / "b" / "deep.png")
    turned = image_module.fromarray(drawn[..., 0])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(place / "b" / "turned.jpg", exif=exif)
    ink, scan, photo = read_support(place).images
    assert ink.shape == (6, 4, 3)
    assert ink[0].min() == 255
    assert ink[2].max() == 0
    assert scan[:, :, 0].tolist() == (deep / 257).astype(np.uint8).tolist()
    assert photo.shape == (4, 6, 1)


def test_images_of_fractions_are_as_bright_as_they_are_and_holes_are_refused(
    tmp_path: Path,
) -> None:
    image_module = pytest.importorskip("PIL.Image")
    grey = np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 4)
    image_module.fromarray(grey).save(tmp_path / "fractions.tiff")
    image_module.fromarray(grey * 200).save(tmp_path / "bytes.tiff")
    for name, most in (("fractions", 255), ("bytes", 200)):
        pixels = read_image(tmp_path / f"{name}.tiff")[:, :, 0]
        np.testing.assert_allclose(pixels, grey * most, atol=1)
    grey[2, 2] = np.nan
    image_module.fromarray(grey).save(tmp_path / "hole.tiff")
    with pytest.raises(InvalidInputError, match=r"hole.tiff .*NaN"):
        read_image(tmp_path / "hole.tiff")


def test_a_set_is_named_by_content_where_nobody_names_it() -> None:
    images, labels = digits(1)
    support = read_support((images, labels))
    assert support.dataset().name.startswith("images-")
    assert read_support((images, labels), name="mine").dataset().name == "mine"
    assert isinstance(support, SupportSet)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_tensors_are_read_as_arrays_of_their_shape(channels: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    images, labels = digits(2)
    stack = np.stack(images)
    if channels:
        stack = np.repeat(stack[:, None], channels[0], axis=1)
    pixels, numbers = torch.from_numpy(stack), torch.from_numpy(np.asarray(labels))
    wanted = read_support((stack, labels))
    for pair in ((pixels, numbers), (pixels, labels), (list(pixels), list(numbers))):
        found = read_support(pair)
        assert found.fingerprint == wanted.fingerprint
        assert found.values == wanted.values
    for query in (pixels[:3], list(pixels[:3]), (pixels[:3], numbers[:3])):
        read = read_query(query, wanted)
        assert [one.tobytes() for one in read.images] == [x.tobytes() for x in wanted.images[:3]]


def test_rows_of_tensors_are_a_table() -> None:
    torch = pytest.importorskip("torch")
    rows = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
    labels = np.arange(12) % 2
    wanted = read_support((rows, labels))
    x, y = torch.from_numpy(rows).requires_grad_(), torch.from_numpy(labels)
    assert read_support((x, y)).fingerprint == wanted.fingerprint
    assert read_support(x, y).fingerprint == wanted.fingerprint
    assert read_query(x, wanted).frame.shape == (12, 3)
    assert read_support((x.to(torch.bfloat16), y)).frame.shape == (12, 3)


def test_tensors_of_fractions_are_refused_as_arrays_are() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(InvalidInputError, match="images must be bytes"):
        read_support((torch.rand(4, 1, 8, 8), torch.tensor([0, 0, 1, 1])))


def test_reading_a_table_imports_no_torch() -> None:
    code = (
        "import sys; from recommenders.starts.support_sets import read_support;"
        "read_support(([[1.0], [2.0], [9.0]], [0, 0, 1])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
