"""Algorithms with the search spaces a person would give them, and how one run is trained.

Names are dotted flows, so that what is recommended can be built again by `to_estimator`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from metastore.search_space import SearchSpace
from metastore.tabular import Table
from recommenders.estimators import to_estimator

FOLDS = 3
SPLIT = f"stratified {FOLDS}-fold, shuffled, seed 0"


def _scaled(path: str) -> str:
    """Return the name of a pipeline that scales columns before `path`."""
    scale = "sklearn.preprocessing.StandardScaler"
    return f"sklearn.pipeline.Pipeline(scale={scale},clf={path})"


SVC = _scaled("sklearn.svm.SVC")

SPACES: dict[str, SearchSpace] = {
    _scaled("sklearn.linear_model.LogisticRegression"): SearchSpace(
        {
            "clf__C": FloatDistribution(1e-4, 1e3, log=True),
            "clf__class_weight": CategoricalDistribution([None, "balanced"]),
            "clf__max_iter": IntDistribution(3000, 3000),
        }
    ),
    SVC: SearchSpace(
        {
            "clf__C": FloatDistribution(1e-2, 1e3, log=True),
            "clf__gamma": FloatDistribution(1e-5, 1e1, log=True),
        }
    ),
    _scaled("sklearn.neighbors.KNeighborsClassifier"): SearchSpace(
        {
            "clf__n_neighbors": IntDistribution(1, 60, log=True),
            "clf__weights": CategoricalDistribution(["uniform", "distance"]),
            "clf__p": IntDistribution(1, 2),
        }
    ),
    "sklearn.ensemble.RandomForestClassifier": SearchSpace(
        {
            "n_estimators": IntDistribution(5, 60, log=True),
            "max_features": FloatDistribution(0.05, 1.0),
            "min_samples_leaf": IntDistribution(1, 50, log=True),
        }
    ),
    "sklearn.ensemble.HistGradientBoostingClassifier": SearchSpace(
        {
            "learning_rate": FloatDistribution(1e-3, 1.0, log=True),
            "max_iter": IntDistribution(5, 40, log=True),
            "max_leaf_nodes": IntDistribution(2, 31, log=True),
        }
    ),
}
"""Search spaces by algorithm."""


def short(algorithm: str) -> str:
    """Return the last class of a flow's name, for a person.

    >>> short(SVC)
    'SVC'
    """
    return algorithm.rstrip(")").rpartition(".")[2]


def draw(n: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    """Draw `n` configurations at random, every algorithm alike, in random order."""
    rng = np.random.default_rng(seed)
    drawn = []
    turns = rng.permutation([i % len(SPACES) for i in range(-(-n // len(SPACES)) * len(SPACES))])
    for turn in turns[:n]:
        algorithm = list(SPACES)[turn]
        config = SPACES[algorithm].sample(1, seed=int(rng.integers(2**31)))[0]
        drawn.append((algorithm, config))
    return drawn


def accuracy(table: Table, algorithm: str, config: dict[str, Any], seed: int = 0) -> list[float]:
    """Return the accuracy of each cross-validation fold; the folds are the same for all."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score  # noqa: PLC0415

    model = to_estimator(algorithm, config)
    seeds = [name for name in model.get_params() if name.split("__")[-1] == "random_state"]
    model.set_params(**dict.fromkeys(seeds, seed))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    scores = cross_val_score(
        model, table.features, table.target, cv=folds, scoring="accuracy", error_score="raise"
    )
    return [float(score) for score in scores]
