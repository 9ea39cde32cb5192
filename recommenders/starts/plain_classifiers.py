"""Classifiers of scikit-learn on raw features: what every start has to beat.

They see what an untrained network would see: images as 784 pixels or as many as `prepare` makes,
tables on one scale. Their settings are fixed: a choice by a few held-out rows is noise.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metastore.errors import UnknownNameError
from recommenders.starts.fitted import Fitted, log_of
from recommenders.starts.inputs import Preparation, prepare
from recommenders.starts.support_set import SupportSet
from recommenders.threads import one_thread, one_thread_of_boosting

FOREST, VECTORS, BOOSTING = "random forest", "support vectors", "gradient boosting"
CENTROID = "nearest centroid"
PLAIN = ("logistic regression", CENTROID, VECTORS, FOREST, BOOSTING)


@dataclass(frozen=True, eq=False)
class PlainModel:
    """A fitted scikit-learn classifier.

    Args:
        estimator: with `predict_proba`, a nearest centroid, or support vectors.
        n_classes: classes of the task; those that the estimator never saw get probability 0.
    """

    estimator: Any
    n_classes: int

    def log_odds(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log probabilities `(n, n_classes)`."""
        flat = x.reshape(len(x), -1)
        if hasattr(self.estimator, "centroids_"):
            return self._by_distance(flat)
        if not hasattr(self.estimator, "predict_proba"):
            return self._by_margin(flat)
        found = np.zeros((len(x), self.n_classes))
        with one_thread(), one_thread_of_boosting(len(x)):
            found[:, self.estimator.classes_] = self.estimator.predict_proba(flat)
        return log_of(found)

    def _by_distance(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return minus squared distances to centroids over their spread; absent classes get -inf.

        scikit-learn's own probabilities divide by a deviation within classes, which is 0 where a
        column does not vary or a class has one example.
        """
        centres = self.estimator.centroids_.astype(np.float64)
        apart = ((x[:, None] - centres) ** 2).sum(-1)
        found = np.full((len(x), self.n_classes), -np.inf)
        spread = float(((centres - centres.mean(0)) ** 2).sum(-1).mean())
        found[:, self.estimator.classes_] = -apart / max(spread, 1e-12)
        return found

    def _by_margin(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return margins of one class against the others; absent classes get -inf."""
        with one_thread():
            margins = np.asarray(self.estimator.decision_function(x), dtype=np.float64)
        if margins.ndim == 1:
            margins = np.stack([-margins, margins], axis=1)
        found = np.full((len(x), self.n_classes), -np.inf)
        found[:, self.estimator.classes_] = margins
        return found


def fit_plain(
    name: str, support: SupportSet, seed: int = 0, *, preparation: Preparation | None = None
) -> Fitted:
    """Return a plain classifier of a support set.

    Args:
        name: one of `PLAIN`.
        support: the labelled rows.
        seed: of the forest and of boosting.
        preparation: how rows become features; by default what an untrained network gets.

    Raises:
        UnknownNameError: if there is no such classifier.
    """
    if name not in _MADE:
        raise UnknownNameError(f"no plain classifier {name!r}; there are: {', '.join(PLAIN)}")
    began = time.perf_counter()
    how = prepare(None, support) if preparation is None else preparation
    x = how.array(support).reshape(len(support), -1)
    estimator = _MADE[name](seed, support)
    with one_thread(), one_thread_of_boosting(len(x)), warnings.catch_warnings():
        # A fit that stops at its limit of iterations is good enough to compare with.
        warnings.filterwarnings("ignore", module="sklearn")
        if name == CENTROID and not np.ptp(x, axis=0).any():
            _same_centres(estimator, x, support.labels)
        else:
            estimator.fit(x, support.labels)
    model = PlainModel(estimator, len(support.classes))
    return Fitted(
        name,
        model,
        how,
        support.classes,
        rule="as scikit-learn has it",
        notes=how.notes,
        seconds=time.perf_counter() - began,
    )


def _logistic(seed: int, support: SupportSet) -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import

    return LogisticRegression(max_iter=500)


def _centroid(seed: int, support: SupportSet) -> Any:
    from sklearn.neighbors import NearestCentroid  # noqa: PLC0415 - slow to import

    return NearestCentroid(priors="uniform")


def _same_centres(estimator: Any, x: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Give a nearest centroid one centre for all classes: scikit-learn refuses rows all alike."""
    estimator.classes_ = np.unique(labels)
    estimator.centroids_ = np.repeat(x[:1].astype(np.float64), len(estimator.classes_), axis=0)


def _vectors(seed: int, support: SupportSet) -> Any:
    from sklearn.svm import SVC  # noqa: PLC0415 - slow to import

    return SVC(C=10.0)


def _forest(seed: int, support: SupportSet) -> Any:
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - slow to import

    return RandomForestClassifier(200, random_state=seed)


def _boosting(seed: int, support: SupportSet) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - slow to import

    # By default a leaf holds 20 rows, which a support set of 40 cannot split.
    leaf = max(1, min(20, int(support.counts[support.counts > 0].min()) // 2))
    return HistGradientBoostingClassifier(
        max_iter=50, min_samples_leaf=leaf, early_stopping=False, random_state=seed
    )


_MADE: dict[str, Callable[[int, SupportSet], Any]] = {
    "logistic regression": _logistic,
    CENTROID: _centroid,
    VECTORS: _vectors,
    FOREST: _forest,
    BOOSTING: _boosting,
}
