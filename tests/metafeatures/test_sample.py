"""The sample that meta-features are computed of: its rows, numbers, bins and levels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from metastore.metafeatures.feature import Deadline
from metastore.metafeatures.landmarking import folds
from metastore.metafeatures.sample import (
    as_numbers,
    draw,
    equal_frequency,
    level_codes,
    sample_rows,
)
from metastore.tabular import as_table


class TestSample:
    def test_stratified(self):
        strata = np.repeat([0, 1, 2], [9000, 990, 10])
        rows = sample_rows(10_000, strata, 1000, seed=0)
        assert len(rows) <= 1000
        assert (np.diff(rows) > 0).all()
        assert np.bincount(strata[rows]).tolist() == [900, 99, 1]

    def test_a_rare_class_stays(self):
        strata = np.repeat([0, 1], [9999, 1])
        assert strata[sample_rows(10_000, strata, 10, seed=0)].max() == 1

    def test_rows_without_target_are_left_out(self):
        table = as_table(([[1.0], [2.0], [3.0]], ["a", None, "b"]))
        sample = draw(table, max_rows=10, seed=0, deadline=Deadline(1))
        assert len(sample.frame) == 2

    def test_dates_are_days(self):
        days = as_numbers(pd.Series(pd.to_datetime(["1970-01-02T00:00", "1970-01-01T12:00", None])))
        assert days[:2].tolist() == [1, 0.5]
        assert np.isnan(days[2])

    @given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 9))
    def test_equal_frequency(self, numbers, n_bins):
        array = np.array(numbers)
        codes = equal_frequency(array, n_bins)
        assert len(np.unique(codes)) <= n_bins
        order = np.argsort(array, kind="stable")
        assert (np.diff(codes[order]) >= 0).all()
        assert all(len(set(codes[array == value])) == 1 for value in set(numbers))

    def test_levels_go_by_text(self):
        codes = level_codes(pd.Series(["b", None, "a", "b"]))
        assert codes.tolist() == [1, -1, 0, 1]

    def test_folds_are_stratified(self):
        y = np.array([0, 0, 0, 0, 1] * 10)
        fold = folds(y, seed=0)
        for k in range(5):
            assert np.bincount(y[fold == k]).tolist() == [8, 2]
