"""Asking about a dataset, end to end: real runs recorded, another dataset asked about."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from sklearn import svm
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.model_selection import cross_val_score

import metastore
from metastore.errors import UnknownNameError
from metastore.types import canonical_json
from recommenders import Answer, Question, ask, enqueue
from recommenders.asking import most_recorded
from recommenders.explaining import as_json, in_words, rows, text
from recommenders.registry import keeping
from tests.folders import unwritable

SVC = "sklearn.svm.SVC"
CONFIGS = [{"C": c, "gamma": g} for c in (0.1, 1.0, 30.0) for g in ("scale", 0.3)]


def digits(count: int) -> tuple[Any, Any]:
    X, y = load_digits(return_X_y=True)
    return X[:count] / 16, y[:count]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:

    folder = tmp_path_factory.mktemp("asking") / "store"
    store = metastore.open(folder)
    pairs = {"iris": load_iris(return_X_y=True), "wine": load_wine(return_X_y=True)}
    for name, (X, y) in pairs.items():
        ref = store.dataset(X, y, name=name)
        for config in CONFIGS:
            with store.run(ref, SVC, config) as run:
                run.result(accuracy=cross_val_score(svm.SVC(**config), X, y, cv=3).mean())
    store.close()
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> metastore.MetaStore:
    import shutil  # noqa: PLC0415

    return metastore.open(shutil.copytree(made, tmp_path / "store"))


def question(**options: Any) -> Question:
    return Question(recommender="nearest", **options)


def test_times_are_not_what_is_asked_about(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store")
    for name, results in {
        "a": {"fit_seconds": 1.0, "r2": 0.5},
        "b": {"fit_seconds": 1.0, "train_r2": 0.9, "r2": 0.6},
        "c": {"fit_seconds": 1.0, "train_r2": 0.9, "f1": 0.6},
    }.items():
        with store.run(name, "svc", {"C": 1}) as run:
            run.result(**results)
    assert most_recorded(store) == "r2"
    assert most_recorded(store, "c") == "f1"
    with store.run("d", "svc", {"C": 1}) as run:
        run.result(fit_seconds=1.0)
    assert most_recorded(store, "d") == "r2"
    other = metastore.open(tmp_path / "other")
    with other.run("d", "svc", {"C": 1}) as run:
        run.result(fit_seconds=1.0)
    assert most_recorded(other) == "fit_seconds"


def test_the_whole_walk(store: metastore.MetaStore) -> None:
    X, y = digits(300)
    asked = ask(store, X, y, question(n=3))
    assert asked.metric == "accuracy" == most_recorded(store)
    assert asked.observed == 0
    assert len(asked.recommendations) == 3
    assert {n.dataset for r in asked.recommendations for n in r.evidence.neighbours} == {
        "iris",
        "wine",
    }
    first = asked.recommendations[0]
    estimator = first.to_estimator()
    assert (estimator.C, estimator.gamma) == (first.config["C"], first.config["gamma"])
    with store.run((X, y), first.algorithm, first.config) as run:
        value = cross_val_score(estimator, X, y, cv=3).mean()
        run.result(accuracy=value)
    known = store.rows(
        "SELECT position, o.status, o.value FROM recommendations "
        "LEFT JOIN recommendation_outcomes AS o USING (recommendation_id) ORDER BY position"
    )
    assert known == [
        {"position": 1, "status": "completed", "value": value},
        {"position": 2, "status": None, "value": None},
        {"position": 3, "status": None, "value": None},
    ]
    again = ask(store, X, y, question())
    assert again.observed == 1
    assert dict(first.config) not in [dict(r.config) for r in again.recommendations]
    assert any("1 run on this one" in line for line in in_words(again))
    assert ask(store, X, y, question(as_new=True)).recommendations[0].config == first.config


def test_any_shape_of_the_same_data_is_the_same_dataset(
    store: metastore.MetaStore, tmp_path: Path
) -> None:
    bunch = load_digits(as_frame=True)
    frame = bunch.frame.iloc[:200]
    frame.to_csv(tmp_path / "digits.csv", index=False)
    answers = [
        ask(store, frame.drop(columns="target"), frame["target"], question(n=2)),
        ask(store, frame, "target", question(n=2)),
        ask(store, str(tmp_path / "digits.csv"), "target", question(n=2)),
    ]
    configs = {str([dict(r.config) for r in answer.recommendations]) for answer in answers}
    assert len(configs) == 1
    fingerprints = store.rows("SELECT DISTINCT fingerprint FROM datasets WHERE n_rows = 200")
    assert len(fingerprints) == 1


@pytest.mark.parametrize("known", [False, True])
def test_a_file_gets_the_answer_that_its_cells_get(
    known: bool, store: metastore.MetaStore, tmp_path: Path
) -> None:
    X, y = digits(200)
    frame = pd.DataFrame(X).assign(digit=y)
    file = tmp_path / "digits.csv"
    frame.to_csv(file, index=False)
    if known:
        store.dataset(frame, "digit", name="digits")
    asked = ask(store, str(file), "digit", question(record=False))
    again = ask(store, frame, "digit", question(record=False))
    assert [r.config for r in asked.recommendations] == [r.config for r in again.recommendations]
    assert asked.recommendations[0].value == again.recommendations[0].value
    assert {n.dataset for r in asked.recommendations for n in r.evidence.neighbours}


def test_a_view_takes_on_descriptions_that_came_later(store: metastore.MetaStore) -> None:
    before = store.view("accuracy")
    X, y = digits(200)
    store.dataset(X, y, name="new")
    store.dataset(X[::-1], y[::-1], name="again")
    now = store.described(before)
    assert "new" not in before.meta
    assert "new" in now.meta
    assert now.cell_score is before.cell_score
    assert set(now.meta.datasets) == set(store.view("accuracy").meta.datasets)
    assert now.groups == store.view("accuracy").groups


def test_near_duplicates_are_left_out_and_said(store: metastore.MetaStore) -> None:
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    ref = store.dataset(X[order], y[order], name="flowers")
    asked = ask(store, ref.name, question=question(n=2))
    assert asked.left_out == ("iris",)
    assert {n.dataset for n in asked.recommendations[0].evidence.neighbours} == {"wine"}
    assert any("near-duplicates of flowers: iris" in line for line in in_words(asked))
    kept = ask(store, ref.name, question=question(n=2, near_duplicates=True))
    assert kept.left_out == ()
    assert "iris" in {n.dataset for n in kept.recommendations[0].evidence.neighbours}


def test_a_dataset_of_which_nothing_is_known_gets_an_abstention(store: metastore.MetaStore) -> None:
    with store.run("only a name", "other", {}) as run:
        run.result(accuracy=0.5)
    asked = ask(store, "only a name", question=question())
    assert as_json(asked)["abstained"] is True
    assert in_words(asked)[0].startswith("I don't know this kind of dataset")
    assert asked.recommendations


def test_recommendations_run_on_an_optuna_study(store: metastore.MetaStore) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    X, y = digits(200)
    asked = ask(store, X, y, question(n=2, algorithm=SVC))

    def objective(trial: optuna.Trial) -> float:
        gamma = trial.suggest_categorical("gamma", ["scale", 0.3])
        model = svm.SVC(C=trial.suggest_float("C", 0.01, 100, log=True), gamma=gamma)
        return float(cross_val_score(model, X, y, cv=2).mean())

    study = optuna.create_study(direction="maximize")
    assert enqueue(study, asked.recommendations) == 2
    name = store.label((X, y))
    study.optimize(
        objective,
        n_trials=2,
        callbacks=[store.optuna_callback((X, y), algorithm=SVC, metric="accuracy")],
    )
    assert [t.params for t in study.trials] == [dict(r.config) for r in asked.recommendations]
    assert ask(store, name, question=question()).observed == 2


def test_nothing_left_to_recommend_is_said(tmp_path: Path) -> None:
    """Where hyperparameters are no numbers, there is an end of configs."""
    store = metastore.open(tmp_path / "store")
    for name in ("iris", "wine"):
        for kernel in ("rbf", "linear"):
            with store.run(name, "svc", {"kernel": kernel}) as run:
                run.result(accuracy=0.5)
    asked = ask(store, "iris", question=question())
    assert asked.recommendations == ()
    assert "--as-new" in in_words(asked)[0]
    assert rows(asked) == []
    assert text(asked)


def test_after_all_that_the_store_knows_come_new_configs(store: metastore.MetaStore) -> None:
    known = ask(store, "iris", question=question(n=99, as_new=True)).recommendations
    everything = {canonical_json(r.config) for r in known if not r.evidence.new}
    asked = ask(store, "iris", question=question())
    assert len(asked.recommendations) == 5
    assert all(r.evidence.new for r in asked.recommendations)
    assert not everything & {canonical_json(r.config) for r in asked.recommendations}
    assert "nobody ran it yet" in text(asked)
    assert "nobody ran it yet" in as_json(asked)["recommendations"][0]["explanation"]


def test_an_empty_store_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="headstart import table FILE"):
        ask(metastore.open(tmp_path / "empty"), *digits(50))


def test_asking_need_not_be_recorded(store: metastore.MetaStore) -> None:
    assert isinstance(ask(store, "iris", question=question(as_new=True, record=False)), Answer)
    assert store.rows("SELECT count(*) AS n FROM recommendations") == [{"n": 0}]


@pytest.mark.parametrize("width", [60, 100])
def test_text_keeps_to_its_width(width: int, store: metastore.MetaStore) -> None:
    words = text(ask(store, "wine", question=question(as_new=True)), width)
    assert max(map(len, words.splitlines())) <= width


def test_what_took_long_to_learn_is_kept_beside_the_store(
    store: metastore.MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.paths.folder
    assert keeping("deep_mixture", folder) == {"cache": folder / "learned"}
    assert keeping("nearest", folder) == {}
    assert keeping("absent", folder) == {}
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert keeping("deep_mixture", folder) == {}


def test_a_store_that_cannot_be_written_can_be_asked_about_new_data(tmp_path: Path) -> None:
    """What is asked about is described, and near-duplicates left out, as if it were recorded."""
    store = metastore.open(tmp_path / "store")
    (X, y), (near, labels) = load_wine(return_X_y=True), load_iris(return_X_y=True)
    for name, data in (("wine", (X, y)), ("iris", (near, labels))):
        ref = store.dataset(data, name=name)
        values = (metastore.MetricValue("accuracy", 0.5),)
        store.add(metastore.RunRecord(ref, "svc", {"C": float(i)}, values) for i in range(9))
    folder = store.paths.folder
    frame = load_wine(as_frame=True).frame
    file = folder.parent / "wine.csv"
    frame.drop(columns="alcohol").to_csv(file, index=False)
    assert len(store.view("accuracy").datasets) == 2
    store.close()
    store.absorb()
    asked = [((X[:, 1:], y), None), (str(file), "target")]
    with unwritable(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [ask(metastore.open(folder), data, target) for data, target in asked]
    assert found[1].dataset.startswith("wine (")
    for before, (data, target) in zip(found, asked, strict=True):
        assert before.left_out == ("wine",)
        after = ask(store, data, target)
        assert [one.config for one in before.recommendations] == [
            one.config for one in after.recommendations
        ]
