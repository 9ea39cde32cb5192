"""A study of SVCs on wine, and the sampler that it asks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import optuna
from sklearn import svm
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score

from metastore import MetaStore
from recommenders.optuna_sampler import HeadstartSampler

SVC = "sklearn.svm.SVC"
GRID = [
    {"C": c, "kernel": "rbf", "gamma": g} for c, g in product((0.1, 1.0, 30.0), (0.01, 0.3, 3.0))
] + [{"C": c, "kernel": "linear"} for c in (0.1, 1.0)]
Objective = Callable[[optuna.Trial], float]


def wine() -> tuple[Any, Any]:
    X, y = load_wine(return_X_y=True)
    return X / X.max(axis=0), y


def score(X: Any, y: Any, config: dict[str, Any]) -> float:
    return float(cross_val_score(svm.SVC(**config), X, y, cv=2).mean())


def objective(trial: optuna.Trial) -> float:
    """Trains a real SVC; gamma is there for one kernel alone."""
    kernel = trial.suggest_categorical("kernel", ["rbf", "linear"])
    config: dict[str, Any] = {"kernel": kernel, "C": trial.suggest_float("C", 0.01, 100, log=True)}
    if kernel == "rbf":
        config["gamma"] = trial.suggest_float("gamma", 1e-3, 10, log=True)
    return score(*wine(), config)


def sampler(store: MetaStore, dataset: Any = "wine", **options: Any) -> HeadstartSampler:
    return HeadstartSampler(
        store, dataset, **{"metric": "accuracy", "algorithm": SVC, "seed": 0, **options}
    )


def study(store: MetaStore, **options: Any) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=sampler(store, **options))


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [dict(trial.params) for trial in study.trials]
