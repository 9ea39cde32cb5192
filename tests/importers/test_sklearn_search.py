"""Fitted searches become runs: values, directions, failures, rungs, names, ids."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - switches halving on
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    ShuffleSplit,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from metastore.errors import InvalidInputError
from metastore.importers.sklearn_search import records
from metastore.types import DatasetRef, MetricValue, RunRecord, RunStatus, canonical_json
from recommenders.estimators import to_estimator

IRIS = DatasetRef("iris", source_id="sklearn:iris")
X, Y = load_iris(return_X_y=True)


def search(estimator: Any, grid: Any, **options: Any) -> GridSearchCV:
    return GridSearchCV(estimator, grid, cv=3, **options).fit(X, Y)


def of(record: RunRecord, metric: str, fold: int | None = None) -> MetricValue:
    (value,) = [v for v in record.values if (v.metric, v.fold) == (metric, fold)]
    return value


@pytest.fixture(scope="module")
def grid() -> GridSearchCV:
    return search(SVC(kernel="poly", random_state=7), {"C": [0.1, 1.0], "degree": [2, 3]})


def test_every_candidate_and_fold_has_its_value(grid: GridSearchCV) -> None:
    runs = records(grid, IRIS)
    assert len(runs) == 4
    for i, run in enumerate(runs):
        assert run.algorithm == "sklearn.svm.SVC"
        assert run.config == {**grid.cv_results_["params"][i], "kernel": "poly"}
        assert run.seed == 7
        assert run.split == "3-fold"
        assert run.status is RunStatus.COMPLETED
        assert run.fidelity is None
        mean = of(run, "accuracy")
        assert mean.value == grid.cv_results_["mean_test_score"][i]
        assert mean.higher_is_better is True
        folds = [of(run, "accuracy", fold).value for fold in range(3)]
        assert folds == [grid.cv_results_[f"split{f}_test_score"][i] for f in range(3)]
        fit = of(run, "fit_seconds")
        assert fit.higher_is_better is False
        assert run.seconds == pytest.approx(3 * (fit.value + of(run, "score_seconds").value))


def test_recording_twice_gives_the_same_runs_and_another_fit_gives_others(
    grid: GridSearchCV,
) -> None:
    ids = [run.run_id for run in records(grid, IRIS)]
    assert len(set(ids)) == 4
    assert ids == [run.run_id for run in records(pickle.loads(pickle.dumps(grid)), IRIS)]
    again = search(SVC(kernel="poly", random_state=7), {"C": [0.1, 1.0], "degree": [2, 3]})
    assert not set(ids) & {run.run_id for run in records(again, IRIS)}
    assert not set(ids) & {run.run_id for run in records(grid, DatasetRef("other"))}


def test_a_recorded_config_builds_the_same_estimator(grid: GridSearchCV) -> None:
    run = records(grid, IRIS)[grid.best_index_]
    assert to_estimator(run.algorithm, run.config).get_params() == {
        **grid.best_estimator_.get_params(),
        "random_state": None,
    }


def test_losses_are_recorded_as_positive_errors_that_are_better_when_small() -> None:
    found = search(
        LogisticRegression(max_iter=500),
        {"C": [1.0]},
        scoring=["neg_log_loss", "accuracy", "roc_auc_ovr"],
        refit="accuracy",
        return_train_score=True,
    )
    (run,) = records(found, IRIS)
    loss = of(run, "log_loss")
    assert loss.value == -found.cv_results_["mean_test_neg_log_loss"][0] > 0
    assert loss.higher_is_better is False
    assert of(run, "log_loss", 2).value == -found.cv_results_["split2_test_neg_log_loss"][0]
    assert of(run, "train_log_loss").higher_is_better is False
    assert of(run, "roc_auc_ovr").higher_is_better is True
    assert of(run, "train_accuracy", 1).value == found.cv_results_["split1_train_accuracy"][0]


def plus_one(estimator: Any, features: Any, target: Any) -> float:
    return float(estimator.score(features, target)) + 1.0


def both(estimator: Any, features: Any, target: Any) -> dict[str, float]:
    accuracy = float(estimator.score(features, target))
    return {"neg_error": accuracy - 1.0, "hits": accuracy}


@pytest.mark.parametrize(
    ("scoring", "name", "higher"),
    [
        ("neg_log_loss", "log_loss", False),
        ("neg_brier_score", "brier_score", False),
        ("balanced_accuracy", "balanced_accuracy", True),
        (
            make_scorer(log_loss, greater_is_better=False, response_method="predict_proba"),
            "log_loss",
            False,
        ),
        (plus_one, "plus_one", True),
    ],
)
def test_names_and_directions_of_scorers(scoring: Any, name: str, higher: bool) -> None:
    found = search(LogisticRegression(max_iter=500), {"C": [1.0]}, scoring=scoring)
    value = of(records(found, IRIS)[0], name)
    assert value.higher_is_better is higher
    assert value.value > 0


def test_multimetric_dicts_and_callables() -> None:
    tree = DecisionTreeClassifier(random_state=0)
    named = search(tree, {"max_depth": [2]}, scoring={"ll": "neg_log_loss"}, refit="ll")
    assert of(records(named, IRIS)[0], "ll").higher_is_better is False
    (run,) = records(search(tree, {"max_depth": [2]}, scoring=both, refit="hits"), IRIS)
    assert of(run, "error").value == pytest.approx(1 - of(run, "hits").value)
    assert of(run, "error").higher_is_better is False


def test_a_regressor_is_scored_by_r2() -> None:
    features, target = load_diabetes(return_X_y=True)
    found = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2).fit(features, target)
    assert of(records(found, DatasetRef("diabetes"))[0], "r2").higher_is_better is True


def test_failed_candidates_are_failed_runs() -> None:
    with pytest.warns((FitFailedWarning, UserWarning)):
        found = search(LogisticRegression(max_iter=500), {"C": [1.0, -1.0]})
    good, bad = records(found, IRIS)
    assert good.status is RunStatus.COMPLETED
    assert bad.status is RunStatus.FAILED
    assert bad.values == ()
    assert bad.error == "3 of 3 folds failed"


def test_a_numeric_error_score_is_no_score() -> None:
    with pytest.warns(FitFailedWarning):
        found = search(LogisticRegression(max_iter=500), {"C": [1.0, -1.0]}, error_score=0.0)
    good, bad = records(found, IRIS)
    assert (good.status, bad.status) == (RunStatus.COMPLETED, RunStatus.FAILED)
    assert bad.values == ()


class Picky(DecisionTreeClassifier):
    """Refuses the training rows of one fold."""

    def fit(self, X: Any, y: Any, **options: Any) -> Any:
        if X[0, 0] == FIRST_ROWS[1]:
            raise ValueError("not these rows")
        return super().fit(X, y, **options)


SPLITS = [(np.arange(k, 150, 2), np.arange(1 - k, 150, 2)) for k in (0, 1)]
FIRST_ROWS = [X[train[0], 0] for train, _ in SPLITS]


def test_one_failed_fold_fails_the_run_and_keeps_the_other_fold() -> None:
    with pytest.warns((FitFailedWarning, UserWarning)):
        found = GridSearchCV(Picky(), {"max_depth": [2]}, cv=SPLITS, refit=False).fit(X, Y)
    (run,) = records(found, IRIS)
    assert run.status is RunStatus.FAILED
    assert run.error == "1 of 2 folds failed"
    assert [(v.metric, v.fold) for v in run.values] == [("accuracy", 0)]
    assert run.split == "given splits, 2 splits"


def test_a_pipeline_is_named_with_its_steps_and_can_be_rebuilt() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", SVC(gamma=0.5))])
    found = search(pipeline, {"clf__C": [3.0], "scale__with_mean": [False]})
    (run,) = records(found, IRIS)
    assert run.algorithm == (
        "sklearn.pipeline.Pipeline(scale=sklearn.preprocessing.StandardScaler,clf=sklearn.svm.SVC)"
    )
    assert run.config == {"clf__C": 3.0, "clf__gamma": 0.5, "scale__with_mean": False}
    again = to_estimator(run.algorithm, run.config)
    assert repr(again) == repr(found.best_estimator_)


def test_estimators_in_a_grid_become_their_names_and_come_back() -> None:
    pipeline = Pipeline([("reduce", PCA(3)), ("clf", SVC())])
    grid = [
        {"clf": [SVC(C=2.0)], "clf__kernel": ["linear"]},
        {"clf": [RandomForestClassifier(n_estimators=3, n_jobs=1, random_state=5)]},
        {"reduce": ["passthrough", SelectKBest(chi2, k=2)]},
    ]
    found = search(pipeline, grid)
    runs = records(found, IRIS)
    assert runs[0].config == {
        "reduce__n_components": 3,
        "clf": "sklearn.svm.SVC",
        "clf__C": 2.0,
        "clf__kernel": "linear",
    }
    assert runs[1].config == {
        "reduce__n_components": 3,
        "clf": "sklearn.ensemble.RandomForestClassifier",
        "clf__n_estimators": 3,
    }
    assert runs[2].config == {"reduce": "passthrough"}
    assert runs[3].config == {
        "reduce": "sklearn.feature_selection.SelectKBest",
        "reduce__k": 2,
        "reduce__score_func": "sklearn.feature_selection.chi2",
    }
    for run in runs:
        assert "0x" not in canonical_json(run.config)
        rebuilt = to_estimator(run.algorithm, run.config)
        assert rebuilt.fit(X, Y).score(X, Y) > 0.8
    assert repr(to_estimator(runs[3].algorithm, runs[3].config)["reduce"]) == repr(
        SelectKBest(chi2, k=2)
    )


def test_searched_seeds_are_seeds_of_runs() -> None:
    found = search(
        make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=2)),
        {"decisiontreeclassifier__random_state": [0, 1]},
    )
    runs = records(found, IRIS)
    assert [run.seed for run in runs] == [0, 1]
    assert runs[0].config == runs[1].config == {"decisiontreeclassifier__max_depth": 2}
    assert runs[0].run_id != runs[1].run_id


def test_a_randomized_search_with_a_shuffled_split() -> None:
    found = RandomizedSearchCV(
        SVC(),
        {"C": np.logspace(-2, 2, 9)},
        n_iter=3,
        cv=ShuffleSplit(2, random_state=0),
        random_state=0,
    ).fit(X, Y)
    runs = records(found, IRIS, algorithm="mine", tags={"who": "me"})
    assert [run.algorithm for run in runs] == ["mine"] * 3
    assert runs[0].tags == {"search": "RandomizedSearchCV", "who": "me"}
    assert runs[0].split == "ShuffleSplit, 2 splits"
    assert all(type(run.config["C"]) is float for run in runs)
    assert len({run.parent for run in runs}) == 1


def halvings() -> Iterator[Any]:
    tree = DecisionTreeClassifier(random_state=0)
    yield HalvingGridSearchCV(tree, {"max_depth": [1, 2, 3, 4]}, cv=3, factor=2, random_state=0)
    yield HalvingRandomSearchCV(
        RandomForestClassifier(random_state=0),
        {"max_depth": [1, 2, 3, 4]},
        resource="n_estimators",
        max_resources=12,
        min_resources="exhaust",
        n_candidates=4,
        cv=3,
        random_state=0,
    )


@pytest.mark.parametrize("halving", list(halvings()), ids=lambda s: s.resource)
def test_halving_keeps_every_rung_with_its_fidelity(halving: Any) -> None:
    features, target = load_breast_cancer(return_X_y=True)
    halving.fit(features, target)
    runs = records(halving, DatasetRef("breast_cancer"))
    results = halving.cv_results_
    assert len(runs) == len(results["params"]) > halving.n_candidates_[0]
    assert len({run.run_id for run in runs}) == len(runs)
    for i, run in enumerate(runs):
        amount = int(results["n_resources"][i])
        assert run.fidelity == (None if amount == halving.max_resources_ else amount)
        assert run.tags["rung"] == str(results["iter"][i])
        assert run.tags["resource"] == halving.resource
        if halving.resource == "n_estimators":
            assert run.config["n_estimators"] == amount
    if halving.resource == "n_estimators":
        assert {run.fidelity for run in runs} == {4, None}


def test_what_is_no_fitted_search_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"call search.fit\(X, y\) first"):
        records(GridSearchCV(SVC(), {"C": [1.0]}), IRIS)
    with pytest.raises(InvalidInputError, match="got SVC without cv_results_: pass a fitted"):
        records(SVC(), IRIS)


def test_a_clock_that_was_set_back_leaves_the_duration_unknown(grid: GridSearchCV) -> None:
    other = pickle.loads(pickle.dumps(grid))
    other.cv_results_["mean_fit_time"] = other.cv_results_["mean_fit_time"] - 3600
    assert [run.seconds for run in records(other, IRIS)] == [None] * 4
