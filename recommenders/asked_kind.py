"""Whether a metric fits the target of the dataset that is asked about.

What is known of a target is in the dataset's meta-features: classes or a number, and how many
classes. A dataset of which only a name is known, or imported meta-features, tells nothing.
"""

from __future__ import annotations

import warnings

from metastore.metrics import task_kind
from metastore.view import View

CLASSES, NUMBER = "n_classes", "target_skewness"
"""Meta-features that only targets of classes, and only numbers, have."""


class UnfitMetricWarning(UserWarning):
    """A metric of classification for a number, or of regression for a class."""


def kind_of(view: View, dataset: str) -> str:
    """Return `classification` or `regression`, empty where nothing tells or what ran tells more.

    Args:
        view: all runs of the metric.
        dataset: its name there.
    """
    if dataset in view.datasets:
        return ""
    known = _known(view, dataset)
    if CLASSES in known:
        return "classification"
    return "regression" if NUMBER in known else ""


def fits(metric: str, kind: str) -> bool:
    """Whether nothing speaks against asking for a metric where the target is of a kind."""
    return not kind or task_kind(metric) in ("", kind)


def say_what_does_not_fit(view: View, dataset: str, metric: str) -> None:
    """Warn where the metric is of another kind of task, and where the target is always the same."""
    kind = kind_of(view, dataset)
    if not fits(metric, kind):
        said = {"classification": "holds classes", "regression": "is a number"}[kind]
        warnings.warn(
            f"the target of {dataset!r} {said}, and {metric} is a metric of {task_kind(metric)}: "
            "the advice comes from tasks of another kind. Name another metric, or another target",
            UnfitMetricWarning,
            stacklevel=4,
        )
    if _known(view, dataset).get(CLASSES) == 1:
        warnings.warn(
            f"the target of {dataset!r} has the same value in every row, so there is nothing to "
            "predict: name another target",
            UnfitMetricWarning,
            stacklevel=4,
        )


def _known(view: View, dataset: str) -> dict[str, float]:
    row = view.meta.of(dataset)
    if row is None:
        return {}
    pairs = zip(view.meta.names, row.tolist(), strict=True)
    return {name: value for name, value in pairs if value == value}  # noqa: PLR0124 - not NaN
