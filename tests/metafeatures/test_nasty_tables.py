"""Meta-features of nasty tables: a value or a status, and never an exception."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from metastore.metafeatures import GROUPS, Measure, Status, extract
from metastore.tabular import as_table
from tests.metafeatures.helpers import IRIS, MIXED, NAMES, status, values


class TestNasty:
    @pytest.mark.parametrize(
        "frame",
        [
            pd.DataFrame({"a": [None] * 20, "y": [0, 1] * 10}),
            pd.DataFrame({"a": [1] * 20, "y": [0, 1] * 10}),
            pd.DataFrame({"a": range(20), "y": [1] * 20}),
            pd.DataFrame({"a": range(20), "y": [*["a"] * 19, "b"]}),
            pd.DataFrame({"a": range(20), "y": [f"c{i}" for i in range(20)]}),
            pd.DataFrame({"a": [f"id {i}" for i in range(500)], "y": [0, 1] * 250}),
            pd.DataFrame({"a": [1e308, -1e308] * 10, "b": [1e-308, 0] * 10, "y": [0, 1] * 10}),
            pd.DataFrame({"a": [1, "b", None, 2.5, True] * 4, "y": [0, 1] * 10}),
            pd.DataFrame({"a": pd.array([1, None] * 10, dtype="Int64"), "y": [0.5, 1.5] * 10}),
            pd.DataFrame({"a": pd.array([True, None] * 10, dtype="boolean"), "y": [0, 1] * 10}),
            pd.DataFrame({"a": pd.to_timedelta(range(20), unit="h"), "y": [0, 1] * 10}),
            pd.DataFrame(
                {
                    "a": pd.date_range("2020", periods=20, tz="Asia/Tokyo"),
                    "y": [None, 1.5, 2, 3] * 5,
                }
            ),
            pd.DataFrame({"a": pd.period_range("2020", periods=20, freq="M"), "y": [0, 1] * 10}),
            pd.DataFrame({"a": [1.0], "y": [0]}),
            pd.DataFrame({"a": [1.0, 2.0], "y": [0, 1]}),
            pd.DataFrame({"a": range(30), "y": pd.date_range("2020", periods=30)}),
        ],
    )
    def test_gives_a_status_and_no_warning(self, frame):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            features = extract(as_table(frame, "y"))
        assert [f.name for f in features] == NAMES
        assert status(features)["n_rows"] is Status.COMPUTED
        failed = [f for f in features if f.status is Status.FAILED]
        assert not failed, failed

    def test_one_missing_cell_poisons_nothing(self):
        frame = load_iris(as_frame=True).frame
        for column in range(4):
            frame.iloc[column, column] = np.nan
        one, two = extract(as_table(frame, "target")), extract(IRIS)
        computed = {f.name for f in two if f.status is Status.COMPUTED}
        assert computed <= {f.name for f in one if f.status is Status.COMPUTED}
        found, whole = ({f.name: f.value for f in features} for features in (one, two))
        for name in ("skewness.sd", "cor.mean", "pca_first", "can_cor.max", "one_nn", "linear"):
            assert found[name] == pytest.approx(whole[name], rel=0.05), name

    def test_mixed_types_use_every_family(self):
        found = values(as_table(MIXED, "y"))
        assert found["n_categorical"] == 3
        assert found["n_numeric"] == 5
        assert found["levels_sum"] == 3 + 2 + 3
        assert found["missing_all"] == 1 / 8

    def test_wide_and_sparse(self):
        rng = np.random.default_rng(0)
        wide = as_table((rng.normal(size=(60, 1500)), [0, 1] * 30))
        found = values(wide)
        assert found["n_features"] == 1500
        assert found["one_nn"] is not None
        sparse = pytest.importorskip("scipy.sparse").random_array((60, 50), density=0.1, rng=rng)
        assert values(as_table((sparse, [0, 1] * 30)))["one_nn"] is not None

    def test_warnings_are_kept_with_the_feature(self, monkeypatch):
        def compute(sample: object) -> float:
            warnings.warn("mind the gap", RuntimeWarning, stacklevel=1)
            return 1.0

        monkeypatch.setitem(GROUPS, "simple", (Measure("odd", "", "", compute),))
        [feature] = extract(IRIS, groups=["simple"])
        assert (feature.value, feature.message) == (1.0, "mind the gap")

    def test_a_failure_is_a_status(self, monkeypatch):
        def compute(sample: object) -> float:
            raise ValueError("no way")

        measures = (
            Measure("bad", "", "", compute),
            Measure("nan", "", "", lambda s: math.nan),
            Measure("good", "", "", lambda s: 2.0),
        )
        monkeypatch.setitem(GROUPS, "simple", measures)
        bad, nan, good = extract(IRIS, groups=["simple"])
        assert (bad.status, bad.message) == (Status.FAILED, "ValueError: no way")
        assert (nan.status, nan.value) == (Status.FAILED, None)
        assert good.value == 2.0
