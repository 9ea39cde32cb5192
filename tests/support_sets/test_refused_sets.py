"""What cannot be a support set is refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastore.errors import InvalidInputError
from recommenders.starts.support_sets import read_support
from tests.starts import digits
from tests.support_sets.helpers import flat, one_class


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


def empty(tmp_path: Path) -> object:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


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
