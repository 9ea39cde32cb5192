"""Real tables without a network: what scikit-learn brings along, and cuts of it.

Five data sets and two photographs come with scikit-learn. Each is cut into tables that ask
different questions: other classes, other columns, fewer rows. No value is made up. Cuts of one
source share rows or columns and so know too much about each other; every table carries its
source as `source_id`, which makes the store treat them as one group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from metastore.tabular import Table

ROWS = 600
"""Larger tables are cut to this many rows, drawn once with a fixed seed."""

PATCH = 8
"""Side of the square patches that the photographs are cut into, in pixels."""

Cut = Callable[[pd.DataFrame, "pd.Series[Any]"], tuple[pd.DataFrame, "pd.Series[Any]"]]


def tables() -> dict[str, Table]:
    """Return all tables by name; those of the photographs only where Pillow is installed."""
    found = {}
    for source, cuts in CUTS.items():
        loaded = _source(source)
        if loaded is None:
            continue
        for name, cut in cuts.items():
            features, target = cut(*loaded)
            features, target = _at_most(ROWS, features, target)
            found[name] = Table(features, target, name, f"sklearn:{source}")
    return found


@cache
def _source(name: str) -> tuple[pd.DataFrame, pd.Series[Any]] | None:
    """Return features and target of what scikit-learn brings along."""
    from sklearn import datasets  # noqa: PLC0415 - heavy, and only wanted by who trains

    if name == "photos":
        try:
            return _patches(datasets.load_sample_images().images)
        except ImportError:  # scikit-learn reads images by Pillow, which it does not depend on
            return None
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    return bunch.data, bunch.target


def _patches(images: Sequence[Any]) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Return patches that do not overlap, as grey levels, and the photograph each is from."""
    rows, labels = [], []
    for number, image in enumerate(images):
        grey = np.asarray(image, dtype=float).mean(axis=2)
        high, wide = (side // PATCH for side in grey.shape)
        blocks = grey[: high * PATCH, : wide * PATCH].reshape(high, PATCH, wide, PATCH)
        rows.append(blocks.swapaxes(1, 2).reshape(high * wide, PATCH * PATCH))
        labels += [number] * (high * wide)
    pixels = pd.DataFrame(np.concatenate(rows))
    return pixels.set_axis([f"pixel_{i}" for i in range(PATCH**2)], axis=1), pd.Series(labels)


def _at_most(
    n: int, features: pd.DataFrame, target: pd.Series[Any]
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    if len(features) > n:
        kept = np.sort(np.random.default_rng(0).choice(len(features), n, replace=False))
        features, target = features.iloc[kept], target.iloc[kept]
    return features.reset_index(drop=True), target.reset_index(drop=True).rename("target")


def _whole(features: pd.DataFrame, target: pd.Series[Any]) -> tuple[Any, Any]:
    return features, target


def _classes(*wanted: int) -> Cut:
    """Keep the rows of some classes."""

    def cut(features: pd.DataFrame, target: pd.Series[Any]) -> tuple[Any, Any]:
        kept = target.isin(wanted)
        return features[kept], target[kept]

    return cut


def _columns(pattern: str) -> Cut:
    """Keep the columns whose names match."""

    def cut(features: pd.DataFrame, target: pd.Series[Any]) -> tuple[Any, Any]:
        return features.filter(regex=pattern), target

    return cut


def _asked(question: Callable[[pd.Series[Any]], pd.Series[Any]], pattern: str = ".") -> Cut:
    """Ask a question with the answers no and yes of the target."""

    def cut(features: pd.DataFrame, target: pd.Series[Any]) -> tuple[Any, Any]:
        return features.filter(regex=pattern), question(target).astype(int)

    return cut


def _patch_statistics(features: pd.DataFrame, target: pd.Series[Any]) -> tuple[Any, Any]:
    """Describe each patch by its mean, spread, darkest and lightest pixel."""
    return features.agg(["mean", "std", "min", "max"], axis=1), target


CUTS: dict[str, dict[str, Cut]] = {
    "iris": {
        "iris": _whole,
        "iris_sepals": _columns("^sepal"),
        "iris_two_species": _classes(1, 2),
    },
    "wine": {
        "wine": _whole,
        "wine_minerals": _columns("ash|magnesium|proline|malic"),
        "wine_two_growers": _classes(0, 1),
    },
    "breast_cancer": {
        "breast_cancer": _whole,
        "breast_cancer_texture": _columns("^mean (texture|smoothness|symmetry|fractal)"),
        "breast_cancer_errors": _columns("error$"),
    },
    "digits": {
        "digits": _whole,
        "digits_3_or_8": _classes(3, 8),
        "digits_4_or_9": _classes(4, 9),
        "digits_is_it_odd": _asked(lambda digit: digit % 2 == 1),
    },
    "diabetes": {
        "diabetes_above_median": _asked(lambda y: y > y.median()),
        "diabetes_blood": _asked(lambda y: y > y.median(), "^s[1-6]$"),
        "diabetes_top_quarter": _asked(lambda y: y > y.quantile(0.75)),
    },
    "photos": {
        "photos_pixels": _whole,
        "photos_statistics": _patch_statistics,
    },
}
"""Cuts by source, then by the name of the table they give."""
