"""Fitted estimators whose parts do not fit each other are refused before code follows them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch")

from metastore.errors import InvalidInputError
from recommenders.starts import kept_estimators
from recommenders.starts.kept_estimators import read, written
from recommenders.starts.plain_classifiers import fit_plain
from recommenders.starts.support_sets import SupportSet

TREES = kept_estimators._trees


@pytest.mark.parametrize("name", ["random forest", "gradient boosting"])
def test_a_tree_that_leads_astray_is_refused(
    name: str, support: SupportSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code would follow the numbers out of memory; the file's hash does not help."""
    estimator = fit_plain(name, support).model.estimator
    data = written(estimator)
    read(data, "the forest")
    monkeypatch.setattr(kept_estimators, "_trees", lambda _: iter([turned(estimator, name)]))
    with pytest.raises(InvalidInputError, match="do not lead downwards"):
        read(data, "the forest")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_n_support", lambda old: old + 1),
        ("support_vectors_", lambda old: old[:, :-1].copy()),
        ("_dual_coef_", lambda old: old[:, :-1].copy()),
        ("_intercept_", lambda old: old[:1]),
        ("_probA", lambda old: np.zeros(3)),
    ],
)
def test_support_vectors_that_do_not_fit_each_other_are_refused(
    name: str, value: Callable[[np.ndarray], np.ndarray], support: SupportSet
) -> None:
    """Compiled code would read past the end of the shorter array."""
    estimator = fit_plain("support vectors", support).model.estimator
    read(written(estimator), "the vectors")
    setattr(estimator, name, value(getattr(estimator, name)))
    with pytest.raises(InvalidInputError, match="do not fit each other"):
        read(written(estimator), "the vectors")


def turned(estimator, name: str) -> tuple:
    nodes, n_features = next(iter(TREES(estimator)))
    leaf, left, right, feature = (np.array(part) for part in nodes)
    left[0] = len(leaf) + 5
    return (leaf, left, right, feature), n_features
