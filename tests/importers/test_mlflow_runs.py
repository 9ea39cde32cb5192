"""Runs that MLflow itself recorded, in a database of its own, brought into a store."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

mlflow = pytest.importorskip("mlflow")

from mlflow.tracking import MlflowClient  # noqa: E402

import metastore  # noqa: E402
from metastore import MetaStore  # noqa: E402
from metastore.errors import HeadstartError, InvalidInputError, UnknownNameError  # noqa: E402
from metastore.importers.mlflow_runs import run_id_of  # noqa: E402
from tests.commands import RunIt  # noqa: E402
from tests.processes import python  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database in which MLflow has recorded SVCs on two datasets, and odd runs beside them."""
    folder = tmp_path_factory.mktemp("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        where = f"sqlite:///{folder / 'mlflow.db'}"
        client = MlflowClient(tracking_uri=where)
        svc = client.create_experiment("svc", artifact_location=str(folder / "a"))
        for dataset in ("adult", "bank"):
            for c in (0.5, 5.0):
                _run(client, svc, {"C": c, "kernel": "rbf"}, dataset=dataset, accuracy=0.8 + c / 50)
        odd = client.create_experiment("odd", artifact_location=str(folder / "b"))
        _run(client, odd, {"C": 1}, "FAILED", dataset="adult")
        _run(client, odd, {"C": 2}, "KILLED", dataset="adult", loss=0.5)
        _run(client, odd, {"C": 3}, None, dataset="adult", loss=0.5)
        _run(client, odd, {"C": 4}, dataset="adult", loss=float("nan"))
        _run(client, odd, {}, dataset="adult")
    yield where


def _run(
    client: Any,
    experiment: str,
    params: dict[str, object],
    status: str | None = "FINISHED",
    **said: Any,
) -> str:
    tags = {"dataset": said.pop("dataset"), "algorithm": "sklearn.svm.SVC"}
    run = client.create_run(experiment, start_time=1_700_000_000_000, tags=tags)
    for name, value in params.items():
        client.log_param(run.info.run_id, name, value)
    for name, value in said.items():
        client.log_metric(run.info.run_id, name, value)
    if status:
        client.set_terminated(run.info.run_id, status, end_time=1_700_000_002_500)
    return str(run.info.run_id)


AUTOLOGGED = """
import os, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("iris")
mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
X, y = load_iris(return_X_y=True)
GridSearchCV(SVC(), {"C": [0.1, 1.0]}, cv=2).fit(X, y)
make_pipeline(StandardScaler(), SVC(C=2.0)).fit(X, y)
"""


@pytest.fixture
def store(tmp_path: Path) -> MetaStore:
    return metastore.open(tmp_path / "store")


def states(store: MetaStore) -> dict[str, str]:
    sql = "SELECT c.config, r.status FROM run_states r JOIN configs c USING (config_id)"
    return {row["config"]: row["status"] for row in store.rows(sql)}


def test_what_mlflow_recorded_is_what_the_store_learns_from(uri: str, store: MetaStore) -> None:
    report = store.import_mlflow(uri, experiments=["svc"])
    assert (report.new_runs, report.failed_runs, report.refused) == (4, 0, [])
    view = store.view("accuracy")
    assert view.higher_is_better
    assert view.datasets == ("adult", "bank")
    assert view.algorithms == ("sklearn.svm.SVC",)
    configs = [view.config(c) for c in view.cell_config]
    assert configs == [{"C": 0.5, "kernel": "rbf"}, {"C": 5.0, "kernel": "rbf"}] * 2
    assert view.cell_score.tolist() == pytest.approx([0.81, 0.9] * 2)
    assert view.cell_seconds.tolist() == [2.5] * 4
    (first,) = store.rows("SELECT DISTINCT started_at::VARCHAR AS at FROM runs")
    assert first["at"].startswith("2023-11-14 22:13:20")


def test_twice_changes_nothing_and_runs_that_end_come_later(uri: str, store: MetaStore) -> None:
    first, second = store.import_mlflow(uri), store.import_mlflow(uri)
    assert (first.new_runs, first.failed_runs, first.running, first.left_out) == (7, 2, 1, 1)
    assert (second.new_runs, second.known_runs, second.running) == (0, 7, 1)
    assert states(store) == {
        '{"C":0.5,"kernel":"rbf"}': "completed",
        '{"C":5.0,"kernel":"rbf"}': "completed",
        '{"C":1}': "failed",
        '{"C":2}': "interrupted",
        '{"C":4}': "failed",
    }
    (nan,) = store.rows("SELECT error FROM run_states WHERE error LIKE '%nan%'")
    assert nan["error"] == "loss is nan"


def test_a_metric_logged_step_by_step_is_a_curve(tmp_path: Path, store: MetaStore) -> None:
    where = f"sqlite:///{tmp_path / 'curves.db'}"
    client = MlflowClient(tracking_uri=where)
    experiment = client.create_experiment("net", artifact_location=str(tmp_path))
    losses = [0.9, 0.5, float("nan"), 0.3]
    for seed in (1, 2):
        run = client.create_run(experiment, tags={"model": "net"})
        client.log_param(run.info.run_id, "lr", "1e-3")
        client.log_param(run.info.run_id, "seed", seed)
        for step, loss in enumerate(losses):
            client.log_metric(run.info.run_id, "val_loss", loss, step=step)
        client.log_metric(run.info.run_id, "system/cpu", 50.0)
        client.set_terminated(run.info.run_id)
    store.import_mlflow(where)
    sql = "SELECT step, value, metric FROM metric_values"
    found = sorted(
        (row["step"] if row["step"] is not None else -1, row["value"]) for row in store.rows(sql)
    )
    assert found == [(-1, 0.3)] * 2 + [(0, 0.9)] * 2 + [(1, 0.5)] * 2 + [(3, 0.3)] * 2
    assert {row["metric"] for row in store.rows(sql)} == {"val_loss"}
    assert not store.view("val_loss").higher_is_better
    assert store.view("val_loss").datasets == ("net",)  # nothing says which: the experiment
    assert {row["seed"] for row in store.rows("SELECT seed FROM runs")} == {1, 2}
    assert store.import_mlflow(where, curves=False).known_runs == 2


def test_input_datasets_autologged_classes_and_parents(tmp_path: Path, store: MetaStore) -> None:
    where = f"sqlite:///{tmp_path / 'inputs.db'}"
    mlflow.set_tracking_uri(where)
    try:
        experiment = mlflow.create_experiment("tuning", artifact_location=str(tmp_path))
        with (
            mlflow.start_run(experiment_id=experiment) as parent,
            mlflow.start_run(experiment_id=experiment, nested=True) as child,
        ):
            for kind, context in (("a-test", "testing"), ("train", "training")):
                cells = np.arange(6.0).reshape(3, 2)
                data = mlflow.data.from_numpy(cells, name=f"wine-{kind}")
                mlflow.log_input(data, context=context)
            forest = "sklearn.ensemble._forest.RandomForestClassifier"
            mlflow.set_tags({"estimator_class": forest, "api_token": "sk-123456789012345"})
            params = {"n_estimators": 100, "n_jobs": -1, "bootstrap": True, "max_depth": None}
            mlflow.log_params({**params, "random_state": 7, "api_key": "hidden-from-all"})
            mlflow.log_metric("training_accuracy_score", 0.9)
    finally:
        mlflow.set_tracking_uri(None)
    report = store.import_mlflow(where)
    assert (report.new_runs, report.left_out) == (1, 1)
    (run,) = store.rows(
        "SELECT algorithm, config, seed, run_id, parent_id, tags::VARCHAR AS tags "
        "FROM runs JOIN configs USING (config_id)"
    )
    assert run["algorithm"] == "sklearn.ensemble.RandomForestClassifier"
    expected = '{"api_key":"***","bootstrap":true,"max_depth":null,"n_estimators":100}'
    assert run["config"] == expected
    assert run["seed"] == 7
    assert run["run_id"] == run_id_of(child.info.run_id)
    assert run["parent_id"] == run_id_of(parent.info.run_id)
    assert "sk-1234" not in run["tags"]
    assert store.view("training_accuracy_score").datasets == ("wine-train",)


def test_what_autologging_says_of_searches_and_pipelines(tmp_path: Path, store: MetaStore) -> None:
    """In a folder, as MLflow kept runs for years; autologging would stay on in this process."""
    where = tmp_path / "mlruns"
    where.mkdir()
    done = python(AUTOLOGGED, where)
    assert done.returncode == 0, done.stderr
    report = store.import_mlflow(str(where))
    assert (report.new_runs, report.left_out, report.refused) == (3, 1, [])
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ
    view = store.view("mean_test_score", algorithm="sklearn.svm.SVC")
    assert sorted(view.config(c)["C"] for c in view.cell_config) == [0.1, 1.0]
    (pipeline,) = store.rows(
        "SELECT algorithm, config FROM runs JOIN configs USING (config_id) "
        "WHERE algorithm LIKE 'sklearn.pipeline%'"
    )
    steps = "standardscaler=StandardScaler,svc=SVC"
    assert pipeline["algorithm"] == f"sklearn.pipeline.Pipeline({steps})"
    config = json.loads(pipeline["config"])
    assert config["svc__C"] == 2.0
    assert {"steps", "svc", "standardscaler", "memory", "verbose"}.isdisjoint(config)


def test_who_says_what_can_be_told(tmp_path: Path, store: MetaStore) -> None:
    where = f"sqlite:///{tmp_path / 'own.db'}"
    client = MlflowClient(tracking_uri=where)
    experiment = client.create_experiment("any", artifact_location=str(tmp_path))
    for name in ("a", "b", ""):
        run = client.create_run(experiment, tags={"data_version": name} if name else {})
        client.log_param(run.info.run_id, "depth", 3)
        client.log_metric(run.info.run_id, "accuracy", 0.5)
        client.set_terminated(run.info.run_id)
    refused = store.import_mlflow(where)
    assert refused.new_runs == 0
    assert [reason for _, reason in refused.refused] == [refused.refused[0][1]] * 3
    assert "which algorithm" in refused.refused[0][1]
    report = store.import_mlflow(where, algorithm="tree", dataset="data_version")
    assert report.new_runs == 2
    assert [reason for _, reason in report.refused] == ["it has no tag or parameter 'data_version'"]
    assert store.view("accuracy").datasets == ("a", "b")


def test_what_cannot_be_read_is_said(uri: str, store: MetaStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no experiment 'svm' in MLflow; did you mean 'svc'"):
        store.import_mlflow(uri, experiments="svm")
    with pytest.raises(HeadstartError, match="MLflow cannot be read"):
        store.import_mlflow("nonsense://nowhere")
    for where in (tmp_path / "no.db", tmp_path / "mlruns"):
        address = f"sqlite:///{where}" if where.suffix else str(where)
        with pytest.raises(InvalidInputError, match="no MLflow database or folder"):
            store.import_mlflow(address)
        assert not where.exists()


def test_what_was_read_before_a_server_failed_is_recorded(
    uri: str, store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fails(self: Any, run_id: str, key: str) -> Any:
        asked.append(run_id)
        if len(asked) == 3:
            raise OSError("the line is dead; token=abc123")
        return history(self, run_id, key)

    history = MlflowClient.get_metric_history
    monkeypatch.setattr(MlflowClient, "get_metric_history", fails)
    with pytest.raises(HeadstartError, match=r"cannot be read: the line is dead; token=\*\*\*"):
        store.import_mlflow(uri, experiments=["svc"])
    assert len(store.rows("SELECT run_id FROM runs")) == 2
    assert store.import_mlflow(uri, experiments=["svc"]).new_runs == 2


def test_the_command(uri: str, headstart: RunIt) -> None:
    done = headstart("import", "mlflow", uri, "--experiment", "odd")
    assert done.status == 0
    expected = "3 new runs (2 of them failed), 1 have not ended, 1 hold nothing but other runs"
    assert expected in done.out
    again = headstart("import", "mlflow", uri)
    assert "4 new runs, 3 were there already" in again.out
