"""Support sets and queries from folders, npz files, tables and arrays of real data."""

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
from tests.starts import digits, write_folder


@pytest.fixture(scope="module")
def bank() -> pd.DataFrame:
    """A mixed table: text, dates, booleans, gaps; as a user might type it."""
    return pd.DataFrame(
        {
            "age": [25, 61, None, 38, 44, 52, 29, 33],
            "job": ["clerk", "nurse", "clerk", None, "cook", "nurse", "cook", "clerk"],
            "since": pd.to_datetime(["2020-01-05", "2011-07-01", None, "2015-03-09"] * 2),
            "owner": [True, False, True, True, False, False, True, False],
            "bought": ["yes", "no", "no", "yes", "yes", "no", "yes", "no"],
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "digits", *digits(3))


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


def test_a_class_with_one_row_is_kept(bank: pd.DataFrame) -> None:
    support = read_support(bank.iloc[:2], "bought")
    assert support.counts.tolist() == [1, 1]


def test_classes_of_one_name_are_one(bank: pd.DataFrame) -> None:
    """A column that was read in parts can hold 1 beside "1"."""
    support = read_support(
        bank.assign(bought=pd.Series([1, "1", 2, 1] * 2, dtype=object)), "bought"
    )
    assert support.classes == ("1", "2")
    assert support.counts.tolist() == [6, 2]
    dates = read_support(bank.assign(bought=pd.Series([pd.Timestamp("2020"), 3] * 4)), "bought")
    assert dates.classes == ("3", "2020-01-01 00:00:00")


def test_a_query_has_the_columns_in_the_order_of_the_support(bank: pd.DataFrame) -> None:
    support = read_support(bank, "bought")
    query = read_query(bank[["bought", "since", "owner", "job", "age"]].iloc[:3], support)
    assert list(query.frame.columns) == list(support.frame.columns)
    assert query.labels.tolist() == [1, 0, 0]
    unlabelled = read_query(bank[["since", "owner", "job", "age"]].assign(extra=1), support)
    assert unlabelled.labels.tolist() == [-1] * 8
    assert list(unlabelled.frame.columns) == list(support.frame.columns)
    with pytest.raises(InvalidInputError, match=r"lacks 1 of the 4 columns .*'job'"):
        read_query(bank.drop(columns="job"), support)


def test_a_query_of_arrays_goes_by_position(bank: pd.DataFrame) -> None:
    support = read_support(bank[["age", "owner", "bought"]], "bought")
    for rows in (np.array([[30.0, 1.0]]), pd.DataFrame([[30.0, 1.0]]), ([[30.0, 1.0]], ["yes"])):
        query = read_query(rows, support)
        assert list(query.frame.columns) == ["age", "owner"]
        assert query.frame.to_numpy().tolist() == [[30.0, 1.0]]
    with pytest.raises(InvalidInputError, match=r"without names .* expected 2 .* got 3"):
        read_query(np.array([[30.0, 1.0, 0.0]]), support)


def test_named_columns_go_by_name_whatever_their_names(tmp_path: Path) -> None:
    """Columns that someone called x0 and x1 are no array's."""
    turned = pd.DataFrame({"x1": [1.0, 2.0], "x0": [8.0, 9.0], "y": ["a", "b"]})
    support = read_support(turned, "y")
    straight = turned[["x0", "x1"]]
    straight.to_csv(tmp_path / "query.csv", index=False)
    for query in (straight, tmp_path / "query.csv"):
        read = read_query(query, support)
        assert list(read.frame.columns) == ["x1", "x0"]
        assert read.frame["x0"].tolist() == [8.0, 9.0]
    by_place = read_query(straight.to_numpy(), support)
    assert by_place.frame["x1"].tolist() == [8.0, 9.0]
    other = read_support(turned.rename(columns={"x0": "age", "x1": "height"}), "y")
    with pytest.raises(InvalidInputError, match="lacks 2 of the 2 columns"):
        read_query(straight, other)


def test_a_flat_folder_and_one_by_class_are_queries(folder: Path, tmp_path: Path) -> None:
    support = read_support(folder)
    images, labels = digits(4, seed=1)
    by_class = read_query(write_folder(tmp_path / "more", images, labels), support)
    assert by_class.labels.tolist() == labels.tolist()
    flat = tmp_path / "flat"
    flat.mkdir()
    (tmp_path / "more/7/0028.png").rename(flat / "unknown.png")
    query = read_query(flat, support)
    assert query.labels.tolist() == [-1]
    assert query.rows == ("unknown.png",)
    assert np.array_equal(query.images[0][:, :, 0], images[28])
    assert read_query(flat / "unknown.png", support).rows == ("unknown.png",)


def test_queries_without_labels_as_arrays_and_npz(folder: Path, tmp_path: Path) -> None:
    support = read_support(folder)
    images = np.stack(digits(1)[0])
    np.savez(tmp_path / "query.npz", images=images)
    for source in (images, tmp_path / "query.npz", images[:, None], images[..., None]):
        query = read_query(source, support)
        assert query.labels.tolist() == [-1] * 10
        assert query.images[3].shape == (8, 8, 1)


def test_a_query_pair_knows_classes_by_name(folder: Path) -> None:
    support = read_support(folder)
    images, labels = digits(1)
    query = read_query((images, np.where(labels == 3, 99, labels)), support)
    assert query.labels.tolist() == [0, 1, 2, -1, 4, 5, 6, 7, 8, 9]
    assert query.classes == support.classes


def test_labels_of_images_keep_their_values(tmp_path: Path) -> None:
    images, labels = digits(2)
    read = read_support((images, labels))
    assert read.values == tuple(range(10)) and read.classes == tuple("0123456789")
    np.savez(tmp_path / "labelled.npz", images=np.stack(images), labels=labels)
    assert read_support(tmp_path / "labelled.npz").values == tuple(range(10))
    mixed = read_support((images[:4], ["a", 1, "a", 2.5]))
    assert mixed.values == (1, 2.5, "a") and mixed.classes == ("1", "2.5", "a")
    assert mixed.labels.tolist() == [2, 0, 2, 1]
    assert read_support((images[:4], pd.Series([True, False] * 2))).values == (False, True)
    both = read_support((images[:4], [1, "1", 2, 1.0]))
    assert both.classes == ("1", "2") and both.labels.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_a_missing_label_of_an_image_is_refused(missing: object) -> None:
    images, _ = digits(1)
    with pytest.raises(InvalidInputError, match="1 of 4 rows have no class"):
        read_support((images[:4], ["a", "b", "a", missing]))
    query = read_query(
        (images[:4], ["a", "b", "a", missing]), read_support((images[:2], ["a", "b"]))
    )
    assert query.labels.tolist() == [0, 1, 0, -1]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("how", ["cut", "spoilt", "empty", "renamed"])
def test_a_damaged_npz_has_one_clear_error(how: str, compressed: bool, tmp_path: Path) -> None:
    images, labels = digits(3)
    file = tmp_path / "digits.npz"
    (np.savez_compressed if compressed else np.savez)(file, images=np.stack(images), labels=labels)
    whole = bytearray(file.read_bytes())
    if how == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif how == "spoilt":
        whole[200:600] = bytes(400)
        file.write_bytes(whole)
    elif how == "empty":
        file.write_bytes(b"")
    else:
        np.save(tmp_path / "one.npy", np.stack(images))
        (tmp_path / "one.npy").rename(file)
    says = "np.savez" if how == "renamed" else "cannot be read as an npz file"
    with pytest.raises(InvalidInputError, match=says):
        read_support(file)


def test_hidden_folders_and_files_are_no_examples(folder: Path) -> None:
    before = read_support(folder)
    for place in (".ipynb_checkpoints", "0/.ipynb_checkpoints", "__MACOSX/0"):
        (folder / place).mkdir(parents=True)
        (folder / place / "0000-checkpoint.png").write_bytes((folder / "0/0000.png").read_bytes())
    (folder / "0" / "._0000.png").write_bytes(b"a resource fork")
    assert read_support(folder).rows == before.rows
    hidden = folder / ".ipynb_checkpoints"  # asked for by name
    assert len(read_query(hidden, before)) == 1


def test_one_image_as_an_array_is_one_query() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    colour = read_support((images, list("aabb")))
    assert len(read_query(images[0], colour)) == 1
    assert np.array_equal(read_query(images[0], colour).images[0], images[0])
    grey = read_support((images[..., 0], list("aabb")))
    for one in (images[0, ..., 0], images[0, ..., :1], images[:1, ..., 0]):
        query = read_query(one, grey)
        assert len(query) == 1
        assert np.array_equal(query.images[0][..., 0], images[0, ..., 0])
    assert len(read_query(images[:3, ..., 0], grey)) == 3


def one_class(tmp_path: Path) -> object:
    images, labels = digits(2)
    return write_folder(tmp_path / "one", images[:2], labels[:2])


def empty(tmp_path: Path) -> object:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def flat(tmp_path: Path) -> object:
    place = one_class(tmp_path)
    return place / "0"


def text(tmp_path: Path) -> object:
    (tmp_path / "notes.txt").write_text("Dear diary,\ntoday, it rained, and\nI stayed in.\n")
    return tmp_path / "notes.txt"


def no_picture(tmp_path: Path) -> object:
    place = one_class(tmp_path)
    (place / "0" / "broken.png").write_bytes(b"not a picture")
    return place


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (empty, "no images below .*one folder a class"),
        (one_class, "needs two classes or more, and there is one, '0'"),
        (flat, "holds images itself"),
        (text, "is no table"),
        (no_picture, "broken.png cannot be read as an image"),
        (lambda _: "nowhere.csv", "no file 'nowhere.csv'"),
        (lambda _: (np.zeros((2, 8, 8)), [0, 1]), "must be bytes .*float64"),
        (lambda _: (np.zeros((2, 8, 8), np.uint8), [0]), "a label an image"),
        (lambda _: (np.zeros((2, 8, 8, 5), np.uint8), [0, 1]), "an image is .*height, width"),
    ],
)
def test_what_cannot_be_a_support_set_is_refused(make, says: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=says):
        read_support(make(tmp_path))


def test_tables_that_cannot_be_support_sets_are_refused(bank: pd.DataFrame) -> None:
    with pytest.raises(InvalidInputError, match="which column is to be predicted"):
        read_support(bank)
    with pytest.raises(InvalidInputError, match="did you mean 'bought'"):
        read_support(bank, "bougth")
    with pytest.raises(InvalidInputError, match="1 of 8 rows have no 'age'"):
        read_support(bank, "age")
    with pytest.raises(InvalidInputError, match="holds 5 different numbers"):
        read_support((np.eye(5), np.linspace(0, 1, 5)))


def pictured(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return images of random pixels, as many as there are labels."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4), dtype=np.uint8)
    return pixels, labels


@pytest.mark.parametrize("rows", [12, 18, 30, 60, 120, 250, 442])
def test_numbers_that_were_measured_are_no_classes(rows: int) -> None:
    from sklearn.datasets import load_diabetes  # noqa: PLC0415 - slow to import

    frame = load_diabetes(as_frame=True).frame[:rows]
    with pytest.raises(InvalidInputError, match=r"'target' holds \d+ different numbers.*as text"):
        read_support(frame, "target")
    with pytest.raises(InvalidInputError, match=r"labels hold \d+ different numbers.*as text"):
        read_support(pictured(frame["target"].to_numpy().astype(int)))
    named = frame.assign(target=[f"c{value:.0f}" for value in frame["target"]])
    assert len(read_support(named, "target").classes) == frame["target"].nunique()


def test_fractions_are_no_classes_of_images(tmp_path: Path) -> None:
    images, labels = pictured(np.random.default_rng(1).normal(size=30))
    np.savez(tmp_path / "measured.npz", images=images, labels=labels)
    for source in ((images, labels), (images, labels.tolist()), tmp_path / "measured.npz"):
        with pytest.raises(InvalidInputError, match="labels hold 30 different numbers"):
            read_support(source)
    assert len(read_support((images, labels.astype(str))).classes) == 30


def test_a_column_that_numbers_the_rows_is_no_class() -> None:
    with pytest.raises(InvalidInputError, match="holds 40 different numbers"):
        read_support((np.eye(40), np.arange(40)))


USUAL = {
    "digits, one each": np.arange(10),
    "digits, unevenly": np.repeat(np.arange(10), [1, 2, 9, 1, 1, 2, 1, 1, 3, 1]),
    "one alone": np.array([*[3] * 8, *[7] * 9, 1]),
    "twenty, one each": np.arange(20),
    "twenty from 1, as floats": np.arange(1.0, 21.0),
    "twenty of a hundred": np.arange(20) * 5 + 2,
    "sixty, twice each": np.repeat(np.arange(60), 2),
    "forty of sixty, twice each": np.repeat(np.flatnonzero(np.arange(60) % 3), 2),
    "sixty from 1, unevenly": np.repeat(np.arange(1, 61), [1, 2, 1, 3] * 15),
    "five of a thousand": np.array([40, 203, 511, 700, 950]),
    "two that are far apart": np.array([-1, 1, 10**6]),
    "large codes, five each": np.repeat(np.arange(30) * 1000, 5),
}


@pytest.mark.parametrize("labels", USUAL.values(), ids=USUAL)
def test_classes_that_are_called_by_numbers_stay_classes(labels: np.ndarray) -> None:
    n = len(np.unique(labels))
    assert len(read_support((np.eye(len(labels)), labels)).classes) == n
    for one in (labels, labels.tolist(), labels.astype(str)):
        assert len(read_support(pictured(one)).classes) == n


def test_a_query_may_hold_any_labels() -> None:
    support = read_support(pictured(np.arange(5)))
    query = read_query(pictured(np.arange(30) * 100), support)
    assert query.labels.tolist() == [0] + [-1] * 29


def test_a_query_of_another_kind_is_refused(folder: Path, bank: pd.DataFrame) -> None:
    pictures, table = read_support(folder), read_support(bank, "bought")
    for source, like in [(bank, pictures), (folder, table), (table, pictures)]:
        with pytest.raises(InvalidInputError, match="the query is of another kind"):
            read_query(source, like)


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
