"""Meta-features against direct formulas, on nasty tables, and within their time."""

from __future__ import annotations

import math
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris

from metastore.errors import InvalidInputError
from metastore.metafeatures import (
    EXTRACTOR,
    GROUPS,
    VERSION,
    Measure,
    MetaFeature,
    Status,
    catalogue,
    extract,
    extraction,
)
from metastore.metafeatures.feature import Deadline
from metastore.metafeatures.landmarking import folds
from metastore.metafeatures.sample import (
    MAX_COLUMNS,
    as_numbers,
    draw,
    equal_frequency,
    level_codes,
    sample_rows,
)
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


class TestContract:
    @pytest.mark.parametrize(
        "table",
        [
            IRIS,
            as_table(load_diabetes()),
            as_table(MIXED, "y"),
            as_table(MIXED, "number"),
            as_table(MIXED),
            as_table(np.zeros((1, 1))),
        ],
    )
    def test_every_name_has_a_value_or_a_reason(self, table):
        features = extract(table)
        assert [f.name for f in features] == NAMES
        for f in features:
            assert (f.extractor, f.version) == (EXTRACTOR, VERSION)
            assert f.seconds >= 0
            if f.status is Status.COMPUTED:
                assert f.value is not None and math.isfinite(f.value), f
            else:
                assert f.value is None and f.message, f

    def test_names_are_unique(self):
        assert len(set(NAMES)) == len(NAMES) > 90

    def test_same_seed_same_values(self):
        table = as_table(load_digits())
        assert values(table, max_rows=500) == values(table, max_rows=500)
        assert values(table, max_rows=500) != values(table, max_rows=500, seed=1)

    def test_groups_are_chosen(self):
        assert {f.group for f in extract(IRIS, groups=["missing", "simple"])} == {
            "simple",
            "missing",
        }

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"groups": ["simpel"]}, "no group of meta-features named 'simpel'; there are simple"),
            ({"limit_seconds": -1}, "limit_seconds >= 0"),
            ({"limit_seconds": math.nan}, "limit_seconds >= 0"),
            ({"max_rows": 0}, "max_rows >= 1"),
        ],
    )
    def test_refused(self, options, words):
        with pytest.raises(InvalidInputError, match=words):
            extract(IRIS, **options)

    def test_page_is_up_to_date(self):
        page = Path(__file__).parents[1] / "docs" / "metafeatures.md"
        assert page.read_text() == catalogue.markdown(), (
            "run: python -m metastore.metafeatures > docs/metafeatures.md"
        )

    def test_import_is_light(self):
        code = (
            "import sys, metastore.metafeatures, metastore.fingerprint, metastore.duplicates;"
            "print([m for m in ('sklearn', 'pymfe', 'scipy', 'pandas', 'torch')"
            " if m in sys.modules])"
        )
        out = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        assert out.stdout.strip() == "[]"


class TestReference:
    """Plain formulas in float64, on breast cancer, whose columns have very different units."""

    X, y = load_breast_cancer(return_X_y=True)
    found = values(as_table((X, y)))

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("n_rows", 569),
            ("n_features", 30),
            ("dimensionality", 30 / 569),
            ("class_share.min", 212 / 569),
            ("class_imbalance", 357 / 212),
            ("skewness.max", stats.skew(X, bias=True).max()),
            ("kurtosis.mean", stats.kurtosis(X, bias=True).mean()),
            ("iq_range.mean", (stats.iqr(X, axis=0) / X.std(axis=0)).mean()),
            (
                "mad.mean",
                (
                    1.4826 * np.median(np.abs(X - np.median(X, axis=0)), axis=0) / X.std(axis=0)
                ).mean(),
            ),
            ("cor.mean", np.abs(np.corrcoef(X.T)[np.triu_indices(30, 1)]).mean()),
            ("pca_first", np.linalg.eigvalsh(np.corrcoef(X.T))[-1] / 30),
            ("class_ent", stats.entropy([212, 357], base=2)),
            ("majority", 357 / 569),
        ],
    )
    def test_value(self, name, expected):
        tolerance = 0.02 if name.startswith(("skew", "kurt")) else 1e-9
        assert self.found[name] == pytest.approx(expected, rel=tolerance)

    def test_canonical_correlation_is_the_multiple_correlation_for_two_classes(self):
        from sklearn.linear_model import LinearRegression  # noqa: PLC0415

        Z = (self.X - self.X.mean(axis=0)) / self.X.std(axis=0)
        r2 = LinearRegression().fit(Z, self.y).score(Z, self.y)
        assert self.found["can_cor.max"] == pytest.approx(math.sqrt(r2), abs=1e-6)
        assert self.found["w_lambda"] == pytest.approx(1 - r2, abs=1e-6)

    def test_canonical_correlations_agree_with_pymfe(self):
        from pymfe.statistical import MFEStatistical  # noqa: PLC0415

        X, y = load_iris(return_X_y=True)
        Z = (X - X.mean(axis=0)) / X.std(axis=0)
        peer = MFEStatistical.ft_can_cor(N=Z, y=y)
        ours = values(IRIS)
        assert ours["can_cor.max"] == pytest.approx(peer.max(), abs=1e-3)

    def test_mutual_information(self):
        from sklearn.metrics import mutual_info_score  # noqa: PLC0415

        bins = [equal_frequency(column, 9) for column in self.X.T]
        expected = [mutual_info_score(self.y, b) / np.log(2) for b in bins]
        assert self.found["mut_inf.mean"] == pytest.approx(np.mean(expected))
        assert self.found["mut_inf.max"] == pytest.approx(max(expected))
        assert self.found["eq_num_attr"] == pytest.approx(
            stats.entropy([212, 357], base=2) / np.mean(expected)
        )

    def test_target_correlation(self):
        X, y = load_diabetes(return_X_y=True)
        expected = np.abs([np.corrcoef(column, y)[0, 1] for column in X.T])
        assert values(as_table((X, y)))["target_cor.mean"] == pytest.approx(expected.mean())

    def test_missing(self):
        frame = pd.DataFrame({"a": [1, None, None, 4], "b": ["x", None, None, "y"], "c": range(4)})
        found = values(as_table(frame), groups=["missing"])
        assert found["missing_cells"] == pytest.approx(4 / 12)
        assert found["missing_rows"] == 0.5
        assert found["missing_columns"] == pytest.approx(2 / 3)
        assert found["missing_share.max"] == 0.5
        assert found["missing_linked"] == pytest.approx(1)

    def test_categorical(self):
        frame = pd.DataFrame({"a": list("aaab"), "b": list("wxyz"), "n": range(4)})
        found = values(as_table(frame), groups=["categorical"])
        assert found["levels.mean"] == 3
        assert found["levels_sum"] == 6
        assert found["levels_per_row.max"] == 1
        assert found["top_level.mean"] == (0.75 + 0.25) / 2
        assert found["rare_levels.mean"] == (0.5 + 1) / 2
        assert found["level_evenness.min"] == pytest.approx(stats.entropy([0.75, 0.25], base=2))

    def test_landmarkers_tell_easy_from_hard(self):
        rng = np.random.default_rng(0)
        X, y = load_iris(return_X_y=True)
        easy, hard = values(IRIS), values(as_table((X, rng.permutation(y))))
        for name in ("one_nn", "small_tree", "naive_bayes", "linear", "full_tree"):
            assert easy[name] > 0.8
            assert hard[name] < 0.55

    def test_regression_landmarkers(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 3))
        found = values(as_table((X, X @ [3.0, 1.0, 0.0] + 0.01 * rng.normal(size=300))))
        assert found["linear"] > 0.99
        assert found["full_tree"] > found["best_node"] > 0.3


class TestInvariance:
    GROUPS = ("simple", "missing", "categorical", "statistical", "information")

    @given(seed=st.integers(0, 10_000))
    @settings(max_examples=8, deadline=None)
    def test_order_names_and_units(self, seed):
        rng = np.random.default_rng(seed)
        frame = MIXED.drop(columns="y")
        for name in ("number", "inf"):
            frame[name] = frame[name] * rng.uniform(0.1, 10) + rng.normal()
        rows, columns = rng.permutation(len(frame)), rng.permutation(frame.shape[1])
        frame = frame.iloc[rows, columns]
        frame.columns = [f"z{i}" for i in range(frame.shape[1])]
        again = as_table((frame, MIXED["y"].iloc[rows]))
        one = values(as_table(MIXED, "y"), groups=self.GROUPS)
        two = values(again, groups=self.GROUPS)
        assert {k for k, v in one.items() if v is None} == {k for k, v in two.items() if v is None}
        for name, value in one.items():
            if value is not None:
                assert two[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


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


class TestTime:
    def test_no_time_at_all(self):
        features = extract(IRIS, limit_seconds=0)
        assert {f.status for f in features} == {Status.TIMED_OUT}
        assert [f.name for f in features] == NAMES

    def test_a_slow_measure_ends_its_group_only(self, monkeypatch):
        def slow(sample: object) -> float:
            time.sleep(0.3)
            return 1.0

        measures = (Measure("slow", "", "", slow), Measure("late", "", "", lambda s: 1.0))
        monkeypatch.setitem(GROUPS, "simple", measures)
        found = status(extract(IRIS, groups=["simple", "missing"], limit_seconds=0.2))
        assert found["slow"] is Status.COMPUTED
        assert found["late"] is Status.TIMED_OUT
        assert found["missing_cells"] is Status.COMPUTED

    def test_landmarkers_stop_between_folds(self, monkeypatch):
        class Stopped(Deadline):
            looks = 0

            @property
            def passed(self) -> bool:
                self.looks += 1
                return self.looks > 3

        monkeypatch.setattr(extraction, "Deadline", Stopped)
        features = extract(IRIS, groups=["landmarking"])
        assert {f.status for f in features} == {Status.TIMED_OUT}

    @pytest.mark.parametrize("n_classes", [2, 100])
    def test_the_limit_holds_on_a_large_table(self, n_classes):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(20_000, MAX_COLUMNS))
        table = as_table((X, rng.integers(n_classes, size=20_000)))
        start = time.monotonic()
        extract(table, limit_seconds=0.5)
        assert time.monotonic() - start < 6 * 0.5 + 5  # what was begun may end: see the docs

    def test_nothing_is_left_running(self):
        import threading  # noqa: PLC0415

        before = threading.active_count()
        extract(IRIS)
        assert threading.active_count() == before


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


def test_penn_collection(realdata):
    for path in sorted(realdata("pmlb/parquet").glob("*.parquet"))[::12]:
        features = extract(as_table(path, "target"))
        failed = [f for f in features if f.status in (Status.FAILED, Status.TIMED_OUT)]
        assert not failed, (path.name, failed)
