"""The store: what was run, on which dataset, with which configuration, and what came of it."""

from metastore.errors import HeadstartError
from metastore.run import Run, current_run
from metastore.store import MetaStore
from metastore.store import open_store as open
from metastore.types import (
    Config,
    DatasetRef,
    MetricValue,
    Observation,
    RunRecord,
    RunStatus,
    Task,
)
from metastore.view import MetaFeatures, View

__all__ = [
    "Config",
    "DatasetRef",
    "HeadstartError",
    "MetaFeatures",
    "MetaStore",
    "MetricValue",
    "Observation",
    "Run",
    "RunRecord",
    "RunStatus",
    "Task",
    "View",
    "current_run",
    "open",
]
