"""Tasks of few rows from whole tables, and how classical models from scratch do on them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.starts.tables import Table

SHOTS = (5, 10, 25)
MOST_CLASSES = 10
N_QUERY = 20
"""Most query rows a class."""


@dataclass(frozen=True, eq=False)
class FewRows:
    """One task: rows to learn from, rows to be tested on, the same number of each class.

    Where a class is short of rows, half of them are learned from.
    """

    table: str
    shots: int
    repetition: int
    support: tuple[NDArray[Any], NDArray[Any]]
    query: tuple[NDArray[Any], NDArray[Any]]


def tasks(name: str, table: Table, repetitions: int) -> Iterator[FewRows]:
    """Yield the tasks of a table, the same ones every time."""
    x, y = table[0].numpy(), table[1].numpy()
    for shots in SHOTS:
        for repetition in range(repetitions):
            seed = hashlib.sha256(f"{name}|{shots}|{repetition}".encode()).digest()[:8]
            rng = np.random.default_rng(int.from_bytes(seed, "big"))
            classes = rng.permutation(int(y.max()) + 1)[:MOST_CLASSES]
            drawn = [rng.permutation(np.flatnonzero(y == label)) for label in classes]
            cuts = [min(shots, len(rows) // 2) for rows in drawn]
            support = [rows[:k] for rows, k in zip(drawn, cuts, strict=True)]
            query = [rows[k : k + N_QUERY] for rows, k in zip(drawn, cuts, strict=True)]
            yield FewRows(name, shots, repetition, _cut(x, support), _cut(x, query))


def classical(name: str, task: FewRows) -> float:
    """Return the accuracy on the query of a classical model fitted to the support set."""
    from sklearn.ensemble import (  # noqa: PLC0415 - slow to import
        GradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.neighbors import NearestCentroid  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    model = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "nearest centroid": make_pipeline(StandardScaler(), NearestCentroid()),
        "random forest": RandomForestClassifier(random_state=0),
        "gradient boosting": GradientBoostingClassifier(random_state=0),
    }[name]
    with warnings.catch_warnings():
        # A column without spread is what few rows bring; the model is worth what it is worth.
        warnings.simplefilter("ignore")
        model.fit(*task.support)
    return float((model.predict(task.query[0]) == task.query[1]).mean())


CLASSICAL = ("logistic regression", "nearest centroid", "random forest", "gradient boosting")


def _cut(x: NDArray[Any], rows: list[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    labels = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
    return x[np.concatenate(rows)], labels
