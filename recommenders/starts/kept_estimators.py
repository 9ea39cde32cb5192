"""Fitted scikit-learn objects kept in files; nothing is unpickled.

skops builds only types that it is told to trust. By itself it trusts public types of scikit-learn
and NumPy; the few more that our estimators hold are listed here, and any other is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from metastore.errors import InvalidInputError, MissingDependencyError

TRUSTED = (
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types beyond those that skops trusts by itself: what imputers keep, and trees, whose compiled
code follows the node numbers in a file without looking; they are checked here before."""


def written(estimator: Any) -> bytes:
    """Return a fitted scikit-learn object as bytes.

    Raises:
        MissingDependencyError: if skops is not installed.
    """
    data: bytes = _skops().dumps(estimator)
    return data


def read(data: bytes, what: str) -> Any:
    """Return the fitted object in bytes that `written` gave.

    Args:
        data: from a file that may come from anywhere.
        what: what it is, for the message of an error.

    Raises:
        InvalidInputError: if it is damaged, or holds a type that is not trusted.
        MissingDependencyError: if skops is not installed.
    """
    skops = _skops()
    try:
        estimator = skops.loads(data, trusted=list(TRUSTED))
        for nodes, n_features in _trees(estimator):
            _check_nodes(nodes, n_features)
        if hasattr(estimator, "dual_coef_"):
            _check_vectors(estimator)
    except Exception as error:  # damaged files raise errors of many libraries
        raise InvalidInputError(
            f"{what} cannot be read: {str(error)[:300]}; fit and save the model again"
        ) from error
    return estimator


def _trees(estimator: Any) -> Iterator[tuple[Any, int]]:
    """Yield the nodes of every tree in a classifier, and how many features they may ask for."""
    for one in getattr(estimator, "estimators_", ()):
        state = one.tree_.__getstate__()
        nodes = state["nodes"]
        leaf = nodes["left_child"] == -1
        yield (
            (leaf, nodes["left_child"], nodes["right_child"], nodes["feature"]),
            one.tree_.n_features,
        )
        if len(state["values"]) < len(nodes):
            raise ValueError("a tree has fewer values than nodes")
    for one in (tree for trees in getattr(estimator, "_predictors", ()) for tree in trees):
        nodes = one.nodes
        if nodes["is_categorical"].any():
            raise ValueError("a tree asks for categories, and ours ask for numbers alone")
        leaf = nodes["is_leaf"] == 1
        yield (leaf, nodes["left"], nodes["right"], nodes["feature_idx"]), estimator.n_features_in_


def _check_nodes(nodes: Any, n_features: int) -> None:
    """Refuse trees whose nodes lead out of them, in a circle, or to features there are not."""
    leaf, left, right, feature = nodes
    inner = np.flatnonzero(~leaf)
    for child in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        if (child <= inner).any() or (child >= len(leaf)).any():
            raise ValueError("a tree's nodes do not lead downwards")
    asked = feature[inner].astype(np.int64)
    if len(leaf) == 0 or (asked < 0).any() or (asked >= n_features).any():
        raise ValueError("a tree asks for a feature that there is not")


def _check_vectors(estimator: Any) -> None:
    """Refuse support vectors whose arrays do not fit each other: compiled code trusts them."""
    n, d = estimator.support_vectors_.shape
    n_classes = len(estimator.classes_)
    each = estimator.n_support_
    pairs = n_classes * (n_classes - 1) // 2
    # Of two classes scikit-learn shows coefficients with the other sign than it keeps.
    fits = (
        estimator.kernel == "rbf"
        and n_classes > 1
        and estimator.shape_fit_[1:] == (d,)
        and len(each) == n_classes
        and (np.asarray(each) >= 0).all()
        and int(each.sum()) == n == len(estimator.support_)
        and estimator.dual_coef_.shape == estimator._dual_coef_.shape == (n_classes - 1, n)
        and np.size(estimator._intercept_) == pairs
        and np.size(estimator._probA) == np.size(estimator._probB) == 0
    )
    if not fits:
        raise ValueError("the arrays of the support vectors do not fit each other")


def _skops() -> Any:
    try:
        from skops import io  # noqa: PLC0415 - slow to import, only to keep or read a model
    except ImportError as error:
        raise MissingDependencyError(
            "keeping a model with scikit-learn parts needs skops: pip install 'headstart[learners]'"
        ) from error
    return io
