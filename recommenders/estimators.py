"""From a stored algorithm's name and config to an unfitted scikit-learn estimator.

Names (`metastore.importers.flows` writes the first and the last):

    sklearn.svm.SVC, sklearn.svm._classes.SVC      a dotted path
    SVC, sklearn.SVC                               a short name among scikit-learn's estimators
    sklearn.pipeline.Pipeline(scale=...,svc=...)   a flow with its parts in brackets

A store may come from somebody else, so only classes inside `ROOTS`, with scikit-learn's
parameters, are ever imported; of functions only those that flows commonly hold, from
`FUNCTION_MODULES`. Nothing is evaluated or unpickled.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from metastore.errors import InvalidInputError, MissingDependencyError
from metastore.types import Config

ROOTS = ("sklearn", "lightgbm", "xgboost", "catboost", "imblearn")
FUNCTION_MODULES = ("sklearn.feature_selection", "sklearn.metrics")
_STEP_LISTS = ("steps", "transformer_list", "estimators")
_NO_ESTIMATOR = ("passthrough", "drop")
_TOKEN = re.compile(r"[^(),=\s]+|[(),=]")


def to_estimator(algorithm: str, config: Config) -> Any:
    """Return an unfitted estimator of a stored algorithm with a config's parameters.

    Lists become tuples where the parameter's default is a tuple (JSON knows no tuples). A value
    that names a flow, such as `{"clf": "sklearn.svm.SVC"}`, becomes that flow.

    Args:
        algorithm: a name, by the grammar above.
        config: parameters by name, `step__parameter` for those of a part.

    Raises:
        InvalidInputError: if the name is not of an allowed class, or a config name is not a
            parameter of it.
        MissingDependencyError: if the package it belongs to is not installed.

    >>> to_estimator("sklearn.svm.SVC", {"C": 3.0, "kernel": "linear"})
    SVC(C=3.0, kernel='linear')
    """
    flow = _Parser(algorithm).parse()
    own = {name: value for name, value in config.items() if "__" not in name}
    estimator = _build(flow, own)
    for name, value in sorted(config.items(), key=lambda item: item[0].count("__")):
        _set(estimator, algorithm, name, value)
    return estimator


@dataclass(frozen=True, slots=True)
class _Flow:
    """A parsed name: a path and the flows of its parts."""

    path: str
    parts: dict[str, _Flow] = field(default_factory=dict)


class _Parser:
    """Reads `path` or `path(name=flow,...)`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _TOKEN.findall(text)

    def parse(self) -> _Flow:
        """Return the whole text as a flow."""
        flow = self._flow()
        if self.tokens:
            raise self._error()
        return flow

    def _flow(self) -> _Flow:
        path = self._word()
        parts: dict[str, _Flow] = {}
        if self.tokens[:1] == ["("]:
            while self._take("(", ","):
                name = self._word()
                self._expect("=")
                parts[name] = self._flow()
            self._expect(")")
        return _Flow(path, parts)

    def _take(self, *options: str) -> bool:
        if self.tokens and self.tokens[0] in options:
            self.tokens.pop(0)
            return True
        return False

    def _word(self) -> str:
        if not self.tokens or self.tokens[0] in "(),=":
            raise self._error()
        word: str = self.tokens.pop(0)
        return word

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._error()

    def _error(self) -> InvalidInputError:
        return InvalidInputError(
            f"algorithm {self.text!r} is not the name of a flow: expected a class such as "
            "sklearn.svm.SVC or sklearn.pipeline.Pipeline(name=class,...)"
        )


def _build(flow: _Flow, config: Mapping[str, Any]) -> Any:
    """Return the flow's estimator, its parts built, other parameters at their defaults."""
    kind = _resolve(flow.path)
    parameters = inspect.signature(kind).parameters
    if "transformers" in parameters:
        raise InvalidInputError(
            f"{flow.path} cannot be rebuilt from its name, which does not hold the columns of "
            "each transformer; build it by hand and use set_params with this config"
        )
    arguments: dict[str, Any] = {}
    steps = []
    for name, part in flow.parts.items():
        built = part.path if part.path in _NO_ESTIMATOR else _build(part, {})
        if name in parameters:
            arguments[name] = built
        else:
            steps.append((name, built))
    if steps:
        holder = next((name for name in _STEP_LISTS if name in parameters), None)
        if holder is None:
            raise InvalidInputError(f"{flow.path} has no part named {steps[0][0]!r}")
        arguments[holder] = steps
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in arguments
    ]
    for name in missing:
        if name not in config:
            raise InvalidInputError(
                f"{flow.path} needs {name!r}, which neither its name nor its config holds"
            )
        arguments[name] = _value(config[name], None)
    return kind(**arguments)


def _set(estimator: Any, algorithm: str, name: str, value: Any) -> None:
    """Set one parameter, or say which ones there are."""
    known = estimator.get_params(deep=True)
    try:
        estimator.set_params(**{name: _value(value, known.get(name))})
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        close = difflib.get_close_matches(name, known, n=3)
        last = [other for other in known if other.rpartition("__")[2] == name.rpartition("__")[2]]
        hint = f"did you mean {', '.join(dict.fromkeys([*last, *close]))}?" if close or last else ""
        raise InvalidInputError(
            f"{algorithm} has no parameter {name!r}; {hint or 'it has ' + ', '.join(known)}"
        ) from error


def parameters(estimator: Any, config: Config) -> dict[str, Any]:
    """Return a config as arguments of an estimator's `set_params`.

    Raises:
        InvalidInputError: if a name is not a parameter of the estimator, or a value names
            something that is not built.

    >>> from sklearn.neural_network import MLPClassifier
    >>> parameters(MLPClassifier(hidden_layer_sizes=(9,)), {"hidden_layer_sizes": [5, 5]})
    {'hidden_layer_sizes': (5, 5)}
    """
    known = estimator.get_params(deep=True)
    for name in config:
        if name not in known:
            raise InvalidInputError(f"{type(estimator).__name__} has no parameter {name!r}")
    return {name: _value(value, known[name]) for name, value in config.items()}


def _value(value: Any, current: Any) -> Any:
    """Return a config's value as the estimator takes it."""
    if isinstance(value, list) and isinstance(current, tuple):
        return tuple(value)
    if isinstance(value, str) and value.split(".")[0] in ROOTS and "." in value:
        module, _, name = value.rpartition(".")
        if module in FUNCTION_MODULES and not name[:1].isupper():
            return _function(module, name)
        return _build(_Parser(value).parse(), {})
    return value


def _function(module: str, name: str) -> Any:
    found = getattr(importlib.import_module(module), name, None)
    if not inspect.isfunction(found):
        raise InvalidInputError(f"{module}.{name} is not a function")
    return found


def _resolve(path: str) -> type:
    """Return the class that a dotted or short name means."""
    root, _, rest = path.partition(".")
    name = path.rpartition(".")[2]
    if rest and root not in ROOTS:
        raise InvalidInputError(
            f"{path!r} is not built: only classes of {', '.join(ROOTS)} are, so that a store "
            "cannot make this process import other code; build it yourself and use set_params"
        )
    found = _import(path) if "." in rest or (rest and root != "sklearn") else None
    if found is None and (not rest or root == "sklearn"):
        found = _sklearn_estimators().get(name)
    inside = getattr(found, "__module__", "").split(".")[0] in ROOTS
    if not (isinstance(found, type) and inside and hasattr(found, "set_params")):
        close = difflib.get_close_matches(name, _sklearn_estimators(), n=3)
        raise InvalidInputError(
            f"{path!r} is not an estimator of {', '.join(ROOTS)}"
            + (f"; did you mean {', '.join(close)}?" if close else "")
        )
    return found


def _import(path: str) -> Any:
    """Return what a dotted path inside `ROOTS` names, None where nothing can be imported."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        root = path.partition(".")[0]
        if error.name == root:
            raise MissingDependencyError(
                f"{path} needs the package {root}, which is not installed: pip install {root}"
            ) from error
        return None


@cache
def _sklearn_estimators() -> dict[str, type]:
    """Every estimator of scikit-learn by its class name."""
    from sklearn.utils import all_estimators  # noqa: PLC0415 - imports all of scikit-learn

    return dict(all_estimators())
