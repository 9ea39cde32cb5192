"""A table and a folder of images, as users have them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

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
