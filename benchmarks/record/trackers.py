"""What is compared at recording: Headstart and its peers, each by its own documented API.

A tracker prepares a folder once, opens it in each process, and records whole runs of ten
hyperparameters and three metrics. Each peer is given twice: the way its documentation records a
run, and its fastest way to write down a run that is over.
"""

# ruff: noqa: PLC0415 - each peer is imported by the processes that measure it alone
from __future__ import annotations

import logging
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

Params = dict[str, Any]
Metrics = dict[str, float]
Record = Callable[[Params, Metrics], None]
RecordBatch = Callable[[Sequence[Params], Sequence[Metrics]], None]


class Tracker(ABC):
    """One way to record runs.

    Attributes:
        name: how the result file calls it.
        system: whose it is.
        how: the calls that record one run.
        speed: about how many runs a second, which sizes the measurement.
        batch: how many runs are over before they are recorded, all in one call.
    """

    name: ClassVar[str]
    system: ClassVar[str]
    how: ClassVar[str]
    speed: ClassVar[int]
    batch: ClassVar[int] = 1

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Make what must exist before the first process starts."""

    @abstractmethod
    def open(self, folder: Path) -> Record:
        """Return what records one run, durably, in this process."""

    def open_batch(self, folder: Path) -> RecordBatch:
        """Return what records `batch` runs, durably, in one call."""
        record = self.open(folder)

        def one(params: Sequence[Params], metrics: Sequence[Metrics]) -> None:
            record(params[0], metrics[0])

        return one

    @abstractmethod
    def count(self, folder: Path) -> int:
        """Return how many finished runs are there."""


class _Headstart(Tracker):
    system = "headstart"
    speed = 3000

    def prepare(self, folder: Path) -> None:
        import metastore

        metastore.open(folder / "store")

    def count(self, folder: Path) -> int:
        import metastore

        found = metastore.open(folder / "store").rows(
            "SELECT count(*) AS n FROM run_states WHERE status = 'completed'"
        )
        return int(found[0]["n"])


class HeadstartAdd(_Headstart):
    name = "headstart: add"
    how = "store.add(RunRecord(...)) for each run"

    def open(self, folder: Path) -> Record:
        import metastore
        from metastore.types import DatasetRef, MetricValue, RunRecord

        store = metastore.open(folder / "store")
        dataset = DatasetRef("measured")

        def record(params: Params, metrics: Metrics) -> None:
            values = tuple(MetricValue(name, value) for name, value in metrics.items())
            store.add(RunRecord(dataset, "made_up", params, values))

        return record


class HeadstartAddMany(HeadstartAdd):
    name = "headstart: add, 100 a call"
    how = "store.add([RunRecord(...), ...]) for a hundred runs, one durable write"
    speed = 12_000
    batch = 100

    def open_batch(self, folder: Path) -> RecordBatch:
        import metastore
        from metastore.types import DatasetRef, MetricValue, RunRecord

        store = metastore.open(folder / "store")
        dataset = DatasetRef("measured")

        def record(params: Sequence[Params], metrics: Sequence[Metrics]) -> None:
            values = [tuple(MetricValue(n, v) for n, v in one.items()) for one in metrics]
            store.add(
                RunRecord(dataset, "made_up", config, value)
                for config, value in zip(params, values, strict=True)
            )

        return record


class HeadstartRun(_Headstart):
    name = "headstart: with run"
    how = "with store.run(...) as run: run.result(...), three durable writes a run"
    speed = 1500

    def open(self, folder: Path) -> Record:
        import metastore

        store = metastore.open(folder / "store")

        def record(params: Params, metrics: Metrics) -> None:
            with store.run("measured", "made_up", params) as run:
                run.result(**metrics)

        return record


class Disk(Tracker):
    """No recorder: what the disk itself can do."""

    name = "disk: fdatasync"
    system = "disk"
    how = "os.pwrite of 400 bytes over a file's own, and os.fdatasync"
    speed = 8000

    def prepare(self, folder: Path) -> None:
        """Nothing."""

    def open(self, folder: Path) -> Record:
        fd = os.open(folder / f"{os.getpid()}.written", os.O_CREAT | os.O_RDWR)
        os.pwrite(fd, bytes(1 << 25), 0)
        os.fsync(fd)
        at = iter(range(0, 1 << 25, 400))

        def record(params: Params, metrics: Metrics) -> None:
            os.pwrite(fd, b"x" * 400, next(at))
            os.fdatasync(fd)

        return record

    def count(self, folder: Path) -> int:
        return sum(
            file.read_bytes().rstrip(b"\0").count(b"x") // 400 for file in folder.glob("*.written")
        )


class _MLflow(Tracker):
    system = "mlflow"
    speed = 25

    def prepare(self, folder: Path) -> None:
        self._experiment(folder)

    def _experiment(self, folder: Path) -> Any:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        mlflow.set_experiment("measured")
        return mlflow

    def count(self, folder: Path) -> int:
        with sqlite3.connect(folder / "mlflow.db") as con:
            row = con.execute("SELECT count(*) FROM runs WHERE status = 'FINISHED'").fetchone()
        return int(row[0])


class MLflowFluent(_MLflow):
    name = "mlflow: start_run"
    how = "with mlflow.start_run(): mlflow.log_params(...); mlflow.log_metrics(...)"

    def open(self, folder: Path) -> Record:
        mlflow = self._experiment(folder)

        def record(params: Params, metrics: Metrics) -> None:
            with mlflow.start_run():
                mlflow.log_params(params)
                mlflow.log_metrics(metrics)

        return record


class MLflowBatch(_MLflow):
    name = "mlflow: log_batch"
    how = "client.create_run(...); client.log_batch(...); client.set_terminated(...)"

    def open(self, folder: Path) -> Record:
        mlflow = self._experiment(folder)
        from mlflow.entities import Metric, Param

        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name("measured").experiment_id

        def record(params: Params, metrics: Metrics) -> None:
            run = client.create_run(experiment)
            client.log_batch(
                run.info.run_id,
                metrics=[Metric(name, value, 0, 0) for name, value in metrics.items()],
                params=[Param(name, str(value)) for name, value in params.items()],
            )
            client.set_terminated(run.info.run_id)

        return record


def _distributions() -> Mapping[str, Any]:
    from optuna.distributions import CategoricalDistribution as Category
    from optuna.distributions import FloatDistribution as Real
    from optuna.distributions import IntDistribution as Whole

    return {
        "alpha": Real(1e-6, 1, log=True),
        "bagging": Category([False, True]),
        "booster": Category(["tree", "linear", "dart"]),
        "depth": Whole(1, 16),
        "dropout": Real(0, 1),
        "feature_fraction": Real(0, 1),
        "learning_rate": Real(1e-5, 1e-1, log=True),
        "momentum": Real(0, 1),
        "rounds": Whole(10, 1010),
        "subsample": Real(0, 1),
    }


class _Optuna(Tracker):
    """Recording on a storage of Optuna; a subclass says which storage."""

    def storage(self, folder: Path) -> Any:
        raise NotImplementedError

    def prepare(self, folder: Path) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = self.storage(folder)
        optuna.create_study(storage=storage, study_name="measured", directions=["maximize"] * 3)

    def count(self, folder: Path) -> int:
        storage = self.storage(folder)
        study = storage.get_study_id_from_name("measured")
        return sum(trial.state.is_finished() for trial in storage.get_all_trials(study, False))


class _OptunaSteps(_Optuna):
    how = "create_new_trial, set_trial_param for each of ten, set_trial_state_values"

    def open(self, folder: Path) -> Record:
        from optuna.trial import TrialState

        storage = self.storage(folder)
        study = storage.get_study_id_from_name("measured")
        known = _distributions()

        def record(params: Params, metrics: Metrics) -> None:
            trial = storage.create_new_trial(study)
            for name, value in params.items():
                internal = known[name].to_internal_repr(value)
                storage.set_trial_param(trial, name, internal, known[name])
            storage.set_trial_state_values(trial, TrialState.COMPLETE, list(metrics.values()))

        return record


class _OptunaWhole(_Optuna):
    how = "study.add_trial(optuna.create_trial(...)) for each run"

    def open(self, folder: Path) -> Record:
        import optuna

        study = optuna.load_study(study_name="measured", storage=self.storage(folder))
        known = dict(_distributions())

        def record(params: Params, metrics: Metrics) -> None:
            trial = optuna.create_trial(
                params=params, distributions=known, values=list(metrics.values())
            )
            study.add_trial(trial)

        return record


class _Rdb(_Optuna):
    system = "optuna RDB (SQLite)"
    speed = 40

    def storage(self, folder: Path) -> Any:
        from optuna.storages import RDBStorage

        return RDBStorage(f"sqlite:///{folder / 'optuna.db'}")


class _JournalFile(_Optuna):
    system = "optuna JournalStorage (file)"
    speed = 400

    def storage(self, folder: Path) -> Any:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        return JournalStorage(JournalFileBackend(str(folder / "optuna.log")))


class RdbSteps(_OptunaSteps, _Rdb):
    name = "optuna RDB: steps"


class RdbWhole(_OptunaWhole, _Rdb):
    name = "optuna RDB: add_trial"


class JournalSteps(_OptunaSteps, _JournalFile):
    name = "optuna journal: steps"


class JournalWhole(_OptunaWhole, _JournalFile):
    name = "optuna journal: add_trial"


TRACKERS: dict[str, Tracker] = {
    tracker.name: tracker
    for tracker in (
        HeadstartAdd(), MLflowFluent(), HeadstartRun(), MLflowBatch(), HeadstartAddMany(), Disk(),
        JournalWhole(), RdbWhole(), JournalSteps(), RdbSteps(),
    )
}  # fmt: skip
