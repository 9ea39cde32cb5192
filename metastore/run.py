"""A run that is open while it trains."""

from __future__ import annotations

import atexit
import os
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from metastore.errors import HeadstartError, InvalidInputError
from metastore.journal import Journal
from metastore.paths import StorePaths
from metastore.recorder import Recorder
from metastore.records import Storable, integer, text
from metastore.types import MetricValue, RunStatus, uuid7

STORE_VARIABLE = "HEADSTART_STORE"
RUN_VARIABLE = "HEADSTART_RUN"

_current: ContextVar[Run | None] = ContextVar("headstart_run", default=None)


class NotFiniteWarning(UserWarning):
    """A result is NaN or infinite; the run is recorded as failed."""


class Run:
    """Records one run: what it was given at its start, its curves, its results, its end.

    Used as a context manager: an exception marks the run failed with its message and is raised
    on. A metric that was only logged counts with its last value; a run of which nothing but NaN
    or infinite values is left failed.

    Args:
        recorder: where its lines go.
        storable: what is known at its start.
        higher_is_better: direction by metric, for metrics of unfamiliar names.
        after: called once the end is recorded.
    """

    def __init__(
        self,
        recorder: Recorder,
        storable: Storable,
        higher_is_better: Mapping[str, bool] | None = None,
        after: Callable[[], None] | None = None,
    ) -> None:
        record = storable.record
        self.id: UUID = record.run_id or uuid7()
        self._recorder = recorder
        self._record = replace(record, run_id=self.id, status=RunStatus.RUNNING)
        self._config = storable.config
        self._said = _Said(higher_is_better or {})
        self._after = after
        self._pid = os.getpid()
        self._status: RunStatus | None = None
        self._error = ""
        self._clock = time.monotonic()
        self._begun = False
        self._ended = False
        self._token: Token[Run | None] | None = None

    def __enter__(self) -> Self:
        if self._begun:
            raise HeadstartError(
                "this run was begun before, and a run is one evaluation: open another with "
                "`with store.run(...)`"
            )
        self._begun = True
        self._clock = time.monotonic()
        record = replace(self._record, started_at=self._record.started_at or time.time())
        storable = Storable(record, self._config)
        self._recorder.write(lambda: self._recorder.run_lines(storable))
        self._token = _current.set(self)
        return self

    def log(self, step: int | None = None, **metrics: float) -> None:
        """Record points of learning curves, durably; NaN is a value here.

        Args:
            step: epoch, iteration or other count; None goes on by metric after the largest so
                far, from 0.
            metrics: values by name, each in its own direction.

        Raises:
            InvalidInputError: if a value is no number or `step` no integer.
            HeadstartError: if the run was not begun by `with`, or has ended with its block.
        """
        with self._recorder.journal.lock:
            self._check_open()
            self._append(self._said.points(step, metrics))

    def result(self, **metrics: float) -> None:
        """Record final results, durably; of several results of one metric the last counts.

        A NaN or infinite result is recorded as it is and makes the run a failed one, with a
        warning: training is not broken by it.

        Raises:
            InvalidInputError: if a value is no number.
            HeadstartError: if the run was not begun by `with`, or has ended with its block.
        """
        with self._recorder.journal.lock:
            self._check_open()
            values = self._said.finals(metrics)
            self._append(values)
        for value in values:
            if not _finite(value.value):
                self._diverged(value)

    @property
    def has_values(self) -> bool:
        """Whether any value was logged or is a result."""
        return bool(self._said.known())

    def _diverged(self, value: MetricValue) -> None:
        self.failed(f"{value.metric} is {value.value}")
        warnings.warn(
            f"{self._error}: the run is recorded as failed", NotFiniteWarning, stacklevel=3
        )

    def _check_open(self) -> None:
        if not self._begun:
            raise HeadstartError(
                "this run was not begun, so nothing can be recorded of it: train inside "
                "`with store.run(...) as run:`"
            )
        if self._ended:
            raise HeadstartError(
                "this run has ended with its `with` block, so nothing more can be recorded of it: "
                "say results inside the block, or open another run"
            )

    def pruned(self) -> None:
        """Say that the run was stopped early on purpose."""
        self._status = RunStatus.PRUNED

    def timed_out(self) -> None:
        """Say that the run was stopped because it took too long."""
        self._status = RunStatus.TIMEOUT

    def failed(self, error: str | BaseException) -> None:
        """Say that the run failed, and why."""
        self._status, self._error = RunStatus.FAILED, _words(error)

    def interrupted(self, why: str = "") -> None:
        """Say that a person or the machine stopped the run: that says nothing of its config."""
        self._status, self._error = RunStatus.INTERRUPTED, why

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = time.monotonic() - self._clock
        if self._token is not None:
            _current.reset(self._token)
        if os.getpid() != self._pid:
            return  # a forked child leaves the block: the run goes on in its parent
        if error is not None and self._status is None:
            self._ended_by(error)
        with self._recorder.journal.lock:
            if self._status is None:
                last = self._said.left()
                self._append(last)
                if last and not any(_finite(value) for value in self._said.known().values()):
                    self._diverged(last[0])
            status = self._status or RunStatus.COMPLETED
            self._recorder.write(
                lambda: self._recorder.end_line(self.id, status, seconds, self._error)
            )
            self._ended = True
        if self._after is not None and error is None:
            self._after()

    def _ended_by(self, error: BaseException) -> None:
        """Tell failures from pruning and from what was stopped from outside, as by Ctrl-C."""
        if _is_pruning(error):
            self.pruned()
        elif not isinstance(error, Exception | SystemExit):
            self.interrupted(_words(error))
        elif not isinstance(error, SystemExit) or error.code:
            self.failed(error)

    def _append(self, values: list[MetricValue]) -> None:
        if values:
            self._recorder.write(
                lambda: (
                    self._recorder.task_lines(self._record, values)
                    + self._recorder.values_line(self.id, values)
                )
            )

    def environment(self, paths: StorePaths) -> dict[str, str]:
        """Return the variables that let a child process find this run."""
        store = paths.folder if paths.database.parent == paths.folder else paths.database
        return {STORE_VARIABLE: str(store), RUN_VARIABLE: str(self.id)}


class AttachedRun:
    """A run that another process opened and will end: values can be added to it.

    As in `Run`, a metric that was only logged counts with its last value: it is recorded when
    this process ends.

    Args:
        number: the run's id.
        recorder: where its lines go.
    """

    def __init__(self, number: UUID, recorder: Recorder) -> None:
        self.id = number
        self._recorder = recorder
        self._said = _Said({})
        atexit.register(self._finish)

    def log(self, step: int | None = None, **metrics: float) -> None:
        """Record points of learning curves, durably; as `Run.log`."""
        with self._recorder.journal.lock:
            self._write(self._said.points(step, metrics))

    def result(self, **metrics: float) -> None:
        """Record final results, durably."""
        with self._recorder.journal.lock:
            self._write(self._said.finals(metrics))

    def _write(self, values: list[MetricValue]) -> None:
        if values:
            self._recorder.write(lambda: self._recorder.values_line(self.id, values))

    def _finish(self) -> None:
        self._write(self._said.left())


class _Said:
    """What a run has said of each metric so far.

    Args:
        directions: whether larger is better, for metrics of unfamiliar names.
    """

    def __init__(self, directions: Mapping[str, bool]) -> None:
        self._directions = dict(directions)
        self._last: dict[str, float] = {}
        self._results: dict[str, float] = {}
        self._steps: dict[str, int] = {}

    def points(self, step: int | None, metrics: Mapping[str, float]) -> list[MetricValue]:
        """Return points of learning curves; without a step each metric counts from 0."""
        numbers = {name: _number(name, value) for name, value in metrics.items()}
        whole = None if step is None else _step(step)
        self._last |= numbers
        if whole is not None:
            self._steps |= {name: max(whole, self._steps.get(name, -1)) for name in numbers}
        return [
            self._value(name, number, self._next_step(name) if whole is None else whole)
            for name, number in numbers.items()
        ]

    def finals(self, metrics: Mapping[str, float]) -> list[MetricValue]:
        """Return final results."""
        numbers = {name: _number(name, value) for name, value in metrics.items()}
        self._results |= numbers
        return [self._value(name, number) for name, number in numbers.items()]

    def left(self) -> list[MetricValue]:
        """Return the last values of metrics that were logged and never a result."""
        return [
            self._value(name, value)
            for name, value in self._last.items()
            if name not in self._results
        ]

    def known(self) -> dict[str, float]:
        """Return what counts of each metric: its result, or else its last value."""
        return self._last | self._results

    def _value(self, name: str, number: float, step: int | None = None) -> MetricValue:
        return MetricValue(name, number, step, self._directions.get(name))

    def _next_step(self, name: str) -> int:
        self._steps[name] = self._steps.get(name, -1) + 1
        return self._steps[name]


def current_run() -> Run | AttachedRun:
    """Return the run that this code is part of.

    Inside `with store.run(...)` that is its run; in a script under `headstart run` it is the
    run that the command opened.

    Raises:
        HeadstartError: if there is none.
    """
    run = _current.get()
    if run is not None:
        return run
    store, number = os.environ.get(STORE_VARIABLE), os.environ.get(RUN_VARIABLE)
    if store and number:
        return _attached(store, number)
    raise HeadstartError(
        "no run is open here: open one with `with store.run(...)`, or start this script with "
        "`headstart run ... -- python script.py`. A thread that was started inside the block is "
        "handed the run: `with store.run(...) as run`"
    )


def _attached(store: str, number: str) -> AttachedRun:
    key = (store, number, os.getpid())
    if key not in _attachments:
        paths = StorePaths.at(Path(store))
        _attachments[key] = AttachedRun(UUID(number), Recorder(Journal(paths.journals)))
    return _attachments[key]


_attachments: dict[tuple[str, str, int], AttachedRun] = {}


def _is_pruning(error: BaseException) -> bool:
    """Whether this is how an objective tells Optuna that its trial was pruned."""
    return any(
        kind.__name__ == "TrialPruned" and kind.__module__.partition(".")[0] == "optuna"
        for kind in type(error).__mro__
    )


def _number(name: str, value: object) -> float:
    text("metric", name)
    if isinstance(value, str | bytes | bool) or value is None:
        raise InvalidInputError(f"metric {name}: expected a number, got {value!r}")
    if callable(detach := getattr(value, "detach", None)):
        value = detach()  # torch warns where a tensor with a gradient becomes a number
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"metric {name}: expected a number, got {type(value).__name__}"
        ) from error


def _step(step: object) -> int:
    try:
        whole = int(step)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"step: expected an integer, got {step!r}") from error
    if whole != step:
        raise InvalidInputError(f"step: expected an integer, got {step!r}")
    return integer("step", whole) or 0


def _words(error: str | BaseException) -> str:
    if isinstance(error, BaseException):
        error = "".join(traceback.format_exception_only(error)).strip()
    return error[:2000]


def _finite(value: float) -> bool:
    return value - value == 0
