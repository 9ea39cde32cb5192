"""Two tables, and what is extracted of them by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris

from metastore.metafeatures import GROUPS, MetaFeature, Status, extract
from metastore.tabular import Table, as_table

IRIS = as_table(load_iris())
NAMES = [name for measures in GROUPS.values() for m in measures for name in m.names]
MIXED = pd.DataFrame(
    {
        "number": [1.0, 2.5, np.nan, 4.0, 8.0, 2.5] * 5,
        "text": ["a", "b", "a", None, "c", "a"] * 5,
        "flag": [True, False] * 15,
        "day": pd.date_range("2020-01-01", periods=30),
        "nothing": [None] * 30,
        "same": [7] * 30,
        "inf": [np.inf, 1.0, -np.inf, 2.0, 3.0, 4.0] * 5,
        "level": pd.Categorical([1, 2, 3] * 10),
        "y": ["u", "v", "u"] * 10,
    }
)


def values(table: Table, **options: object) -> dict[str, float | None]:
    return {f.name: f.value for f in extract(table, **options)}  # type: ignore[arg-type]


def status(features: list[MetaFeature]) -> dict[str, Status]:
    return {f.name: f.status for f in features}
