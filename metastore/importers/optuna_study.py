"""Optuna studies as runs: one finished trial, one run.

* COMPLETE is completed, PRUNED pruned, FAIL failed. RUNNING and WAITING trials are left out:
  they become runs when they have ended and the study is imported again.
* Intermediate values are points of a learning curve of the first metric. What Optuna reports
  as the value of a pruned trial is its last intermediate value, so it is only on the curve.
* An objective that returned infinity gave no value: the run is failed, and says so.
* Directions are the study's; the distributions of a trial are its search space.

A run's id is a hash of the dataset's name, the study's name, the trial's number, the moment it
started, and the names of the objectives where they were given: the same trial has the same id in
every storage that keeps that moment whole, and importing twice, or importing what a callback has
already recorded, changes nothing. Under other names of the objectives trials are runs of their
own.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metastore.errors import InvalidInputError
from metastore.importers.flows import plain_config, plain_value
from metastore.journal import NotRecordedWarning
from metastore.records import text
from metastore.search_space import SearchSpace
from metastore.types import DatasetRef, MetricValue, RunRecord, RunStatus, content_id

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_STATUS = {
    "COMPLETE": RunStatus.COMPLETED,
    "PRUNED": RunStatus.PRUNED,
    "FAIL": RunStatus.FAILED,
}


def records(
    study: Study,
    dataset: DatasetRef,
    *,
    algorithm: str,
    metric: str | Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[RunRecord]:
    """Return one run for each finished trial of a study.

    Args:
        study: an Optuna study, from any storage.
        dataset: what its objective trains on.
        algorithm: name of the algorithm, a dotted path where it is an importable class.
        metric: name of the objective, or one name an objective; by default the study's own
            metric names, else `objective` or `objective_0`, `objective_1`, ...
        tags: free text by name, put on every run; simple user attributes of a trial are added.

    Raises:
        InvalidInputError: if it is no study, or the number of names not that of objectives.
    """
    if not hasattr(study, "get_trials"):
        raise InvalidInputError(f"expected an Optuna study, got {type(study).__name__}")
    recorder = _Recorder.of(study, dataset, algorithm, metric, tags)
    return [
        recorder.record(trial)
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name in _STATUS
    ]


def callback(
    append: Callable[[RunRecord], object],
    dataset: DatasetRef,
    *,
    algorithm: str,
    metric: str | Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Callable[[Study, FrozenTrial], None]:
    """Return a callback for `study.optimize(..., callbacks=[...])` that appends each trial's run.

    Optuna calls it after a trial has completed, was pruned, or failed with an exception named
    in `optimize(..., catch=...)`; other exceptions end the study before callbacks are called.
    Threads of `n_jobs` take turns in calling `append`. A trial that cannot be stored costs a
    warning, never the study.

    Args:
        append: takes one finished run, such as a journal's append.
        dataset: as in `records`.
        algorithm: as in `records`.
        metric: as in `records`.
        tags: as in `records`.

    Raises:
        InvalidInputError: if the algorithm has no proper name.
    """
    text("algorithm", algorithm)
    lock = threading.Lock()

    def record(study: Study, trial: FrozenTrial) -> None:
        if trial.state.name in _STATUS:
            run = _Recorder.of(study, dataset, algorithm, metric, tags).record(trial)
            try:
                with lock:
                    append(run)
            except InvalidInputError as error:
                warnings.warn(
                    f"trial {trial.number} was not recorded: {error}",
                    NotRecordedWarning,
                    stacklevel=2,
                )

    return record


@dataclass(frozen=True, slots=True)
class _Recorder:
    """What all trials of a study share."""

    study_name: str
    dataset: DatasetRef
    algorithm: str
    metrics: tuple[tuple[str, bool], ...]
    tags: Mapping[str, str]
    said: tuple[str, ...] = ()
    spaces: dict[tuple[Any, ...], str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        study: Study,
        dataset: DatasetRef,
        algorithm: str,
        metric: str | Sequence[str] | None,
        tags: Mapping[str, str] | None,
    ) -> _Recorder:
        """Read names and directions of the objectives from a study."""
        n = len(study.directions)
        if metric is None:
            names = list(study.metric_names or [])
            names = names or (["objective"] if n == 1 else [f"objective_{i}" for i in range(n)])
        else:
            names = [metric] if isinstance(metric, str) else list(metric)
        if len(names) != n:
            raise InvalidInputError(
                f"study {study.study_name!r} has {n} objectives, but metric names {len(names)}: "
                f"{names}; give one name an objective"
            )
        higher = [direction.name == "MAXIMIZE" for direction in study.directions]
        metrics = tuple(zip(names, higher, strict=True))
        said = () if metric is None else tuple(names)
        return cls(study.study_name, dataset, algorithm, metrics, dict(tags or {}), said)

    def record(self, trial: FrozenTrial) -> RunRecord:
        """Return one finished trial as a run."""
        started = trial.datetime_start
        status = _STATUS[trial.state.name]
        error = "the objective failed; Optuna keeps no message" if status == "failed" else ""
        finals = self._finals(trial)
        if status is RunStatus.COMPLETED and len(finals) < len(self.metrics):
            status, error = RunStatus.FAILED, f"the objective returned {trial.values}"
        moment = started.isoformat() if started else ""
        return RunRecord(
            dataset=self.dataset,
            algorithm=self.algorithm,
            config=plain_config(trial.params),
            values=(*finals, *self._curve(trial)),
            status=status,
            run_id=content_id(
                "optuna", self.dataset.name, self.study_name, str(trial.number), moment, *self.said
            ),
            started_at=started.timestamp() if started else None,
            seconds=_seconds(trial),
            error=error,
            parent=content_id("optuna", self.dataset.name, self.study_name),
            tags={**_simple(trial.user_attrs), "study": self.study_name, **self.tags},
            space=self._space(trial.distributions),
        )

    def _finals(self, trial: FrozenTrial) -> list[MetricValue]:
        if trial.state.name != "COMPLETE":
            return []
        return [
            MetricValue(name, value, higher_is_better=higher)
            for (name, higher), value in zip(self.metrics, trial.values or [], strict=False)
            if math.isfinite(value)
        ]

    def _curve(self, trial: FrozenTrial) -> list[MetricValue]:
        """Return the finite intermediate values, as points of the first metric's curve."""
        name, higher = self.metrics[0]
        return [
            MetricValue(name, value, step=step, higher_is_better=higher)
            for step, value in sorted(trial.intermediate_values.items())
            if math.isfinite(value)
        ]

    def _space(self, distributions: Mapping[str, BaseDistribution]) -> str:
        key = tuple((name, repr(value)) for name, value in distributions.items())
        if key not in self.spaces:
            named = {name: _storable(value) for name, value in distributions.items()}
            space = SearchSpace(named, name=self.algorithm)
            self.spaces[key] = space.to_json() if named else ""
        return self.spaces[key]


def _seconds(trial: FrozenTrial) -> float | None:
    """Return a trial's duration; None where the clock was set back while it ran."""
    if trial.duration is None or trial.duration.total_seconds() < 0:
        return None
    return trial.duration.total_seconds()


def _storable(distribution: BaseDistribution) -> BaseDistribution:
    """Return the distribution with objects among its choices replaced by their names."""
    from optuna.distributions import CategoricalDistribution  # noqa: PLC0415 - light imports

    if not isinstance(distribution, CategoricalDistribution):
        return distribution
    choices = [plain_value(choice) for choice in distribution.choices]
    if choices == list(distribution.choices):
        return distribution
    texts = [c if isinstance(c, str | int | float | None) else str(c) for c in choices]
    return CategoricalDistribution(texts)


def _simple(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes that are text, numbers or booleans, as text."""
    return {
        name: str(value)
        for name, value in attributes.items()
        if isinstance(value, str | int | float | bool)
    }
