"""Recommendations on Optuna studies: tried first, once, with their evidence."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from metastore.errors import InvalidInputError
from recommenders.enqueueing import ATTRIBUTE, EnqueuedWarning, enqueue
from recommenders.recommender import Evidence, Neighbour, Recommendation

EVIDENCE = Evidence(
    "nearest",
    tuple(Neighbour(f"d{i}", float(i), 0.1, 1, 0.9, 1, 10) for i in range(7)),
    note="close to d0",
)


def recommendation(c: float, value: float = 0.9) -> Recommendation:
    config = {"C": c, "kernel": "rbf"}
    return Recommendation("sklearn.svm.SVC", config, value, (0.8, math.nan), math.nan, EVIDENCE)


def objective(trial: optuna.Trial) -> float:
    kernel = trial.suggest_categorical("kernel", ("rbf", "linear"))
    return trial.suggest_float("C", 0.01, 100.0, log=True) + (kernel == "rbf")


@pytest.fixture(params=["memory", "sqlite"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[optuna.Study]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    url = f"sqlite:///{tmp_path / 'study.db'}" if request.param == "sqlite" else None
    yield optuna.create_study(storage=url)
    optuna.logging.set_verbosity(before)


def test_recommendations_are_tried_first_and_in_order(study: optuna.Study) -> None:
    assert enqueue(study, [recommendation(3.0), recommendation(0.5)]) == 2
    study.optimize(objective, n_trials=3)
    assert [trial.params["C"] for trial in study.trials[:2]] == [3.0, 0.5]


def test_a_config_is_enqueued_once(study: optuna.Study) -> None:
    assert enqueue(study, [recommendation(3.0), recommendation(3.0)]) == 1
    assert enqueue(study, [recommendation(3.0)]) == 0
    study.optimize(objective, n_trials=1)
    assert enqueue(study, [recommendation(3), recommendation(4.0)]) == 1
    assert len(study.trials) == 2


def test_the_evidence_stays_with_the_trial(study: optuna.Study) -> None:
    enqueue(study, [recommendation(3.0)])
    study.optimize(objective, n_trials=1)
    stored = study.trials[0].user_attrs[ATTRIBUTE]
    assert stored["algorithm"] == "sklearn.svm.SVC"
    assert stored["value"] == 0.9
    assert stored["interval"] == [0.8, None]
    assert stored["seconds"] is None
    assert stored["note"] == "close to d0"
    assert [entry["dataset"] for entry in stored["datasets"]] == ["d0", "d1", "d2", "d3", "d4"]
    json.dumps(stored, allow_nan=False)


def test_nothing_to_enqueue(study: optuna.Study) -> None:
    assert enqueue(study, []) == 0


def test_one_may_come_alone(study: optuna.Study) -> None:
    assert enqueue(study, recommendation(1.0)) == 1


def test_anything_else_is_refused(study: optuna.Study) -> None:
    with pytest.raises(InvalidInputError, match=r"list of Recommendation, got a NoneType"):
        enqueue(study, None)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"expected an Optuna study, got list"):
        enqueue([recommendation(1.0)], study)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"list of Recommendation, got a dict"):
        enqueue(study, [{"C": 1.0}])  # type: ignore[list-item]


def test_what_does_not_fit_the_study_is_fitted_aloud(study: optuna.Study) -> None:
    """A study that says by its trials that its space is another one goes on nevertheless."""

    def other(trial: optuna.Trial) -> float:
        trial.suggest_categorical("kernel", ("sigmoid", "linear"))
        return trial.suggest_float("C", 0.01, 0.1) + trial.suggest_int("degree", 2, 8, step=2)

    study.optimize(other, n_trials=1)
    one = replace(recommendation(12.5), config={"C": 12.5, "kernel": "rbf", "degree": 5, "x": 1})
    with pytest.warns(EnqueuedWarning) as said:
        assert enqueue(study, one) == 1
    words = str(said[0].message)
    assert "'C': 12.5 is outside [0.01, 0.1], 0.1 is tried" in words
    assert "'kernel': 'rbf' is none of 'sigmoid', 'linear', the study draws it itself" in words
    assert "'degree': 5 is not on the grid 2 + k * 2, 6 is tried" in words
    study.optimize(other, n_trials=1)
    tried = study.trials[1].params
    assert (tried["C"], tried["degree"]) == (0.1, 6)
    assert tried["kernel"] in ("sigmoid", "linear")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fits = {"C": 0.05, "kernel": "linear", "degree": 6}
        assert enqueue(study, replace(recommendation(0.05), config=fits)) == 1
