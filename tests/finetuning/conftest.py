"""What is fine-tuned on, and asked about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recommenders.starts.support_sets import SupportSet, read_query, read_support
from tests.starts import digits


@pytest.fixture(scope="module")
def support() -> SupportSet:
    return read_support(digits(4), name="digits")


@pytest.fixture(scope="module")
def query(support: SupportSet) -> SupportSet:
    return read_query(digits(3, seed=7), support)


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    random = np.random.default_rng(0)
    job = random.choice(["clerk", "cook", "nurse"], 40)
    age = random.integers(20, 60, 40).astype(float)
    age[3] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "job": job,
            "since": pd.date_range("2020-01-01", periods=40, freq="37D"),
            "tall": np.where(job == "cook", "yes", "no"),
        }
    )
