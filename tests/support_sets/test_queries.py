"""Queries: their columns, classes and labels go by those of the support set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastore.errors import InvalidInputError
from recommenders.starts.support_sets import read_query, read_support
from tests.starts import digits, write_folder
from tests.support_sets.helpers import pictured


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


def test_a_query_may_hold_any_labels() -> None:
    support = read_support(pictured(np.arange(5)))
    query = read_query(pictured(np.arange(30) * 100), support)
    assert query.labels.tolist() == [0] + [-1] * 29


def test_a_query_of_another_kind_is_refused(folder: Path, bank: pd.DataFrame) -> None:
    pictures, table = read_support(folder), read_support(bank, "bought")
    for source, like in [(bank, pictures), (folder, table), (table, pictures)]:
        with pytest.raises(InvalidInputError, match="the query is of another kind"):
            read_query(source, like)
