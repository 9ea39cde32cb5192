"""Paths, targets and folders that do not fit what is asked: one clear word on each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from metastore.errors import InvalidInputError  # noqa: E402
from recommenders.episode_sources import Wanted, open_source  # noqa: E402
from recommenders.image_folders import image_folder  # noqa: E402
from recommenders.starts.support_sets import read_query, read_support  # noqa: E402
from tests.commands import RunIt  # noqa: E402
from tests.starts import digits, write_folder  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "digits", *digits(3))


def test_a_target_of_images_is_refused(folder: Path, tmp_path: Path) -> None:
    images, labels = digits(3)
    np.savez(tmp_path / "digits.npz", images=np.stack(images), labels=labels)
    for source in (folder, str(folder), tmp_path / "digits.npz", (np.stack(images), labels)):
        with pytest.raises(InvalidInputError, match=r"holds images.*leave the target out"):
            read_support(source, "y")


@pytest.mark.parametrize(
    "option", [{"target": "y"}, {"group": "g"}, {"target": "y", "group": "g"}], ids=str
)
def test_columns_are_refused_where_learning_is_from_no_table(
    option: dict[str, str], folder: Path
) -> None:
    wanted = Wanted(n_way=2, k_shot=1, n_query=1, **option)
    for source in (str(folder), "sinusoid"):
        with pytest.raises(InvalidInputError, match=r"no use for --(target|group).*leave it out"):
            open_source(source, wanted)


def test_a_side_is_of_images(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n3,4\n")
    for source in (str(tmp_path / "t.csv"), "sinusoid"):
        wanted = Wanted(side=8) if source == "sinusoid" else Wanted(target="y", side=8)
        with pytest.raises(InvalidInputError, match="no use for --side"):
            open_source(source, wanted)


def test_a_path_that_is_not_there_is_no_openml_id(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"^no file or folder 'nowhere'.*folder of images"):
        read_support("nowhere")
    like = read_support(folder)
    for query in ("nowhere", Path("nowhere")):
        with pytest.raises(InvalidInputError, match=r"^no file or folder 'nowhere'"):
            read_query(query, like)


@pytest.mark.parametrize("read", [read_support, lambda folder: image_folder(folder, 8)])
def test_a_class_without_an_image_is_said(read, folder: Path) -> None:
    (folder / "new" / ".hidden").mkdir(parents=True)
    (folder / "phone").mkdir()
    (folder / "phone" / "1.heic").write_bytes(b"a photo")
    with pytest.warns(UserWarning, match=r"new, phone hold no image \(but files of \.heic\)"):
        read(folder)


def test_folders_of_folders_with_images_are_not_empty(folder: Path, tmp_path: Path) -> None:
    deep = tmp_path / "all"
    deep.mkdir()
    folder.rename(deep / "digits")
    assert len(read_support(deep).classes) == 10  # a warning would be an error


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_predictions_keep_the_type_of_their_labels(
    headstart: RunIt, form: str, tmp_path: Path
) -> None:
    rows = "".join(f"{i},{i % 7},{i % 2 + 3}\n" for i in range(24))
    (tmp_path / "t.csv").write_text("a,b,y\n" + rows)
    fit = ("finetune", "t.csv", "--target", "y", "--start", "nearest centroid", "--out", "model")
    said = headstart(*fit, "--query", "t.csv", "--json").json
    assert said["classes"] == [3, 4]
    assert {row["predicted"] for row in said["predictions"]} <= {3, 4}
    found = headstart("predict", "model", "t.csv", form)
    if form == "--csv":
        assert found.out.splitlines()[0] == "row,label,predicted,probability,p(3),p(4)"
        return
    assert all(type(row["predicted"]) is int for row in found.json)
    assert [row["label"] for row in found.json] == [i % 2 + 3 for i in range(24)]
