"""Meta-features of categorical columns (text, categories, booleans), over the sampled rows."""

from __future__ import annotations

import numpy as np

from metastore.metafeatures.feature import ALL, FloatVector, Measure, NotApplicable
from metastore.metafeatures.sample import IntArray, Sample

GROUP = "categorical"
HIGH_CARDINALITY = 50
_SOURCE = "Feurer et al. 2015 (auto-sklearn)"


def _counts(sample: Sample) -> list[IntArray]:
    """Counts of each level of each categorical column that has any value."""
    counts = [np.bincount(codes[codes >= 0]) for codes in sample.categorical]
    counts = [c for c in counts if len(c)]
    if not counts:
        raise NotApplicable("no categorical column")
    return counts


def _levels(sample: Sample) -> FloatVector:
    return np.array([float((c > 0).sum()) for c in _counts(sample)])


def _top_share(sample: Sample) -> FloatVector:
    return np.array([c.max() / c.sum() for c in _counts(sample)])


def _evenness(sample: Sample) -> FloatVector:
    """Entropy over its largest possible value; NaN for a column of one level."""
    out = []
    for count in _counts(sample):
        p = count[count > 0] / count.sum()
        out.append(-(p * np.log(p)).sum() / np.log(len(p)) if len(p) > 1 else np.nan)
    if np.isnan(out).all():
        raise NotApplicable("no categorical column has two levels")
    return np.array(out)


MEASURES = (
    Measure("levels", "Number of levels of a categorical column.", _SOURCE, _levels, ALL),
    Measure(
        "levels_sum",
        "Number of levels of all categorical columns: the width of a one-hot encoding.",
        _SOURCE,
        lambda s: float(_levels(s).sum()) if s.categorical else 0.0,
    ),
    Measure(
        "levels_per_row",
        "Levels of a categorical column over sampled rows: 1 for an identifier.",
        "headstart",
        lambda s: _levels(s) / len(s.frame),
        ("mean", "max"),
    ),
    Measure(
        "share_high_levels",
        f"Share of categorical columns with more than {HIGH_CARDINALITY} levels.",
        "headstart",
        lambda s: float((_levels(s) > HIGH_CARDINALITY).mean()),
    ),
    Measure(
        "top_level",
        "Share of the commonest level of a categorical column.",
        "headstart",
        _top_share,
        ("mean", "max"),
    ),
    Measure(
        "rare_levels",
        "Share of levels that occur once.",
        "headstart",
        lambda s: np.array([(c == 1).sum() / max(1, (c > 0).sum()) for c in _counts(s)]),
        ("mean", "max"),
    ),
    Measure(
        "level_evenness",
        "Entropy of a categorical column over its largest possible value.",
        "headstart",
        _evenness,
        ("mean", "min"),
    ),
)
