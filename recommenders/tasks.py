"""Resolving what is asked about to a name and its meta-features.

A name is one that the view knows: a dataset with runs, with meta-features, or left out of the
view on request. A name that was never seen says nothing about a dataset, and is far more often
misspelled than meant, so it is an error; who means it says `AskedTask(name)`. Only a view that
knows no name at all takes any.
"""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from metastore.errors import InvalidInputError, UnknownNameError
from metastore.view import FloatArray, View
from recommenders.recommender import AskedTask

PAIR = 2


def resolve(task: Any, view: View) -> AskedTask:
    """Return the task that is asked about, with meta-features as `view.meta.names` has them.

    Args:
        task: a dataset's name, an `(X, y)` pair, a `(DataFrame, target)` pair, a DataFrame whose
            `attrs["target"]` or attribute `target` names its target, or an `AskedTask`.
        view: the view that the recommender was fitted on.

    Raises:
        UnknownNameError: if the name is nowhere in the view; it names the nearest ones.
        InvalidInputError: if the task is none of the above.
    """
    if isinstance(task, AskedTask):
        return _checked(task, view)
    if isinstance(task, str):
        return _named(task, view)
    data, target = _data_and_target(task)
    return AskedTask("(given data)", _extracted(data, target, view))


def _named(name: str, view: View) -> AskedTask:
    known = {*view.datasets, *view.meta.datasets, *view.excluded}
    if known and name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=3)
        hint = (
            f"did you mean {' or '.join(map(repr, near))}?" if near else "see `headstart datasets`."
        )
        raise UnknownNameError(
            f"no dataset named {name!r} among {len(known)} in the store; {hint} To ask about a "
            "dataset that was never recorded, pass its data: (X, y), or AskedTask(name) to ask "
            "without"
        )
    return AskedTask(name, view.meta.of(name))


def _checked(task: AskedTask, view: View) -> AskedTask:
    given = task.meta_features
    if given is None:
        return task
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (len(view.meta.names),):
        raise InvalidInputError(
            f"task {task.name!r}: expected {len(view.meta.names)} meta-features, as "
            f"`view.meta.names` lists them, got an array of shape {values.shape}"
        )
    return AskedTask(task.name, values)


def _data_and_target(task: Any) -> tuple[Any, Any]:
    if isinstance(task, tuple) and len(task) == PAIR:
        return task
    target = getattr(task, "attrs", {}).get("target", None)
    if target is None and hasattr(task, "columns") and "target" in task.columns:
        target = "target"
    if target is None:
        raise InvalidInputError(
            "task: expected a dataset's name, (X, y), (DataFrame, target column) or a DataFrame "
            f"with a column named 'target' or attrs['target'], got {type(task).__name__}"
        )
    return task, target


def _extracted(data: Any, target: Any, view: View) -> FloatArray | None:
    if not view.meta.names:
        return None
    # Heavy, and needed for data only: recommending for a stored name must stay light.
    from metastore.metafeatures import extract  # noqa: PLC0415
    from metastore.tabular import as_table  # noqa: PLC0415

    found = {f.name: f.value for f in extract(as_table(data, target))}
    values = [found.get(name) for name in view.meta.names]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
