"""Estimators in words: which classes a flow is made of, and which parameters were set.

A flow is named by the public dotted path of its class, with its parts in brackets, as OpenML
names flows:

    sklearn.svm.SVC
    sklearn.pipeline.Pipeline(scale=sklearn.preprocessing.StandardScaler,svc=sklearn.svm.SVC)

`recommenders.estimators.to_estimator` reads these names back. An object inside a config becomes
such a name, so that nothing is pickled and no memory address is stored.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

NOT_HYPERPARAMETERS = frozenset({"random_state", "n_jobs", "verbose", "memory"})
"""Parameters that change how a fit runs, not what is fitted; `random_state` is the run's seed."""

SWITCHED_OFF = frozenset({"passthrough", "drop"})
"""What stands in the place of a step that does nothing."""


def import_path(thing: Any) -> str:
    """Return the shortest dotted path under which a class or function can be imported.

    >>> from sklearn.svm import SVC
    >>> import_path(SVC)
    'sklearn.svm.SVC'
    """
    name: str = getattr(thing, "__qualname__", None) or thing.__name__
    module: str = getattr(thing, "__module__", None) or "builtins"
    parts = module.split(".")
    for length in range(1, len(parts)):
        shorter = ".".join(parts[:length])
        if getattr(importlib.import_module(shorter), name, None) is thing:
            return f"{shorter}.{name}"
    return f"{module}.{name}"


def flow_name(estimator: Any) -> str:
    """Return the name of an estimator with the names of its parts, by the grammar above."""
    parts = ",".join(
        f"{name}={flow_name(part) if is_flow(part) else part or 'passthrough'}"
        for name, part in parts_of(estimator)
    )
    path = import_path(type(estimator))
    return f"{path}({parts})" if parts else path


def is_flow(value: object) -> bool:
    """Whether a value is an estimator, a kernel, or anything else with scikit-learn parameters."""
    return hasattr(value, "get_params") and not isinstance(value, type)


def parts_of(estimator: Any) -> list[tuple[str, Any]]:
    """Return the named parts of an estimator: its steps, and parameters that are flows."""
    flows = [(n, v) for n, v in estimator.get_params(deep=False).items() if is_flow(v)]
    for attribute in ("steps", "transformers", "transformer_list", "estimators"):
        steps = getattr(estimator, attribute, None)
        if isinstance(steps, list) and all(_is_step(step) for step in steps):
            return [(step[0], step[1]) for step in steps] + flows
    return flows


def _is_step(step: object) -> bool:
    return isinstance(step, tuple) and len(step) >= 2 and isinstance(step[0], str)


def settings(estimator: Any, prefix: str = "") -> dict[str, Any]:
    """Return the parameters of a flow that differ from their defaults, as plain values.

    Args:
        estimator: a scikit-learn estimator or anything with `get_params`.
        prefix: stands before each name, as in `svc__`.
    """
    parts = parts_of(estimator)
    names = {name for name, _ in parts}
    defaults = inspect.signature(type(estimator).__init__).parameters
    out = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in NOT_HYPERPARAMETERS or name in names or _holds(value, parts):
            continue
        default = defaults[name].default if name in defaults else None
        if not _same(value, default):
            out[prefix + name] = plain_value(value)
    for name, part in parts:
        if is_flow(part):
            out |= settings(part, f"{prefix}{name}__")
    return out


def _holds(value: Any, parts: Sequence[tuple[str, Any]]) -> bool:
    """Whether a parameter is the list that the steps stand in."""
    if not isinstance(value, list) or not value or not all(_is_step(step) for step in value):
        return False
    return [step[:2] for step in value] == list(parts[: len(value)])


def _same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    if isinstance(value, float) and isinstance(default, float) and math.isnan(value):
        return math.isnan(default)
    return (
        type(value) is type(default)
        and bool(isinstance(value, str | int | float | tuple))
        and (value == default)
    )


def plain_value(value: Any) -> Any:
    """Return a config's value as JSON can hold it: objects by name, NaN and infinities by word.

    >>> from sklearn.svm import SVC
    >>> plain_value([1, float("inf"), SVC(C=3.0), len])
    [1, 'inf', 'sklearn.svm.SVC', 'builtins.len']
    """
    if hasattr(value, "tolist") and type(value).__module__.split(".")[0] == "numpy":
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value
    if isinstance(value, Mapping):
        return {str(key): plain_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset | range):
        entries = [plain_value(entry) for entry in value]
        return sorted(entries, key=str) if isinstance(value, set | frozenset) else entries
    return _object_name(value)


def _object_name(value: Any) -> str:
    """Return a name for what has no JSON form: its own, or that of its class."""
    if is_flow(value):
        return flow_name(value)
    named = hasattr(value, "__qualname__") or hasattr(value, "__name__")
    return import_path(value if named else type(value))


def plain_config(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config whose every value has a JSON form.

    An estimator among the values becomes its name, and the parameters set on it become
    entries of their own: `{"clf": SVC(C=3)}` gives `{"clf": "sklearn.svm.SVC", "clf__C": 3}`.
    Entries given by name win over those.
    """
    out: dict[str, Any] = {}
    for name, value in params.items():
        if is_flow(value):
            out |= settings(value, f"{name}__")
    return out | {name: plain_value(value) for name, value in params.items()}
