"""Meta-features against direct formulas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from metastore.metafeatures.sample import equal_frequency
from metastore.tabular import as_table
from tests.metafeatures.helpers import IRIS, values


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
