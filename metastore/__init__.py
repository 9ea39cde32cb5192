"""The store: what was run, on which dataset, with which configuration, and what came of it."""

from metastore.errors import HeadstartError
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
    "MetricValue",
    "Observation",
    "RunRecord",
    "RunStatus",
    "Task",
    "View",
]
