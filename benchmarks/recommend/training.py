"""Real training on PMLB's classification tables: who is trained, on what, and how it is scored.

Tables are sorted by their number of cells. Of every five, the second and the fourth are never
collected from, so that they can be asked about as datasets that the store has not seen.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.realdata import realdata
from metastore.search_space import SearchSpace
from metastore.view import FloatArray
from recommenders.estimators import to_estimator

METRIC = "balanced_accuracy"
FOLDS = 3
SPLIT = f"stratified {FOLDS}-fold, shuffled, seed 0"
ASKED = (1, 3)
LEAST_PER_CLASS = 2 * FOLDS
_SCALE = "sklearn.preprocessing.StandardScaler"


def _scaled(path: str) -> str:
    return f"sklearn.pipeline.Pipeline(scale={_SCALE},clf={path})"


SPACES: Mapping[str, SearchSpace] = {
    _scaled("sklearn.linear_model.LogisticRegression"): SearchSpace(
        {
            "clf__C": FloatDistribution(1e-4, 1e3, log=True),
            "clf__class_weight": CategoricalDistribution([None, "balanced"]),
            "clf__max_iter": IntDistribution(1000, 1000),
        }
    ),
    _scaled("sklearn.svm.SVC"): SearchSpace(
        {
            "clf__C": FloatDistribution(1e-2, 1e4, log=True),
            "clf__gamma": FloatDistribution(1e-5, 1e1, log=True),
            "clf__class_weight": CategoricalDistribution([None, "balanced"]),
            "clf__max_iter": IntDistribution(50_000, 50_000),
        }
    ),
    "sklearn.ensemble.RandomForestClassifier": SearchSpace(
        {
            "n_estimators": IntDistribution(100, 100),
            "criterion": CategoricalDistribution(["gini", "entropy"]),
            "max_features": FloatDistribution(0.05, 1.0),
            "min_samples_leaf": IntDistribution(1, 20, log=True),
            "bootstrap": CategoricalDistribution([True, False]),
            "class_weight": CategoricalDistribution([None, "balanced"]),
        }
    ),
    "lightgbm.LGBMClassifier": SearchSpace(
        {
            "n_estimators": IntDistribution(20, 300, log=True),
            "learning_rate": FloatDistribution(0.01, 0.5, log=True),
            "num_leaves": IntDistribution(4, 64, log=True),
            "min_child_samples": IntDistribution(1, 50, log=True),
            "reg_lambda": FloatDistribution(1e-6, 10.0, log=True),
        }
    ),
}
"""Four algorithms, with the space of each."""

FIXED: Mapping[str, dict[str, Any]] = {
    "sklearn.ensemble.RandomForestClassifier": {"random_state": 0, "n_jobs": 1},
    "lightgbm.LGBMClassifier": {"random_state": 0, "n_jobs": 1, "verbosity": -1},
}
"""What is no hyperparameter: seeds, threads, chatter."""

Choice = tuple[str, dict[str, Any]]
"""An algorithm and a config of it."""


@dataclass(frozen=True, eq=False)
class Cells:
    """A table to learn from: `(n, p)` features, `(n,)` classes."""

    name: str
    features: FloatArray
    target: NDArray[Any]


def names(asked: bool) -> list[str]:
    """Return names of classification tables, the smallest first.

    Args:
        asked: those that are asked about, or else those that are collected from.
    """
    with realdata("pmlb/index.csv").open(encoding="utf-8", newline="") as file:
        index = [r for r in csv.DictReader(file) if r["task"] == "classification" and r["file"]]
    index.sort(key=lambda r: (int(r["n_rows"]) * int(r["n_features"]), r["dataset"]))
    return [r["dataset"] for i, r in enumerate(index) if (i % 5 in ASKED) == asked]


def drawn(seed: Sequence[int]) -> Iterator[Choice]:
    """Draw an algorithm, then a config of its space, again and again."""
    rng = np.random.default_rng(seed)
    algorithms = sorted(SPACES)
    while True:
        name = algorithms[int(rng.integers(len(algorithms)))]
        yield name, SPACES[name].sample(1, int(rng.integers(2**31)))[0]


def cells(name: str) -> Cells | None:
    """Return a table; None where a class has too few rows to be split."""
    read = pq.read_table(realdata(f"pmlb/parquet/{name}.parquet"))
    columns = [c for c in read.schema.names if c != "target"]
    features = np.stack([read[c].to_numpy().astype(np.float64) for c in columns], axis=1)
    target = read["target"].to_numpy()
    _, counts = np.unique(target, return_counts=True)
    if len(counts) < 2 or counts.min() < LEAST_PER_CLASS or not np.isfinite(features).all():
        return None
    return Cells(name, features, target)


def estimator(choice: Choice) -> Any:
    """Return an unfitted estimator of an algorithm and a config."""
    return to_estimator(choice[0], {**choice[1], **FIXED.get(choice[0], {})})


def cross_validated(choice: Choice, features: FloatArray, target: NDArray[Any]) -> float:
    """Return the mean balanced accuracy over three stratified folds, on one thread."""
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - slow to import
    from sklearn.model_selection import StratifiedKFold, cross_val_score  # noqa: PLC0415

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A config that does not converge is scored as it is; that is what it is worth.
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(
            estimator(choice), features, target, cv=folds, scoring=METRIC, error_score="raise"
        )
    return float(np.mean(scores))
