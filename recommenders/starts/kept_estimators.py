"""Fitted scikit-learn objects kept in files; nothing is unpickled.

skops builds only types that it is told to trust. By itself it trusts every public type of
scikit-learn and NumPy, whose compiled parts follow the numbers in a file without looking: here
only those types are built that our own classifiers and preprocessors hold, and what compiled code
trusts in them is checked before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import numpy as np

from metastore.errors import InvalidInputError, MissingDependencyError
from recommenders.starts.estimator_checks import check_object, objects

CLASSIFIERS = (
    "LogisticRegression",
    "NearestCentroid",
    "SVC",
    "RandomForestClassifier",
    "HistGradientBoostingClassifier",
)
NUMBERS, LEVELS = "Pipeline", "OneHotEncoder"

TRUSTED = (
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types beyond those that skops trusts by itself: what imputers keep, and trees."""

_LOSSES = tuple(f"sklearn._loss._loss.CyHalf{kind}Loss" for kind in ("Binomial", "Multinomial"))
_BOOSTING = "sklearn.ensemble._hist_gradient_boosting"
_SCALARS = ("bool", "bool_", "float32", "float64", "int32", "int64", "uint32", "uint64")

TYPES = {
    "JsonNode": ("builtins.str",),
    "DictNode": ("builtins.dict",),
    "ListNode": ("builtins.list",),
    "TupleNode": ("builtins.tuple",),
    "TypeNode": ("builtins.str", "builtins.int", "numpy.float64"),
    "DTypeNode": ("numpy.dtype",),
    "NdArrayNode": ("numpy.ndarray", *(f"numpy.{name}" for name in _SCALARS)),
    "RandomGeneratorNode": ("numpy.random._generator.Generator",),
    "TreeNode": ("sklearn.tree._tree.Tree",),
    "LossNode": _LOSSES,
    "ObjectNode": (
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.neighbors._nearest_centroid.NearestCentroid",
        "sklearn.svm._classes.SVC",
        "sklearn.ensemble._forest.RandomForestClassifier",
        "sklearn.tree._classes.DecisionTreeClassifier",
        f"{_BOOSTING}.gradient_boosting.HistGradientBoostingClassifier",
        f"{_BOOSTING}.binning._BinMapper",
        f"{_BOOSTING}.predictor.TreePredictor",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn.preprocessing._label.LabelEncoder",
        "sklearn.pipeline.Pipeline",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.impute._base.MissingIndicator",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._encoders.OneHotEncoder",
        *_LOSSES,
    ),
}
"""What our estimators are made of, by how skops builds it; older ones build losses as objects."""


def written(estimator: Any) -> bytes:
    """Return a fitted scikit-learn object as bytes.

    Raises:
        MissingDependencyError: if skops is not installed.
    """
    data: bytes = _skops().dumps(estimator)
    return data


def read(data: bytes, what: str, kinds: Collection[str] = CLASSIFIERS) -> Any:
    """Return the fitted object in bytes that `written` gave.

    Args:
        data: from a file that may come from anywhere.
        what: what it is, for the message of an error.
        kinds: names of the classes that it may be of.

    Raises:
        InvalidInputError: if it is damaged, or is or holds what no model of ours does.
        MissingDependencyError: if skops is not installed.
    """
    skops = _skops()
    try:
        _check_types(data)
        estimator = skops.loads(data, trusted=list(TRUSTED))
        _check(estimator, kinds)
    except Exception as error:  # damaged files raise errors of many libraries
        raise InvalidInputError(
            f"{what} cannot be read: {str(error)[:300]}; fit and save the model again"
        ) from error
    return estimator


def _check(estimator: Any, kinds: Collection[str]) -> None:
    """Refuse an estimator of another class, or one that leads compiled code astray."""
    if type(estimator).__name__ not in kinds:
        raise ValueError(f"it is a {type(estimator).__name__}, not a {' or '.join(kinds)}")
    for one in objects(estimator):
        check_object(one)
    for nodes, n_features in _trees(estimator):
        _check_nodes(nodes, n_features)


def _check_types(data: bytes) -> None:
    """Refuse a file that holds a type that ours do not hold, before any of them is built."""
    with ZipFile(BytesIO(data)) as file:
        waiting = [json.loads(file.read("schema.json"))]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict) and ("__class__" in one or "__loader__" in one):
            name = f"{one['__module__']}.{one['__class__']}"
            if name not in TYPES.get(one["__loader__"], ()):
                raise ValueError(
                    f"it holds the untrusted type {name}, and models hold plain classifiers and "
                    "preprocessors alone"
                )
        if isinstance(one, dict | list):
            waiting.extend(one.values() if isinstance(one, dict) else one)


def _trees(estimator: Any) -> Iterator[tuple[Any, int]]:
    """Yield the nodes of every tree, wherever it lies, and how many features they may ask for."""
    for one in objects(estimator):
        for tree in _plain_trees(one):
            state = tree.__getstate__()
            nodes = state["nodes"]
            leaf = nodes["left_child"] == -1
            yield (
                (leaf, nodes["left_child"], nodes["right_child"], nodes["feature"]),
                tree.n_features,
            )
            if len(state["values"]) < len(nodes):
                raise ValueError("a tree has fewer values than nodes")
        for tree in _boosted_trees(one):
            nodes = tree.nodes
            if nodes["is_categorical"].any():
                raise ValueError("a tree asks for categories, and ours ask for numbers alone")
            leaf = nodes["is_leaf"] == 1
            yield (leaf, nodes["left"], nodes["right"], nodes["feature_idx"]), one.n_features_in_


def _plain_trees(one: Any) -> list[Any]:
    return [one.tree_] if hasattr(one, "tree_") else []


def _boosted_trees(one: Any) -> list[Any]:
    return [tree for trees in getattr(one, "_predictors", ()) for tree in trees]


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


def _skops() -> Any:
    try:
        from skops import io  # noqa: PLC0415 - slow to import, only to keep or read a model
    except ImportError as error:
        raise MissingDependencyError(
            "keeping a model with scikit-learn parts needs skops: pip install 'headstart[learners]'"
        ) from error
    return io
