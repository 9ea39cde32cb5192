"""Simple meta-features: counts and ratios of the whole table, never of a sample."""

from __future__ import annotations

import numpy as np

from metastore.metafeatures.feature import ALL, FloatVector, Measure, NotApplicable
from metastore.metafeatures.sample import Sample, is_categorical

GROUP = "simple"
_SOURCE = "Brazdil et al. 1994 (Statlog)"


def _rows(sample: Sample) -> float:
    return float(len(sample.table.features))


def _columns(sample: Sample) -> float:
    return float(sample.table.features.shape[1])


def _categorical(sample: Sample) -> float:
    features = sample.table.features
    return float(sum(is_categorical(features.iloc[:, i]) for i in range(features.shape[1])))


def _class_shares(sample: Sample) -> FloatVector:
    target = sample.table.target
    if target is None:
        raise NotApplicable("no target")
    if sample.task != "classification":
        raise NotApplicable("the target is a number, not a class")
    counts = target.value_counts().to_numpy(dtype=np.float64)
    return np.asarray(counts[counts > 0] / counts.sum())


def _binary(sample: Sample) -> float:
    frame = sample.frame
    return float(np.mean([frame.iloc[:, i].nunique() == 2 for i in range(frame.shape[1])]))


def _constant(sample: Sample) -> float:
    frame = sample.frame
    return float(np.mean([frame.iloc[:, i].nunique() <= 1 for i in range(frame.shape[1])]))


MEASURES = (
    Measure("n_rows", "Number of rows.", _SOURCE, _rows),
    Measure("n_features", "Number of columns without the target.", _SOURCE, _columns),
    Measure(
        "log_n_rows", "Natural logarithm of n_rows.", _SOURCE, lambda s: float(np.log(_rows(s)))
    ),
    Measure(
        "log_n_features",
        "Natural logarithm of n_features.",
        _SOURCE,
        lambda s: float(np.log(_columns(s))),
    ),
    Measure(
        "dimensionality",
        "n_features / n_rows.",
        "Bardenet et al. 2013",
        lambda s: _columns(s) / _rows(s),
    ),
    Measure(
        "n_categorical", "Number of text, category and boolean columns.", _SOURCE, _categorical
    ),
    Measure(
        "n_numeric",
        "Number of number and date columns.",
        _SOURCE,
        lambda s: _columns(s) - _categorical(s),
    ),
    Measure(
        "share_categorical",
        "n_categorical / n_features.",
        _SOURCE,
        lambda s: _categorical(s) / _columns(s),
    ),
    Measure(
        "share_binary",
        "Share of columns with two distinct values among sampled rows.",
        _SOURCE,
        _binary,
    ),
    Measure(
        "share_constant",
        "Share of columns with at most one distinct value among sampled rows.",
        "headstart",
        _constant,
    ),
    Measure("n_classes", "Number of classes.", _SOURCE, lambda s: float(len(_class_shares(s)))),
    Measure("class_share", "Share of rows in a class.", _SOURCE, _class_shares, ALL),
    Measure(
        "class_imbalance",
        "Share of the largest class over share of the smallest.",
        "headstart",
        lambda s: float(_class_shares(s).max() / _class_shares(s).min()),
    ),
)
