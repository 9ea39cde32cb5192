"""Landmarking meta-features: how well simple learners do (Pfahringer et al. 2000).

Five folds over at most `MAX_ROWS` rows, dealt out along the sorted target so that each fold
has its share of every class or of the target's range. The value is accuracy over all
out-of-fold predictions for classes and R^2, not below -1, for numbers. The clock is looked at
between folds. scikit-learn's estimators are seeded and run on one job.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metastore.metafeatures.feature import Measure, NotApplicable
from metastore.metafeatures.sample import FloatArray, IntArray, Sample, sample_rows

GROUP = "landmarking"
MAX_ROWS = 2000
N_FOLDS = 5
MAX_LEVELS = 10
"""Categorical columns up to this many levels are one-hot encoded, others by frequency."""

MAX_WIDTH = 512
"""Columns of the encoded matrix; one-hot encoding stops where it would exceed this."""

_SOURCE = "Pfahringer et al. 2000"


def encoded(sample: Sample) -> FloatArray:
    """Return every column as numbers, `(n, width)`: standardised, one-hot or by frequency."""
    try:
        parts = [sample.numeric]
    except NotApplicable:
        parts = []
    width = sum(part.shape[1] for part in parts)
    for codes in sample.categorical:
        levels = np.unique(codes)
        if len(levels) < 2:
            continue
        if len(levels) <= MAX_LEVELS and width + len(levels) <= MAX_WIDTH:
            parts.append((codes[:, None] == levels[None, :]).astype(np.float64))
        else:
            _, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
            shares = (counts / len(codes))[inverse]
            parts.append(((shares - shares.mean()) / max(shares.std(), 1e-12))[:, None])
        width += parts[-1].shape[1]
    if not parts:
        raise NotApplicable("no column that varies")
    return np.column_stack(parts)


def folds(target: FloatArray | IntArray, seed: int) -> IntArray:
    """Return `(n,)` fold numbers from 0, dealt out along the sorted target, ties at random."""
    rng = np.random.default_rng([seed, 2])
    order = np.lexsort((rng.random(len(target)), target))
    out = np.empty(len(target), dtype=np.int64)
    out[order] = np.arange(len(target)) % N_FOLDS
    return out


def _score(sample: Sample, make: Callable[[], Any], columns: Callable[..., Any]) -> float:
    """Return accuracy or R^2 over out-of-fold predictions of a fresh estimator a fold.

    Args:
        sample: rows to learn from.
        make: makes the estimator.
        columns: picks, from the training part `(X, y)`, which columns the estimator may see.
    """
    numeric = sample.task == "regression"
    X, y = _cached(sample)
    fold = folds(y, sample.seed)
    predicted = np.empty_like(y)
    for k in range(N_FOLDS):
        sample.deadline.check()
        train, test = fold != k, fold == k
        if not numeric and len(np.unique(y[train])) < 2:
            raise NotApplicable("a fold would train on one class only")
        use = columns(X[train], y[train])
        predicted[test] = make().fit(X[train][:, use], y[train]).predict(X[test][:, use])
    if not numeric:
        return float((predicted == y).mean())
    return max(-1.0, 1.0 - float(((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()))


def _cached(sample: Sample) -> tuple[FloatArray, Any]:
    """Encode the rows once for all landmarkers of a sample."""
    found: tuple[FloatArray, Any] | None = sample.__dict__.get("landmarking")
    if found is None:
        y = sample.numbers if sample.task == "regression" else sample.classes
        if len(y) < 2 * N_FOLDS:
            raise NotApplicable(f"fewer than {2 * N_FOLDS} rows")
        strata = None if sample.task == "regression" else sample.classes
        rows = sample_rows(len(y), strata, MAX_ROWS, sample.seed)
        found = encoded(sample)[rows], y[rows]
        sample.__dict__["landmarking"] = found
    return found


def _every(X: FloatArray, y: Any) -> Any:
    return slice(None)


def _majority(sample: Sample) -> float:
    from sklearn.dummy import DummyClassifier  # noqa: PLC0415 - slow to import

    if sample.task == "regression":
        raise NotApplicable("the mean of a numeric target has R^2 0")
    return _score(sample, DummyClassifier, _every)


def _one_nn(sample: Sample) -> float:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor  # noqa: PLC0415

    kind = KNeighborsRegressor if sample.task == "regression" else KNeighborsClassifier
    return _score(sample, lambda: kind(n_neighbors=1), _every)


def _tree(sample: Sample, depth: int | None, columns: Callable[..., Any] = _every) -> float:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor  # noqa: PLC0415

    kind = DecisionTreeRegressor if sample.task == "regression" else DecisionTreeClassifier
    return _score(
        sample,
        lambda: kind(max_depth=depth, min_samples_leaf=2, random_state=sample.seed),
        columns,
    )


def _random_node(sample: Sample) -> float:
    rng = np.random.default_rng([sample.seed, 3])
    return _tree(sample, 1, lambda X, y: rng.integers(X.shape[1], size=1))


def _naive_bayes(sample: Sample) -> float:
    from sklearn.naive_bayes import GaussianNB  # noqa: PLC0415 - slow to import

    if sample.task == "regression":
        raise NotApplicable("naive Bayes predicts classes")
    return _score(sample, GaussianNB, _every)


def _linear(sample: Sample) -> float:
    from sklearn.linear_model import Ridge, RidgeClassifier  # noqa: PLC0415 - slow to import

    kind = Ridge if sample.task == "regression" else RidgeClassifier
    return _score(sample, lambda: kind(alpha=1.0), _every)


MEASURES = (
    Measure("majority", "Accuracy of the commonest class.", "headstart", _majority),
    Measure("one_nn", "Score of the nearest neighbour.", _SOURCE, _one_nn),
    Measure("best_node", "Score of a tree of one split.", _SOURCE, lambda s: _tree(s, 1)),
    Measure(
        "random_node",
        "Score of a tree of one split on a random column.",
        _SOURCE,
        _random_node,
    ),
    Measure("small_tree", "Score of a tree of depth 3.", "headstart", lambda s: _tree(s, 3)),
    Measure("full_tree", "Score of a tree without a limit.", _SOURCE, lambda s: _tree(s, None)),
    Measure("naive_bayes", "Accuracy of Gaussian naive Bayes.", _SOURCE, _naive_bayes),
    Measure("linear", "Score of ridge regression, on class indicators.", _SOURCE, _linear),
)
