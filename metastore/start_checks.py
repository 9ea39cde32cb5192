"""What may be said of a start: one check of what is added, imported or trained, and of old rows."""

from __future__ import annotations

import numbers
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from metastore.errors import InvalidInputError
from metastore.starts import KINDS, Accuracy, StartSpec

CHOICES = ("auto", "vote")
"""Words for a choice among all starts: no start can be named so."""

_NAME = re.compile(r"[\w][\w.+-]{0,99}")
_AXES = {"images": 3, "rows": 1}
_LARGEST = sys.float_info.max
_MOST = 10**9

_Spec = TypeVar("_Spec", bound=StartSpec)


def spec_of(name: str, fields: Mapping[str, Any]) -> StartSpec:
    """Return the checked spec of a start from keyword arguments.

    Raises:
        InvalidInputError: if there is no such field, or a value is wrong.
    """
    plain = dict(fields)
    for key in ("trained_on", "accuracies", "input_shape"):
        value = plain.get(key, ())
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            what = "a list of names" if key == "trained_on" else "a list"
            raise InvalidInputError(f"{key}: expected {what}, got {value!r}")
        plain[key] = tuple(value)
    try:
        spec = StartSpec(name, **plain)
    except TypeError as error:
        raise InvalidInputError(f"a start cannot be described so: {error}") from error
    return checked(spec)


def checked(spec: _Spec) -> _Spec:
    """Return what is said of a start, in plain types.

    Raises:
        InvalidInputError: naming the first thing that is wrong, what was expected and what came.
    """
    _check_name(spec.name)
    if spec.kind not in KINDS:
        raise InvalidInputError(f"kind: expected one of {', '.join(KINDS)}, got {spec.kind!r}")
    for field in ("method", "licence", "source"):
        _check_text(field, getattr(spec, field))
    for name in spec.trained_on:
        _check_text("trained_on: a name", name)
    _check_description("learner", spec.learner)
    _check_description("normalisation", spec.normalisation)
    if spec.learner and not isinstance(spec.learner.get("type"), str):
        raise InvalidInputError(
            "learner: expected the description of a learner or a network with its 'type', as "
            f"learners.description.describe(learner) gives it, got {dict(spec.learner)!r:.200}"
        )
    seconds, n_way = spec.seconds, spec.n_way
    return replace(
        spec,
        input_shape=_shape(spec.input_shape),
        n_way=None if n_way is None else _count("n_way", n_way, ", or None for any"),
        accuracies=tuple(map(_accuracy, spec.accuracies)),
        seconds=None if seconds is None else _amount("seconds", seconds, ", or None"),
    )


def fault(spec: StartSpec) -> str:
    """Return why a start cannot be used, whoever let it in; "" where nothing is wrong."""
    try:
        checked(spec)
    except InvalidInputError as error:
        return str(error)
    return ""


def lacking(spec: StartSpec) -> str:
    """Return what was not said of a start without which it cannot be used as it is; "" for nothing.

    The weights are whole all the same: whoever has the module and the shape can use them.
    """
    name, said = spec.name, []
    if not spec.learner:
        said.append(
            "nothing says which network its weights are of: give learner=describe(learner), of "
            "learners.description, or learner={'type': 'Conv4', 'n_out': 0} and the like "
            "(headstart start add --network), or pass your own module whenever it is used: "
            f"finetune(store, support, {name!r}, modules={{{name!r}: module}})"
        )
    if len(spec.input_shape) != _AXES.get(spec.kind, len(spec.input_shape)):
        said.append(
            "nothing says what shape an input has: give input_shape=(1, 28, 28) for grey images "
            "of 28 x 28, or kind='rows', input_shape=(4,) for rows of four columns (headstart "
            "start add --shape)"
        )
    return "; ".join(said)


def accuracies_of(values: Any) -> tuple[Accuracy, ...]:
    """Return accuracies from their JSON values.

    Raises:
        InvalidInputError: if one has other fields.
    """
    try:
        return tuple(Accuracy(**one) for one in values)
    except TypeError as error:
        raise InvalidInputError(
            f"accuracies: expected a list of {_fields()}, got {values!r:.200}"
        ) from error


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"a start's name is 1 to 100 letters, digits, '_', '.', '+' or '-', got {name!r}"
        )
    if name in CHOICES:
        raise InvalidInputError(
            f"no start can be named {name!r}: --start {name} means a choice among all of them"
        )


def _check_text(field: str, value: Any) -> None:
    if not isinstance(value, str):
        raise InvalidInputError(f"{field}: expected text, got {value!r}")


def _check_description(field: str, value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidInputError(
            f"{field}: expected a dict of JSON values by name, got {value!r:.200}"
        )


def _shape(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    if len(sizes) not in (0, 1, 3) or not all(_whole(size, 1) for size in sizes):
        raise InvalidInputError(
            "input_shape: expected (channels, side, side), (columns,) or () for any, in whole "
            f"numbers of 1 or more, got {sizes!r}"
        )
    return tuple(map(int, sizes))


def _accuracy(one: Any) -> Accuracy:
    if not isinstance(one, Accuracy):
        raise InvalidInputError(f"accuracies: expected metastore.starts.{_fields()}, got {one!r}")
    n_way = _count("accuracies: n_way", one.n_way, ", 0 for regression")
    value = _amount("accuracies: value", one.value)
    if n_way and value > 1:
        hint = f": did you mean {value / 100:g}?" if value <= 100 else ""
        raise InvalidInputError(
            f"accuracies: value: expected a share between 0 and 1, got {one.value!r}{hint}"
        )
    return Accuracy(
        n_way,
        _count("accuracies: k_shot", one.k_shot),
        value,
        _amount("accuracies: half_width", one.half_width),
        _count("accuracies: n_episodes", one.n_episodes),
    )


def _fields() -> str:
    return "Accuracy(n_way, k_shot, value, half_width, n_episodes)"


def _count(field: str, value: Any, more: str = "") -> int:
    if not _whole(value, 0):
        raise InvalidInputError(
            f"{field}: expected a whole number of 0 or more{more}, got {value!r}"
        )
    return int(value)


def _whole(value: Any, least: int) -> bool:
    truth = isinstance(value, bool | np.bool_)
    return isinstance(value, numbers.Integral) and not truth and least <= int(value) <= _MOST


def _amount(field: str, value: Any, more: str = "") -> float:
    """Return a number of Python's; one that is whole stays so, since a start's id hangs on it."""
    plain = None
    if isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_):
        plain = int(value) if isinstance(value, numbers.Integral) else float(value)
    if plain is None or not 0 <= plain <= _LARGEST:
        raise InvalidInputError(
            f"{field}: expected a finite number of 0 or more{more}, got {value!r}; NaN and "
            "infinity are no JSON values"
        )
    return plain
