"""Which configs fail on a new dataset, by table: see `benchmarks.recommend.failures`.

Those marked * had no part in choosing how failures are learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

OWN = "own runs"

Config = Mapping[str, Any]
Fails = Callable[[str, Config, float], bool]
"""Whether a config fails: of its algorithm, what it is, and how long it took, as a quantile."""


def _forest(name: str) -> str:
    return f"randomforestclassifier__{name}"


RULES: Mapping[str, Mapping[str, Fails]] = {
    "svc": {
        "nothing": lambda a, c, s: False,
        "C > 100": lambda a, c, s: c["C"] > 100,
        "rbf": lambda a, c, s: c["kernel"] == "rbf",
        "rbf and C > 1": lambda a, c, s: c["kernel"] == "rbf" and c["C"] > 1,
        "gamma > 0.05": lambda a, c, s: c["gamma"] > 0.05,
        "* C < 10": lambda a, c, s: c["C"] < 10,
        "* sigmoid, or poly and tol < 0.001": lambda a, c, s: (
            c["kernel"] == "sigmoid" or (c["kernel"] == "poly" and c["tol"] < 1e-3)
        ),
    },
    "random_forest": {
        "nothing": lambda a, c, s: False,
        "bootstrap=False": lambda a, c, s: str(c[_forest("bootstrap")]) == "False",
        "max_features > 0.4": lambda a, c, s: c[_forest("max_features")] > 0.4,
        "min_samples_leaf < 6": lambda a, c, s: c[_forest("min_samples_leaf")] < 6,
        "* max_features < 0.3": lambda a, c, s: c[_forest("max_features")] < 0.3,
        "* entropy and min_samples_split < 8": lambda a, c, s: (
            c[_forest("criterion")] == "entropy" and c[_forest("min_samples_split")] < 8
        ),
    },
    OWN: {
        "nothing": lambda a, c, s: False,
        "LightGBM": lambda a, c, s: a.startswith("lightgbm"),
        "LightGBM and forests": lambda a, c, s: a.startswith("lightgbm") or "Forest" in a,
        "the slowest 40%": lambda a, c, s: s > 0.6,
        "* the slowest 80%": lambda a, c, s: s > 0.2,
        "* SVC with C > 1": lambda a, c, s: "SVC" in a and c.get("clf__C", c.get("C", 0)) > 1,
    },
}
