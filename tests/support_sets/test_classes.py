"""Which labels are classes: however few or oddly called they are, but no measured numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastore.errors import InvalidInputError
from recommenders.starts.support_sets import read_query, read_support
from tests.starts import digits
from tests.support_sets.helpers import pictured


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
