"""Statistical meta-features of the numeric columns: pymfe's, on imputed standardised numbers.

Every column is standardised first, so that no feature depends on the unit of a column.
Canonical correlations are the singular values between orthonormal bases of the columns and of
the class indicators (Björck and Golub 1973): exact, where the iterative ones of pymfe take
20 seconds for 200 columns and 100 classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metastore.metafeatures.feature import ALL, FloatVector, Measure, NotApplicable
from metastore.metafeatures.sample import FloatArray, Sample

GROUP = "statistical"
_MAX_COLUMNS_BY_CLASS = 100


def _pymfe(name: str, *, classes: bool = False, **options: Any) -> Callable[[Sample], FloatVector]:
    """Return a call of pymfe's statistical feature `name`."""

    def compute(sample: Sample) -> FloatVector:
        from pymfe.statistical import MFEStatistical  # noqa: PLC0415 - brings scikit-learn

        arguments = {"N": sample.numeric, **options}
        if classes:
            arguments["y"] = _class_codes(sample)
        return np.asarray(getattr(MFEStatistical, f"ft_{name}")(**arguments), dtype=np.float64)

    return compute


def _class_codes(sample: Sample) -> Any:
    if sample.task == "regression":
        raise NotApplicable("the target is a number, not a class")
    return sample.classes


def _correlations(sample: Sample) -> FloatVector:
    if sample.numeric.shape[1] < 2:
        raise NotApplicable("fewer than two numeric columns that vary")
    return np.abs(_pymfe("cor")(sample))


def _basis(matrix: FloatArray) -> FloatArray:
    """Return an orthonormal basis `(n, rank)` of the centred columns."""
    left, values, _ = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, values > 1e-10 * max(1.0, values[0])])


def _canonical(sample: Sample) -> FloatVector:
    codes = _class_codes(sample)
    _, codes = np.unique(codes, return_inverse=True)
    indicators = np.eye(codes.max() + 1)[codes]
    if indicators.shape[1] > _MAX_COLUMNS_BY_CLASS:
        raise NotApplicable(f"more than {_MAX_COLUMNS_BY_CLASS} classes")
    cross = _basis(sample.numeric).T @ _basis(indicators)
    return np.clip(np.linalg.svd(cross, compute_uv=False), 0.0, 1.0)


def _target_correlations(sample: Sample) -> FloatVector:
    return np.abs(sample.numeric.T @ sample.numbers) / len(sample.numeric)


def _components(sample: Sample) -> FloatVector:
    """Share of variance of each principal component, the largest first."""
    values = np.linalg.svd(sample.numeric, compute_uv=False) ** 2
    return np.asarray(values / values.sum())


def _fraction_95(sample: Sample) -> float:
    shares = np.cumsum(_components(sample))
    return float(np.searchsorted(shares, 0.95) + 1) / len(shares)


def _target_shape(power: int) -> Callable[[Sample], float]:
    return lambda sample: float((sample.numbers**power).mean()) - (3.0 if power == 4 else 0.0)


def _of_columns(name: str, **options: Any) -> Callable[[Sample], float]:
    """Return a call of a pymfe feature that counts columns, as a share of them."""
    return lambda s: float(_pymfe(name, **options)(s)) / s.numeric.shape[1]


def _sparsity(sample: Sample) -> FloatVector:
    from pymfe.statistical import MFEStatistical  # noqa: PLC0415 - brings scikit-learn

    return np.asarray(MFEStatistical.ft_sparsity(X=sample.numeric), dtype=np.float64)


MEASURES = (
    Measure("skewness", "Skewness of a column.", "pymfe", _pymfe("skewness"), ALL),
    Measure("kurtosis", "Excess kurtosis of a column.", "pymfe", _pymfe("kurtosis"), ALL),
    Measure(
        "iq_range",
        "Interquartile range of a standardised column.",
        "pymfe",
        _pymfe("iq_range"),
        ALL,
    ),
    Measure(
        "mad",
        "Median absolute deviation of a standardised column.",
        "pymfe",
        _pymfe("mad"),
        ("mean", "min"),
    ),
    Measure(
        "sparsity",
        "How few distinct values a column has: 0 all distinct, 1 constant.",
        "pymfe",
        _sparsity,
        ("mean", "max"),
    ),
    Measure("cor", "Absolute correlation of two columns.", "pymfe", _correlations, ALL),
    Measure(
        "share_outliers",
        "Share of columns with a value 1.5 interquartile ranges beyond the quartiles.",
        "pymfe",
        _of_columns("nr_outliers"),
    ),
    Measure(
        "share_normal",
        "Share of columns that the Shapiro-Wilk test does not reject at 0.05.",
        "pymfe",
        _of_columns("nr_norm"),
    ),
    Measure(
        "pca_first",
        "Share of variance of the first component.",
        "headstart",
        lambda s: float(_components(s)[0]),
    ),
    Measure(
        "pca_95",
        "Share of components that hold 95% of the variance.",
        "Bardenet et al. 2013",
        _fraction_95,
    ),
    Measure(
        "gravity",
        "Distance between the centres of the largest and the smallest class.",
        "pymfe",
        lambda s: float(_pymfe("gravity", classes=True)(s)),
    ),
    Measure(
        "can_cor",
        "Canonical correlation between columns and class indicators.",
        "Björck and Golub 1973",
        _canonical,
        ("mean", "max"),
    ),
    Measure(
        "w_lambda",
        "Wilks' lambda: product of one less the squared canonical correlations.",
        "Lindner and Studer 1999",
        lambda s: float(np.prod(1 - _canonical(s) ** 2)),
    ),
    Measure(
        "target_cor",
        "Absolute correlation of a column with a numeric target.",
        "Kuba et al. 2002",
        _target_correlations,
        ALL,
    ),
    Measure("target_skewness", "Skewness of a numeric target.", "headstart", _target_shape(3)),
    Measure(
        "target_kurtosis", "Excess kurtosis of a numeric target.", "headstart", _target_shape(4)
    ),
)
