"""Files of fitted estimators that were made to lead compiled code out of memory are refused."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("skops")

from sklearn.ensemble import VotingClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

from metastore.errors import InvalidInputError
from recommenders.starts.finetuned import FineTuned, load, skeleton
from recommenders.starts.kept_estimators import LEVELS, NUMBERS, read, written
from recommenders.starts.plain_classifiers import PLAIN, PlainModel, fit_plain
from recommenders.starts.support_sets import SupportSet, read_support
from recommenders.starts.table_columns import TableColumns, fit_columns

FAR = 10**9


def rows(n: int = 40) -> tuple[np.ndarray, list[str]]:
    return np.random.default_rng(0).standard_normal((n, 4)), [str(i % 3) for i in range(n)]


@pytest.fixture
def support() -> SupportSet:
    return read_support(rows(), name="rows")


@pytest.fixture
def columns() -> TableColumns:
    """Columns with gaps, with few levels, and with more levels than are kept."""
    frame = pd.DataFrame({"age": [1.0, 2.0, np.nan] * 10, "job": list("xyz") * 10})
    return fit_columns(frame.assign(town=[f"t{i % 25}" for i in range(30)]))


def misled(forest: Any, n_features: int | None = None) -> Any:
    """Return a forest whose trees ask for a feature far away, and may say that they have it."""
    from sklearn.tree._tree import Tree  # noqa: PLC0415 - private, for this alone

    for one in forest.estimators_:
        state = one.tree_.__getstate__()
        nodes = state["nodes"].copy()
        nodes["feature"][nodes["left_child"] != -1] = FAR
        one.tree_ = Tree(n_features or one.tree_.n_features, one.tree_.n_classes, 1)
        one.tree_.__setstate__({**state, "nodes": nodes})
    return forest


def voting(forest: Any) -> Any:
    wrapper = VotingClassifier([("forest", forest)], voting="soft")
    wrapper.estimators_, wrapper.classes_ = [forest], forest.classes_
    return wrapper


def neighbours(_: Any) -> Any:
    x, y = rows()
    return KNeighborsClassifier(algorithm="kd_tree").fit(x, y)


def unbounded(forest: Any) -> Any:
    for one in (forest, *forest.estimators_):
        del one.n_features_in_
    return misled(forest, 2 * FAR)


def unlooked(forest: Any) -> Any:
    forest._validate_X_predict = np.float64
    return forest


def nested(forest: Any) -> Any:
    forest.estimators_ = [misled(copy.deepcopy(forest))]
    return forest


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda one: Pipeline([("forest", misled(one))]), "it is a Pipeline, not a"),
        (
            lambda one: voting(misled(one)),
            "the untrusted type sklearn.ensemble._voting.VotingClassifier",
        ),
        (neighbours, "the untrusted type sklearn.neighbors"),
        (misled, "a feature that there is not"),
        (lambda one: misled(one, 2 * FAR), "other features than its classifier"),
        (unbounded, "does not say how many features"),
        (unlooked, "'_validate_X_predict' of a RandomForestClassifier is overwritten"),
        (nested, "holds a RandomForestClassifier in place of a tree"),
    ],
)
def test_a_forest_that_leads_astray_is_refused_wherever_it_lies(
    made: Callable[[Any], Any], says: str, support: SupportSet
) -> None:
    forest = fit_plain("random forest", support).model.estimator
    with pytest.raises(InvalidInputError, match=says):
        read(written(made(forest)), "the forest")


def test_boosted_trees_and_vectors_of_other_features_are_refused(support: SupportSet) -> None:
    boosting = fit_plain("gradient boosting", support).model.estimator
    boosting._bin_mapper.is_categorical_[:] = 1
    with pytest.raises(InvalidInputError, match="numbers alone"):
        read(written(boosting), "the trees")
    vectors = fit_plain("support vectors", support).model.estimator
    wide = np.zeros((len(vectors.support_vectors_), 400))
    vectors.support_vectors_, vectors.shape_fit_ = wide, (40, 400)
    with pytest.raises(InvalidInputError, match="do not fit each other"):
        read(written(vectors), "the vectors")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_default_to_infrequent_mappings", lambda old: [None, np.full_like(old[1], FAR)]),
        ("_default_to_infrequent_mappings", lambda old: [None, np.full_like(old[1], -FAR)]),
        ("_default_to_infrequent_mappings", lambda old: [None, None]),
        ("_infrequent_indices", lambda old: [None, np.array([FAR])]),
        ("_n_features_outs", lambda old: [FAR, sum(old) - FAR]),
        ("_drop_idx_after_grouping", lambda old: np.array([-FAR, -FAR])),
        ("categories_", lambda old: [np.array(["z", "y", "x"]), old[1]]),
        ("n_features_in_", lambda old: old + 1),
    ],
)
def test_levels_outside_of_their_columns_are_refused(
    name: str, value: Callable[[Any], Any], columns: TableColumns
) -> None:
    """They would be written beside the array of what comes out."""
    setattr(columns.levels, name, value(getattr(columns.levels, name)))
    with pytest.raises(InvalidInputError, match="do not fit their columns"):
        TableColumns.from_json(columns.to_json())


def test_preprocessors_of_other_kinds_are_refused(
    columns: TableColumns, support: SupportSet
) -> None:
    kept = columns.to_json()
    with pytest.raises(InvalidInputError, match="it is a OneHotEncoder, not a Pipeline"):
        TableColumns.from_json({**kept, "numbers": kept["levels"]})
    columns.numbers.steps = [("levels", columns.levels)]
    with pytest.raises(InvalidInputError, match="fills gaps and scales"):
        TableColumns.from_json(columns.to_json())


def test_what_was_fitted_is_read_as_it_was(columns: TableColumns, support: SupportSet) -> None:
    x, two = rows()[0].astype(np.float32), read_support((rows()[0], ["a", "b"] * 20))
    for task in (support, two):
        for name in PLAIN:
            model = fit_plain(name, task).model
            again = PlainModel(read(written(model.estimator), name), model.n_classes)
            np.testing.assert_array_equal(again.log_odds(x), model.log_odds(x))
    read(written(columns.numbers), "the numbers", (NUMBERS,))
    read(written(columns.levels), "the levels", (LEVELS,))


def test_a_folder_with_the_right_hash_ends_in_an_error_and_no_crash(
    support: SupportSet, tmp_path: Path
) -> None:
    fitted = fit_plain("random forest", support)
    place = FineTuned(fitted, skeleton(support)).save(tmp_path / "model")
    data = written(Pipeline([("forest", misled(fitted.model.estimator))]))
    (place / "classifier.skops").write_bytes(data)
    kept = json.loads((place / "model.json").read_text())
    kept["files"]["classifier.skops"] = hashlib.sha256(data).hexdigest()
    (place / "model.json").write_text(json.dumps(kept))
    pd.DataFrame(rows(3)[0]).to_csv(tmp_path / "query.csv", index=False)
    line = [sys.executable, "-m", "cli", "predict", str(place), str(tmp_path / "query.csv")]
    found = subprocess.run(line, capture_output=True, text=True, check=False)
    assert found.returncode == 2, found
    assert "it is a Pipeline" in found.stderr
    assert "Traceback" not in found.stderr
    with pytest.raises(InvalidInputError, match="fit and save the model again"):
        load(place)
