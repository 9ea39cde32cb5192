"""Information-theoretic meta-features: pymfe's, in bits, on levels and equal-frequency bins.

Numbers are cut into bins of equal frequency, a numeric target into 8, missing cells are a
level of their own (`Sample.bins`, `Sample.classes`). What pymfe computes again for every
feature is computed once and handed to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metastore.metafeatures.feature import ALL, FloatVector, Measure, NotApplicable
from metastore.metafeatures.sample import Sample

GROUP = "information"


def _pymfe() -> Any:
    from pymfe.info_theory import MFEInfoTheory  # noqa: PLC0415 - brings scikit-learn

    return MFEInfoTheory


def _class_entropy(sample: Sample) -> float:
    return float(_pymfe().ft_class_ent(y=sample.classes))


def _attribute_entropy(sample: Sample) -> FloatVector:
    return np.asarray(_pymfe().ft_attr_ent(C=sample.bins), dtype=np.float64)


def _joint_entropy(sample: Sample) -> FloatVector:
    """Entropy of each column together with the target: exact, from one count a column.

    pymfe adds 1e-8 to every cell of the table and takes ten times as long.
    """
    classes = sample.classes - sample.classes.min()
    width = int(classes.max()) + 1
    out = []
    for codes in sample.bins.T:
        sample.deadline.check()
        _, counts = np.unique((codes + 1) * width + classes, return_counts=True)
        p = counts / counts.sum()
        out.append(-float((p * np.log2(p)).sum()))
    return np.array(out)


def _mutual_information(sample: Sample) -> FloatVector:
    entropy = _attribute_entropy(sample)
    found = _pymfe().ft_mut_inf(
        C=sample.bins,
        y=sample.classes,
        attr_ent=entropy,
        class_ent=_class_entropy(sample),
        joint_ent=_joint_entropy(sample),
    )
    return np.maximum(np.asarray(found, dtype=np.float64), 0.0)  # rounding goes below 0


def _telling(sample: Sample) -> FloatVector:
    """Return the mutual information, where there is any to divide by."""
    found = _mutual_information(sample)
    if found.mean() < 1e-9:
        raise NotApplicable("no column tells anything about the target")
    return found


def _equivalent_columns(sample: Sample) -> float:
    return float(
        _pymfe().ft_eq_num_attr(
            C=sample.bins,
            y=sample.classes,
            class_ent=_class_entropy(sample),
            mut_inf=_telling(sample),
        )
    )


def _noise_ratio(sample: Sample) -> float:
    return float(
        _pymfe().ft_ns_ratio(
            C=sample.bins,
            y=sample.classes,
            attr_ent=_attribute_entropy(sample),
            mut_inf=_telling(sample),
        )
    )


def _normalised_information(sample: Sample) -> FloatVector:
    return _mutual_information(sample) / _class_entropy(sample)


def _normalised_class_entropy(sample: Sample) -> float:
    return _class_entropy(sample) / float(np.log2(len(np.unique(sample.classes))))


_MICHIE = "Michie et al. 1994, pymfe"

MEASURES = (
    Measure("class_ent", "Entropy of the target.", _MICHIE, _class_entropy),
    Measure(
        "class_evenness",
        "Entropy of the target over its largest possible value.",
        _MICHIE,
        _normalised_class_entropy,
    ),
    Measure("attr_ent", "Entropy of a column.", _MICHIE, _attribute_entropy, ALL),
    Measure("joint_ent", "Entropy of a column and the target.", _MICHIE, _joint_entropy, ALL),
    Measure(
        "mut_inf",
        "Mutual information of a column and the target.",
        _MICHIE,
        _mutual_information,
        ALL,
    ),
    Measure(
        "explained",
        "Mutual information of a column and the target over the target's entropy.",
        "headstart",
        _normalised_information,
        ("mean", "max"),
    ),
    Measure(
        "eq_num_attr",
        "Target's entropy over mean mutual information: columns needed if they were independent.",
        _MICHIE,
        _equivalent_columns,
    ),
    Measure(
        "ns_ratio",
        "Mean entropy not shared with the target over mean mutual information.",
        _MICHIE,
        _noise_ratio,
    ),
)
