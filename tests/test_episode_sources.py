"""Files become episodes: real drawings as images, real tables by class and by group."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from metastore.errors import InvalidInputError  # noqa: E402
from recommenders.episode_sources import Wanted, open_source, split_sizes  # noqa: E402
from recommenders.image_folders import image_folder, npz_classes  # noqa: E402
from recommenders.table_groups import class_rows  # noqa: E402


@pytest.fixture(scope="session")
def drawings(realdata) -> np.ndarray:
    with np.load(realdata("omniglot/omniglot_28x28.npz")) as file:
        return file["images"][:16]


@pytest.fixture
def folder(drawings: np.ndarray, tmp_path: Path) -> Path:
    """16 characters in folders two deep; the last has 3 drawings, the others 8."""
    root = tmp_path / "drawings"
    for i, images in enumerate(drawings):
        place = root / f"alphabet{i % 2}" / f"character{i:02d}"
        place.mkdir(parents=True)
        for j, image in enumerate(images[: 3 if i == 15 else 8]):
            Image.fromarray(image).save(place / f"{j}.png")
    return root


def test_a_folder_gives_the_pixels_of_its_files(folder: Path, drawings: np.ndarray) -> None:
    classes = image_folder(folder, 28)
    assert len(classes) == 16
    assert classes["alphabet1/character03"].shape == (8, 1, 28, 28)
    assert np.array_equal(classes["alphabet1/character03"][:, 0], drawings[3, :8])


def test_one_coloured_file_makes_all_coloured(folder: Path) -> None:
    Image.new("RGB", (40, 20), (255, 0, 10)).save(folder / "alphabet0/character00/red.jpg")
    classes = image_folder(folder, 14)
    assert {one.shape[1:] for one in classes.values()} == {(3, 14, 14)}
    grey = classes["alphabet1/character01"]
    assert torch.equal(grey[:, 0], grey[:, 1])
    red = classes["alphabet0/character00"][-1].float().mean((1, 2))
    assert red[0] > 240
    assert red[1] < 30


def test_classes_are_in_one_part_each_and_small_ones_left_out(folder: Path) -> None:
    with pytest.warns(UserWarning, match=r"alphabet1/character15 left out.* fewer than the 5"):
        source = open_source(str(folder), Wanted(n_way=5, k_shot=2, n_query=3))
    parts = source.about["classes"]
    counted = Counter(name for part in parts.values() for name in part)
    assert {part: len(names) for part, names in parts.items()} == {
        "train": 5,
        "validation": 5,
        "test": 5,
    }
    assert set(counted.values()) == {1}
    assert source.about["left_out"] == ["alphabet1/character15"]
    assert source.inputs.shape == (1, 28, 28)
    episodes = source.train.sample(3, 2)
    assert episodes.support.x.shape == (2, 10, 1, 28, 28)
    assert episodes.query.y[0].tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
    assert episodes.support.x.max() <= 1.0
    again = source.train.sample(3, 2)
    assert torch.equal(episodes.query.x, again.query.x)


@pytest.mark.filterwarnings("ignore:.*left out:UserWarning")
def test_support_and_query_share_no_drawing(folder: Path) -> None:
    episodes = open_source(str(folder), Wanted(k_shot=3, n_query=5)).test.sample(0, 4)
    for support, query in zip(episodes.support.x, episodes.query.x, strict=True):
        rows = {row.numpy().tobytes() for row in support}
        assert len(rows) == len(support)
        assert not rows & {row.numpy().tobytes() for row in query}


def test_npz_by_class_and_with_labels_are_the_same(drawings: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "stacked.npz", images=drawings)
    order = np.random.default_rng(0).permutation(16 * 20)
    np.savez(
        tmp_path / "labelled.npz",
        images=drawings.reshape(-1, 28, 28)[order],
        labels=np.repeat(np.arange(16), 20)[order],
    )
    stacked, labelled = (
        npz_classes(tmp_path / "stacked.npz"),
        npz_classes(tmp_path / "labelled.npz"),
    )
    for i in range(16):
        one, other = (
            sorted(x.numpy().tobytes() for x in part)
            for part in (stacked[f"{i:05d}"], labelled[str(i)])
        )
        assert one == other


def test_an_npz_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object))
    with pytest.raises(InvalidInputError, match="cannot be read"):
        npz_classes(tmp_path / "objects.npz")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Scikit-learn's digits as a table: 64 pixels and the digit."""
    from sklearn.datasets import load_digits  # noqa: PLC0415

    frame = load_digits(as_frame=True).frame
    frame.to_csv(tmp_path / "digits.csv", index=False)
    return tmp_path / "digits.csv"


def test_a_table_by_class_is_scaled_by_what_is_trained_on(digits: Path) -> None:
    source = open_source(str(digits), Wanted(n_way=3, target="target"))
    frame = pd.read_csv(digits)
    seen = frame[frame.target.astype(str).isin(source.about["classes"]["train"])]
    expected = seen.drop(columns="target").mean().to_numpy()
    np.testing.assert_allclose(source.about["scale"]["mean"], expected, rtol=1e-4, atol=1e-4)
    assert source.inputs.shape == (64,)
    assert source.validation.sample(0, 2).query.x.shape == (2, 15, 64)


@pytest.fixture
def diabetes(tmp_path: Path) -> Path:
    """Scikit-learn's diabetes study, by quarters of age as groups of patients."""
    from sklearn.datasets import load_diabetes  # noqa: PLC0415

    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame["decade"] = (frame["age"] // 10).astype(int)
    frame.to_parquet(tmp_path / "diabetes.parquet")
    return tmp_path / "diabetes.parquet"


def test_groups_are_tasks_of_regression(diabetes: Path) -> None:
    wanted = Wanted(k_shot=5, n_query=4, target="target", group="decade")
    source = open_source(str(diabetes), wanted)
    groups = source.about["groups"]
    counted = Counter(name for part in groups.values() for name in part)
    assert len(counted) >= 5
    assert set(counted.values()) == {1}
    assert source.inputs.shape == (10,)
    assert source.inputs.regression
    episodes = source.train.sample(0, 3)
    assert episodes.support.y.shape == (3, 5, 1)
    assert abs(float(source.train.sample(1, 200).query.y.mean())) < 0.5


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(), "which column"),
        (Wanted(target="digit"), "no column 'digit'"),
        (Wanted(n_way=4, target="target"), "10 classes of 6 examples or more are too few"),
        (Wanted(k_shot=500, target="target"), "no class of .* has the 505 examples"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(digits: Path, wanted, message) -> None:
    with pytest.raises(InvalidInputError, match=message):
        open_source(str(digits), wanted)


def test_text_and_gaps_are_named(tmp_path: Path) -> None:
    pd.DataFrame({"word": ["a", "b"], "y": [1, 2]}).to_csv(tmp_path / "text.csv", index=False)
    with pytest.raises(InvalidInputError, match="word do not"):
        class_rows(tmp_path / "text.csv", "y")
    pd.DataFrame({"a": [1.0, None], "y": [1, 2]}).to_csv(tmp_path / "gaps.csv", index=False)
    with pytest.raises(InvalidInputError, match="a hold gaps"):
        class_rows(tmp_path / "gaps.csv", "y")


def test_folders_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="no images below"):
        image_folder(tmp_path / "empty", 28)
    Image.new("L", (4, 4)).save(folder / "stray.png")
    with pytest.raises(InvalidInputError, match="holds images itself"):
        image_folder(folder, 28)
    (folder / "stray.png").unlink()
    (folder / "alphabet0/character00/0.png").write_bytes(b"no image")
    with pytest.raises(InvalidInputError, match=r"0\.png cannot be read as an image"):
        image_folder(folder, 28)
    with pytest.raises(InvalidInputError, match="no folder or file"):
        open_source(str(tmp_path / "nowhere"), Wanted())


def test_sizes_of_parts() -> None:
    assert split_sizes(15, 5, "classes") == (5, 5, 5)
    assert split_sizes(1623, 5, "classes") == (1137, 243, 243)


@pytest.mark.parametrize("stacked", [False, True])
def test_an_npz_is_brought_to_the_side_that_is_asked_for(stacked: bool, tmp_path: Path) -> None:
    """Channels may come last, as most libraries have them."""
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 20, 20, 3), dtype=np.uint8)
    labels = np.repeat(np.arange(6), 4)
    flat = images.reshape(24, 20, 20, 3)
    arrays = {"images": images} if stacked else {"images": flat, "labels": labels}
    np.savez(tmp_path / "colour.npz", **arrays)
    own = npz_classes(tmp_path / "colour.npz")
    assert {one.shape for one in own.values()} == {(4, 3, 20, 20)}
    assert np.array_equal(own[sorted(own)[1]][2].permute(1, 2, 0).numpy(), images[1, 2])
    wanted = Wanted(n_way=2, k_shot=1, n_query=1)
    assert open_source(str(tmp_path / "colour.npz"), wanted).inputs.shape == (3, 20, 20)
    for side in (10, 40):
        source = open_source(str(tmp_path / "colour.npz"), replace(wanted, side=side))
        assert source.inputs.shape == (3, side, side)
    half = npz_classes(tmp_path / "colour.npz", 10)[sorted(own)[1]][2].float()
    boxes = own[sorted(own)[1]][2].float().unfold(1, 2, 2).unfold(2, 2, 2).mean((-1, -2))
    assert (half - boxes).abs().max() <= 0.5
