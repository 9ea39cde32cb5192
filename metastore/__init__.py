"""The store: what was run, on which dataset, with which configuration, and what came of it.

What is named here is imported when it is first asked for, so that a process which needs one part
of the package waits for no other.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_PLACES = {
    "HeadstartError": "errors",
    "MetaFeatures": "view",
    "MetaStore": "store",
    "Run": "run",
    "View": "view",
    "current_run": "run",
    "open": "store",
}


def __getattr__(name: str) -> Any:
    """Import what is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_PLACES.get(name, 'types')}")
    found = getattr(module, "open_store" if name == "open" else name)
    globals()[name] = found
    return found
