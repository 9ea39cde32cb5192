"""What a call of a training function says of its run: a config from its arguments, and results."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from metastore.errors import InvalidInputError
from metastore.journal import NotRecordedWarning

LONGEST = 64
"""A list or mapping given by keyword with more values than this is taken for data."""

_SIMPLE = (bool, int, float, str)


def check_can_be_tracked(function: Callable[..., Any]) -> None:
    """Refuse what trains only while somebody iterates over it.

    Raises:
        InvalidInputError: if it is a generator function, or no function at all.
    """
    if not callable(function):
        raise InvalidInputError(
            f"track: expected a function that trains, got {type(function).__name__}"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidInputError(
            f"track: {function.__name__} is a generator, which trains only while somebody "
            "iterates over it: train inside `with store.run(...) as run:`"
        )


def config_of(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the hyperparameters among the arguments of a call, defaults among them, by name.

    Numbers, texts, booleans and None are; so are short lists and mappings of them unless they are
    given by position. Arrays, tables, models and whatever else there is are not: they are data.
    A function or a class given by keyword is left out with a warning, since it may be meant as a
    hyperparameter.
    """
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):  # a builtin without a signature; the call says what is wrong
        return _storable(kwargs, function)
    by_position = set(list(bound.arguments)[: len(args)]) - kwargs.keys()
    bound.apply_defaults()
    kinds = {name: one.kind for name, one in bound.signature.parameters.items()}
    named = dict[str, Any]()
    for name, value in bound.arguments.items():
        if kinds[name] is inspect.Parameter.VAR_KEYWORD:
            named |= value
        elif kinds[name] is inspect.Parameter.VAR_POSITIONAL:
            continue
        elif name not in by_position or _is_simple(_scalar(value)):
            named[name] = value
    return _storable(named, function)


def results_of(outcome: Any, name: str, *, said: bool) -> dict[str, float]:
    """Return the results among what a training function returned.

    The numbers of a mapping, a number as `score`, and of a tuple its only member that is either.

    Args:
        outcome: what it returned.
        name: what the function is called.
        said: whether the run has values already, so that none are missed here.
    """
    members = outcome if isinstance(outcome, tuple) else (outcome,)
    found = [
        {str(key): value for key, value in one.items() if _is_number(value)}
        for one in members
        if isinstance(one, Mapping)
    ]
    if not any(found):
        found = [{"score": one} for one in members if _is_number(one)]
    if len(found) == 1 and found[0]:
        return found[0]
    if outcome is not None and not said:
        warnings.warn(
            f"{name} returned {type(outcome).__name__}, and no result was recorded: expected a "
            "number, a mapping of numbers, or a tuple with one of them; or say "
            "`metastore.current_run().result(accuracy=...)` in it",
            NotRecordedWarning,
            stacklevel=3,
        )
    return {}


def _storable(named: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    config = dict[str, Any]()
    for name, value in named.items():
        plain = _scalar(value)
        if _is_simple(plain):
            config[name] = plain
        elif isinstance(value, list | tuple | Mapping) and 0 <= _count(value) <= LONGEST:
            config[name] = value
        elif inspect.isroutine(value) or inspect.isclass(value):
            warnings.warn(
                f"argument {name!r} of {getattr(function, '__name__', function)} is a "
                f"{'class' if inspect.isclass(value) else 'function'}, which cannot be recorded: "
                "give its name if it is a hyperparameter",
                NotRecordedWarning,
                stacklevel=4,
            )
    return config


def _scalar(value: Any) -> Any:
    """Return a number of NumPy or torch as Python's, and anything else as it is."""
    if not isinstance(value, _SIMPLE) and getattr(value, "shape", None) == ():
        item = getattr(value, "item", None)
        return item() if callable(item) else value
    return value


def _is_simple(value: Any) -> bool:
    return value is None or isinstance(value, _SIMPLE)


def _count(value: Any) -> int:
    """Return how many values a list or mapping holds; less than 0 where some cannot be stored."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            return -1
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return 1 if _is_simple(_scalar(value)) else -1
    counts = [_count(one) for one in value]
    return -1 if min(counts, default=0) < 0 else sum(counts)


def _is_number(value: Any) -> bool:
    plain = _scalar(value)
    return isinstance(plain, int | float) and not isinstance(plain, bool)
