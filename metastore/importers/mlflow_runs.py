"""Runs of an MLflow tracking server, or of its files and databases: one ended run, one run.

| in MLflow                                   | here                                            |
|---------------------------------------------|-------------------------------------------------|
| parameters                                  | the config, texts as the values they were       |
| the last value of a metric                  | a result                                        |
| a metric logged several times               | a learning curve beside it                      |
| `FINISHED`, `FAILED`, `KILLED`              | completed, failed, interrupted                  |
| `RUNNING`, `SCHEDULED`                      | left out until it has ended                     |
| an input dataset (`mlflow.log_input`), a    | the dataset's name; where there is none, the    |
| tag or a parameter `dataset`                | experiment's                                    |
| the tag `estimator_class` of autologging, a | the algorithm                                   |
| tag or parameter `algorithm` or `model`     |                                                 |
| the parent of a nested run                  | the parent                                      |
| tags of the user's own, the commit          | tags, and the names of experiment and run       |

A metric of NaN or infinity is no result; where a run has no other, it failed. A run's id is a hash
of MLflow's own, so that importing twice changes nothing. Metrics of the machine (`system/...`)
stay out; so do runs that hold nothing but nested ones. Needs `mlflow-skinny`, or MLflow itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from metastore.errors import InvalidInputError
from metastore.importers.mlflow_server import experiments_of, pages_of, reading
from metastore.importers.mlflow_texts import config_of, parts_of, public_path, seed_of
from metastore.metrics import known_direction
from metastore.records import checked
from metastore.redaction import is_secret, redact
from metastore.types import DatasetRef, MetricValue, RunRecord, RunStatus, content_id

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_STATUS = {
    "FINISHED": RunStatus.COMPLETED,
    "FAILED": RunStatus.FAILED,
    "KILLED": RunStatus.INTERRUPTED,
}
_ALGORITHM = ("algorithm", "model", "model_type", "estimator", "estimator_name")
_OF_MACHINE = "system/"


@dataclass(frozen=True)
class MlflowOptions:
    """What MLflow does not say.

    Args:
        dataset: name of the tag or parameter that names the dataset; empty to look for one.
        algorithm: the algorithm of all runs; empty to look for one in each.
        curves: whether to read the history of metrics, which takes a request each.
    """

    dataset: str = ""
    algorithm: str = ""
    curves: bool = True


@dataclass
class MlflowReport:
    """What an import from MLflow did.

    Args:
        new_runs: runs that the store did not have.
        known_runs: runs that it had already; they were left alone.
        failed_runs: new runs that failed, or have no finite metric where they have any.
        running: runs that have not ended; they are imported once they have.
        left_out: runs that hold nothing but nested ones: scikit-learn's searches, and those
            without parameters and metrics.
        refused: runs that were left out: MLflow's id, and why.
    """

    new_runs: int = 0
    known_runs: int = 0
    failed_runs: int = 0
    running: int = 0
    left_out: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


def run_id_of(mlflow_id: str) -> UUID:
    """Return the id that a run of MLflow has here."""
    return content_id("mlflow", mlflow_id)


def records(
    client: MlflowClient,
    experiments: Sequence[str] = (),
    options: MlflowOptions | None = None,
    *,
    known: Callable[[Collection[UUID]], Collection[UUID]] = lambda ids: (),
    report: MlflowReport | None = None,
) -> Iterator[RunRecord]:
    """Return one run for each run of MLflow that has ended and is not known yet.

    Args:
        client: of the tracking server.
        experiments: names of experiments; all that are not deleted when empty.
        options: what MLflow does not say.
        known: says which of some ids are in the store already.
        report: counts, filled while runs are read.

    Raises:
        UnknownNameError: if there is no such experiment.
        HeadstartError: if the server cannot be read; runs before that were given.
    """
    options, report = options or MlflowOptions(), report or MlflowReport()
    names = experiments_of(client, experiments)
    for page in pages_of(client, list(names)):
        there = set(known([run_id_of(run.info.run_id) for run in page]))
        for run in page:
            if run.info.status not in _STATUS:
                report.running += 1
            elif run_id_of(run.info.run_id) in there:
                report.known_runs += 1
            elif _holds_others(run):
                report.left_out += 1
            else:
                try:
                    record = _record(client, run, names[run.info.experiment_id], options)
                    checked(record)
                except InvalidInputError as error:
                    report.refused.append((run.info.run_id, str(error)))
                    continue
                report.new_runs += 1
                report.failed_runs += record.status is RunStatus.FAILED
                yield record


def _holds_others(run: Run) -> bool:
    """Whether a run is no evaluation of a config: its nested ones are, or it has nothing."""
    kind = run.data.tags.get("estimator_class", "")
    search = kind.startswith("sklearn.model_selection.") and kind.endswith("SearchCV")
    return search or not (run.data.params or run.data.metrics)


def _record(client: MlflowClient, run: Run, experiment: str, options: MlflowOptions) -> RunRecord:
    """Return an ended run of MLflow."""
    info, params, tags = run.info, dict(run.data.params), dict(run.data.tags)
    dataset, said = _dataset(run, params, tags, experiment, options)
    algorithm, named = _algorithm(params, tags, options)
    config = config_of({n: text for n, text in params.items() if n not in (said, named)})
    status = _STATUS[info.status]
    finals = [
        MetricValue(name, float(value), higher_is_better=known_direction(name))
        for name, value in run.data.metrics.items()
        if math.isfinite(value) and not name.startswith(_OF_MACHINE)
    ]
    error = "the run failed; MLflow keeps no message" if status is RunStatus.FAILED else ""
    lost = {n: v for n, v in run.data.metrics.items() if not math.isfinite(v)}
    if status is RunStatus.COMPLETED and lost and not finals:
        status, error = RunStatus.FAILED, ", ".join(f"{n} is {v}" for n, v in lost.items())
    parent = tags.get("mlflow.parentRunId")
    return RunRecord(
        dataset=DatasetRef(dataset),
        algorithm=algorithm,
        config=config,
        values=(*finals, *(_curves(client, run) if options.curves else ())),
        status=status,
        run_id=run_id_of(info.run_id),
        seed=seed_of(params),
        started_at=info.start_time / 1000 if info.start_time else None,
        seconds=_seconds(info.start_time, info.end_time),
        error=error,
        parent=run_id_of(parent) if parent else None,
        tags=_tags(tags, experiment, info.run_id),
    )


def _dataset(
    run: Run,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    experiment: str,
    options: MlflowOptions,
) -> tuple[str, str]:
    """Return the dataset's name, and which parameter said it."""
    if options.dataset:
        name = tags.get(options.dataset) or params.get(options.dataset)
        if not name:
            raise InvalidInputError(f"it has no tag or parameter {options.dataset!r}")
        return name.strip(), options.dataset
    inputs = run.inputs.dataset_inputs if run.inputs else []
    if inputs:
        training = [one for one in inputs if any("train" in tag.value for tag in one.tags)]
        name = str((training or inputs)[0].dataset.name)
        # MLflow calls every dataset so that nobody gave a name.
        if name and name != "dataset":
            return name, ""
    name = tags.get("dataset") or params.get("dataset") or experiment
    return name.strip(), "dataset" if "dataset" in params else ""


def _algorithm(
    params: Mapping[str, str], tags: Mapping[str, str], options: MlflowOptions
) -> tuple[str, str]:
    """Return the algorithm's name, and which parameter said it."""
    if options.algorithm:
        return options.algorithm, ""
    if tags.get("estimator_class"):
        parts = parts_of(params)
        own = ",".join(f"{name}={kind}" for name, kind in parts.items() if "__" not in name)
        return public_path(tags["estimator_class"]) + (f"({own})" if own else ""), ""
    for name in _ALGORITHM:
        if tags.get(name) or params.get(name):
            return (tags.get(name) or params[name]).strip(), name if name in params else ""
    raise InvalidInputError(
        "nothing says which algorithm it is of: expected a tag or parameter "
        f"{', '.join(_ALGORITHM)}; name that of all runs with algorithm=... (--algorithm)"
    )


def _curves(client: MlflowClient, run: Run) -> Iterator[MetricValue]:
    """Return the points of metrics that were logged more than once; of one step the last."""
    for name in run.data.metrics:
        if name.startswith(_OF_MACHINE):
            continue
        with reading():
            history = client.get_metric_history(run.info.run_id, name)
        points = {one.step: one.value for one in sorted(history, key=lambda one: one.timestamp)}
        if len(points) < 2:
            continue
        higher = known_direction(name)
        for step, value in sorted(points.items()):
            if math.isfinite(value):
                yield MetricValue(name, float(value), step=int(step), higher_is_better=higher)


def _seconds(start: int | None, end: int | None) -> float | None:
    """Return a duration; None where a clock was set back."""
    return (end - start) / 1000 if start and end and end >= start else None


def _tags(tags: Mapping[str, str], experiment: str, run_id: str) -> dict[str, str]:
    """Return the user's own tags, and where the run comes from."""
    own = {
        name: redact(text)
        for name, text in tags.items()
        if not name.startswith("mlflow.") and not is_secret(name)
    }
    known = {"run_name": tags.get("mlflow.runName"), "commit": tags.get("mlflow.source.git.commit")}
    own |= {name: text for name, text in known.items() if text}
    return {**own, "experiment": experiment, "mlflow_run": run_id}
