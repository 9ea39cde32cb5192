"""What compiled code trusts in a fitted estimator is looked at before it is asked anything.

scikit-learn checks the rows that it is given, and takes its own attributes as fitting left them:
node numbers, shapes of arrays and indices go to compiled code that reads and writes memory by
them. In a file that may come from anywhere they can be anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np


def objects(estimator: Any) -> Iterator[Any]:
    """Yield every object with attributes that an estimator holds, itself first."""
    waiting, seen = [estimator], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
        elif isinstance(one, np.ndarray) and one.dtype == object:
            waiting.extend(one.ravel())
        elif hasattr(one, "__dict__") and not isinstance(one, type):
            yield one
            waiting.extend(vars(one).values())


def check_object(one: Any) -> None:
    """Refuse an object whose attributes compiled code cannot be trusted with.

    Args:
        one: of `objects`.

    Raises:
        ValueError: if its parts do not fit each other.
    """
    for name in vars(one):
        # Its methods look at the rows; an attribute of the same name would take their place.
        overwritten = callable(getattr(type(one), name, None))
        if overwritten:
            raise ValueError(f"the method {name!r} of a {type(one).__name__} is overwritten")
    if (check := _CHECKS.get(type(one).__name__)) is not None:
        check(one)


def _check_forest(forest: Any) -> None:
    for one in forest.estimators_:
        if type(one).__name__ != "DecisionTreeClassifier":
            raise ValueError(f"a forest holds a {type(one).__name__} in place of a tree")
        if _width(one) != _width(forest):
            raise ValueError("a tree of a forest asks for other features than the forest")
    if forest.n_jobs is not None:
        raise ValueError("a forest asks for processors of its own")


def _check_tree(classifier: Any) -> None:
    tree = vars(classifier).get("tree_")
    if tree is None:  # a forest keeps one that was never fitted, whose copies its trees are
        return
    if type(tree).__name__ != "Tree" or tree.n_features != _width(classifier):
        raise ValueError("a tree asks for other features than its classifier")
    # The state is read by its number of nodes, for which there has to be room.
    if not 0 < tree.node_count <= tree.capacity:
        raise ValueError("a tree has more nodes than room for them")


def _check_boosting(boosting: Any) -> None:
    mapper = boosting._bin_mapper
    plain = (
        boosting._preprocessor is None
        and not getattr(boosting, "_in_fit", False)
        and type(mapper).__name__ == "_BinMapper"
        and np.shape(mapper.is_categorical_) == (_width(boosting),)
        and not np.any(mapper.is_categorical_)
    )
    if not plain:
        raise ValueError("boosted trees ask for categories, and ours ask for numbers alone")
    for one in (tree for trees in boosting._predictors for tree in trees):
        if type(one).__name__ != "TreePredictor":
            raise ValueError(f"boosting holds a {type(one).__name__} in place of a tree")


def _check_vectors(estimator: Any) -> None:
    """Refuse support vectors whose arrays do not fit each other."""
    n, d = estimator.support_vectors_.shape
    n_classes = len(estimator.classes_)
    each = estimator.n_support_
    pairs = n_classes * (n_classes - 1) // 2
    # Of two classes scikit-learn shows coefficients with the other sign than it keeps.
    fits = (
        estimator.kernel == "rbf"
        and estimator._impl == "c_svc"
        and estimator._sparse is False
        and n_classes > 1
        and n > 0
        and _width(estimator) == d
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


def _check_encoder(encoder: Any) -> None:
    """Refuse levels whose columns lie outside of what the encoder makes room for."""
    categories, outs = encoder.categories_, encoder._n_features_outs
    rare, mapped = [None] * len(categories), [None] * len(categories)
    if encoder._infrequent_enabled:
        rare, mapped = encoder._infrequent_indices, encoder._default_to_infrequent_mappings
    fits = (
        encoder.drop is None
        and encoder._drop_idx_after_grouping is None
        and encoder.dtype is np.float64
        and _width(encoder) == len(categories) == len(outs) == len(rare) == len(mapped)
        and all(map(_fits_level, categories, outs, rare, mapped))
    )
    if not fits:
        raise ValueError("the levels of the categories do not fit their columns")


def _fits_level(levels: Any, n_out: Any, rare: Any, mapped: Any) -> bool:
    """Whether the column of each level of one category is among as many as there are."""
    # Levels of another type are searched, in an order that a file may have broken.
    if levels.ndim != 1 or levels.dtype != object or not len(levels):
        return False
    if rare is None or mapped is None:
        return rare is mapped and n_out == len(levels)
    return bool(
        _numbers_within(rare, len(levels))
        and len(mapped) == len(levels)
        and _numbers_within(mapped, len(levels))
        and n_out == mapped.max() + 1
    )


def _numbers_within(found: Any, n: int) -> bool:
    """Whether an array holds one whole number or more, all of them of 0 to n - 1."""
    whole = found.ndim == 1 and found.dtype.kind in "iu" and len(found) > 0
    return bool(whole and (found >= 0).all() and (found < n).all())


def _check_pipeline(pipeline: Any) -> None:
    names = [type(step).__name__ for _, step in pipeline.steps]
    if names != ["SimpleImputer", "StandardScaler"]:
        raise ValueError(f"a pipeline fills gaps and scales, and this one is of {names}")


def _width(estimator: Any) -> int:
    """Return how many features an estimator asks for: scikit-learn checks rows by this alone."""
    width = vars(estimator).get("n_features_in_")
    if not isinstance(width, Integral) or width < 1:
        raise ValueError(f"a {type(estimator).__name__} does not say how many features it takes")
    return int(width)


_CHECKS = {
    "RandomForestClassifier": _check_forest,
    "DecisionTreeClassifier": _check_tree,
    "HistGradientBoostingClassifier": _check_boosting,
    "SVC": _check_vectors,
    "OneHotEncoder": _check_encoder,
    "Pipeline": _check_pipeline,
}
