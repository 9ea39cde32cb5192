"""Runs while they train: what they were given and what they said is kept."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.svm import SVC

from metastore import MetaStore
from tests.recorded import runs, values


def test_a_run_records_what_it_was_given_and_what_it_said(store: MetaStore) -> None:
    with store.run("iris", "svc", {"C": 1}, seed=np.int64(3), fidelity=np.float32(0.5),
                   split="5-fold", tags={"who": 1}) as run:  # fmt: skip
        run.log(step=0, loss=1.0)
        run.log(step=np.int32(1), loss=np.float32(0.5))
        run.result(accuracy=np.float64(0.9), f1=1)
    [row] = runs(store).to_dict("records")
    assert (row["status"], row["dataset"], row["algorithm"]) == ("completed", "iris", "svc")
    assert (row["seed"], row["fidelity"], row["split"]) == (3, 0.5, "5-fold")
    assert (row["config"], row["tags"]) == ('{"C":1}', '{"who":"1"}')
    assert row["seconds"] >= 0
    assert abs((row["started_at"] - pd.Timestamp.now("UTC").tz_localize(None)).total_seconds()) < 60
    assert values(store, "loss") == [(0, 1.0), (1, 0.5), (None, 0.5)]
    assert values(store, "accuracy") == [(None, 0.9)]


def test_a_curve_may_hold_nan(store: MetaStore) -> None:
    with store.run("iris", "svc", {}) as run:
        run.log(loss=1.0)
        run.log(loss=math.nan)
        run.result(accuracy=0.5)
    assert runs(store)["status"][0] == "completed"
    assert [step for step, _ in values(store, "loss")] == [0, 1, None]
    view = store.view("loss")
    assert (view.n_cells, len(view.failed_config)) == (0, 1)
    assert store.view("accuracy").n_cells == 1


def test_a_metric_that_was_only_logged_counts_with_its_last_value(store: MetaStore) -> None:
    with store.run("iris", "svc", {}) as run:
        for accuracy in (0.1, 0.7, 0.6):
            run.log(accuracy=accuracy)
    assert store.view("accuracy").cell_score.tolist() == [0.6]


def test_a_working_folder_that_was_deleted_breaks_nothing(
    store: MetaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with store.run("iris", "svc", {}) as run:
        run.result(accuracy=0.5)
    monkeypatch.chdir(tmp_path)
    assert store.view("accuracy").n_cells == 1


def test_a_class_is_named_as_its_estimators_are(store: MetaStore) -> None:
    for algorithm in (SVC, SVC(), "sklearn.svm.SVC"):
        with store.run("d", algorithm, {"C": 1.0}) as run:
            run.result(accuracy=0.5)
    assert store.view("accuracy").algorithms == ("sklearn.svm.SVC",)


def test_calls_without_a_step_go_on_after_those_with_one(store: MetaStore) -> None:
    with store.run("iris", "svc", {}) as run:
        for step in (0, 1, 5):
            run.log(step=step, loss=1.0 + step)
        run.log(loss=0.5, other=3.0)
        run.log(loss=0.25)
    steps = [(0, 1.0), (1, 2.0), (5, 6.0), (6, 0.5), (7, 0.25), (None, 0.25)]
    assert values(store, "loss") == steps
    assert values(store, "other") == [(0, 3.0), (None, 3.0)]


def test_a_loss_that_still_has_its_gradient_is_a_number(store: MetaStore) -> None:
    torch = pytest.importorskip("torch")
    loss = torch.ones(1, requires_grad=True).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with store.run("iris", "net", {}) as run:
            run.log(loss=loss)
            run.result(accuracy=torch.tensor([0.5]))
    assert values(store, "loss") == [(0, 1.0), (None, 1.0)]
    assert values(store, "accuracy") == [(None, 0.5)]
