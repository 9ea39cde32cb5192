"""Canonical configs and ids: one spelling, one id, in Python and in SQL."""

from __future__ import annotations

import json
import math
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metastore.errors import InvalidInputError
from metastore.types import DatasetRef, canonical_json, config_id, content_id, dataset_id, uuid7

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"))
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)  # fmt: skip
CONFIGS = st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES)


@given(CONFIGS, st.randoms())
def test_order_of_keys_plays_no_part_and_reading_gives_the_same_back(
    config: dict[str, Any], dice: Any
) -> None:
    text = canonical_json(config)
    items = list(config.items())
    dice.shuffle(items)
    assert canonical_json(dict(items)) == text
    assert json.loads(text) == config
    assert canonical_json(json.loads(text)) == text


@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
def test_numpy_scalars_are_numbers(whole: int, real: float) -> None:
    plain = {"a": whole, "b": real, "c": True, "d": [whole, real]}
    numpy = {"a": np.int64(whole), "b": np.float64(real), "c": np.bool_(True),
             "d": (np.int64(whole), np.float64(real))}  # fmt: skip
    assert canonical_json(numpy) == canonical_json(plain)
    array = {"a": np.array([real, 1.0])}
    assert canonical_json(array) == canonical_json({"a": [real, 1.0]})


def test_integers_floats_and_booleans_stay_apart() -> None:
    texts = [canonical_json({"a": value}) for value in (1, 1.0, True, "1", None, [1])]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    "value",
    [lambda x: x, math.nan, math.inf, np.float64("nan"), b"bytes", object(), {1, 2}, 1j, "\udc80",
     {"deep": [math.nan]}, np.array([math.nan]), np.datetime64("2020-01-01"), type],
)  # fmt: skip
def test_what_cannot_be_stored_is_named(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="config: gamma="):
        canonical_json({"C": 1, "gamma": value})


def test_a_config_within_itself_is_named() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidInputError, match="config: gamma="):
        canonical_json({"gamma": loop})


def test_a_config_that_is_too_long_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"at most 1,000,000 .* longest value is 'code'"):
        canonical_json({"a": 1, "code": "x" * 10_000_000})


@pytest.mark.parametrize("config", [[1], "a", None, {1: 2}, {None: 1}])
def test_what_is_no_config_is_refused(config: Any) -> None:
    with pytest.raises(InvalidInputError, match="config: "):
        canonical_json(config)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=5)
)
def test_sql_computes_the_same_ids(parts: list[str]) -> None:
    [(found,)] = duckdb.execute(
        f"SELECT md5(concat_ws(chr(31), {', '.join('?' * len(parts))}))::UUID", parts
    ).fetchall()
    assert found == content_id(*parts)


@given(CONFIGS)
def test_an_id_is_that_of_its_text(config: dict[str, Any]) -> None:
    text = canonical_json(config)
    [(found,)] = duckdb.execute("SELECT md5(?)::UUID", [text]).fetchall()
    assert found == config_id(text) == content_id(text)


def test_a_datasets_id_is_its_name_and_its_cells() -> None:
    names = [DatasetRef("a"), DatasetRef("b"), DatasetRef("a", fingerprint="x")]
    assert len({dataset_id(ref) for ref in names}) == 3
    assert dataset_id(DatasetRef("a", source_id="openml:1", n_rows=3)) == dataset_id(names[0])


def test_ids_of_version_7_sort_by_time() -> None:
    ids = [uuid7() for _ in range(200)]
    assert {(i.version, i.variant) for i in ids} == {(7, "specified in RFC 4122")}
    stamps = [i.int >> 80 for i in ids]
    assert stamps == sorted(stamps)
    assert len(set(ids)) == 200
