"""The store: what was run, on which dataset, with which configuration, and what came of it.

What is named here is imported when it is first asked for, so that a process which needs one part
of the package waits for no other.
"""

from typing import TYPE_CHECKING

from metastore.lazy import lazily

if TYPE_CHECKING:
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

__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(__all__, "types"),
        "HeadstartError": "errors",
        "MetaFeatures": "view",
        "MetaStore": "store",
        "Run": "run",
        "View": "view",
        "current_run": "run",
        "open": "store:open_store",
    },
)
