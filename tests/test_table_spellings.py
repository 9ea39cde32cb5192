"""A table in memory and the same one in a file are the same columns to a kept model."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recommenders.starts.finetuned import FineTuned, skeleton
from recommenders.starts.plain_classifiers import fit_plain
from recommenders.starts.support_sets import read_support
from recommenders.starts.table_columns import fit_columns, kind_of

N = 40
DAYS = [datetime.date(2020, 1, 1 + i % 28) for i in range(N)]
COLUMNS = {
    "dates of Python": DAYS,
    "datetimes of Python": pd.Series([pd.Timestamp(day) for day in DAYS], dtype=object),
    "days as text": [str(day) for day in DAYS],
    "moments as text": [f"{day} 12:30:00" for day in DAYS],
    "empty texts": ["", "a"] * (N // 2),
    "dates with gaps": [None if i % 3 else day for i, day in enumerate(DAYS)],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_file_of_the_same_rows_is_predicted_alike(name: str, tmp_path: Path) -> None:
    # The class is told by this column alone: predictions differ where it is read otherwise.
    frame = pd.DataFrame({"when": COLUMNS[name], "flat": 1.0})
    order = frame["when"].astype(str).rank(method="dense")
    frame["y"] = np.where(order <= order.median() - 0.25, "low", "high")
    support = read_support(frame, "y")
    model = FineTuned(fit_plain("logistic regression", support), skeleton(support))
    frame.drop(columns="y").to_csv(tmp_path / "query.csv", index=False)
    np.testing.assert_allclose(
        model.predict_proba(tmp_path / "query.csv"),
        model.predict_proba(frame.drop(columns="y")),
        atol=1e-6,
    )


def test_dates_of_python_are_dates() -> None:
    assert kind_of(pd.Series(DAYS)) == "date"
    assert kind_of(pd.Series([None, *DAYS])) == "date"
    assert kind_of(pd.Series([1, DAYS[0]], dtype=object)) == "category"


def test_numbers_that_overflow_when_squared_are_numbers() -> None:
    frame = pd.DataFrame({"a": [1e300, -1e300, 1.0, np.inf], "b": [1.0, 2.0, 3.0, 4.0]})
    found = fit_columns(frame).apply(frame)
    assert np.isfinite(found).all()
    assert found[0, 0] > found[2, 0] > found[1, 0]
