"""A search space as JSON and as a table: how `SearchSpace` is written down."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from metastore.errors import InvalidInputError
from metastore.space_columns import Codec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from metastore.search_space import SearchSpace


def dumps(value: object) -> str:
    """Return compact JSON text, keys in the order given.

    Raises:
        InvalidInputError: if a choice is an object, NaN or infinite.
    """
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"search space: a choice cannot be written as JSON ({error}); use finite numbers, "
            "strings, booleans or None, and a name for anything else"
        ) from error


def entries(space: SearchSpace) -> list[dict[str, Any]]:
    """Return one JSON-ready dict a parameter, in the space's order."""
    from optuna.distributions import distribution_to_json  # noqa: PLC0415 - light imports

    out = []
    for name, distribution in space.distributions.items():
        entry: dict[str, Any] = {"name": name}
        entry["distribution"] = json.loads(distribution_to_json(distribution))
        if name in space.conditions:
            condition = space.conditions[name]
            entry["condition"] = [condition.parent, list(condition.values)]
        if name in space.alternatives:
            entry["alternatives"] = list(space.alternatives[name])
        for flag in ("optional", "structured", "whole_floats"):
            if name in getattr(space, flag):
                entry[flag] = True
        out.append(entry)
    return out


def distribution(entry: Mapping[str, Any]) -> BaseDistribution:
    """Return the distribution of one of `entries`."""
    from optuna.distributions import json_to_distribution  # noqa: PLC0415 - light imports

    return json_to_distribution(json.dumps(entry["distribution"]))


@contextmanager
def explained(text: str) -> Iterator[None]:
    """Raise what goes wrong in reading `text` again, as an error that says what was expected."""
    try:
        yield
    except InvalidInputError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidInputError(
            "search space: expected the JSON that SearchSpace.to_json() writes, got "
            f"{str(text)[:80]!r} ({type(error).__name__}: {error})"
        ) from error


def table(space: SearchSpace) -> str:
    """Return a table of the parameters with a head line, columns padded with spaces."""
    rows = [("parameter", "type", "values", "scale", "when", "note")]
    for name, codec in space.codecs.items():
        when = str(space.conditions.get(name, ""))
        if name in space.optional:
            when = f"{when}; optional".lstrip("; ")
        kind, values, grade = _shape(codec)
        if name in space.whole_floats:
            kind, grade = "whole float", grade.removesuffix("step 1").rstrip(", ")
        rows.append((name, kind, values, grade, when, space.notes.get(name, "")))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _shape(codec: Codec) -> tuple[str, str, str]:
    """Return type, values and scale of a parameter as words."""
    choices = ", ".join(repr(value) for value in codec.values)
    if codec.scale is None:
        return ("constant" if len(codec.choices) == 1 else "choice"), choices, ""
    scale = codec.scale
    kind = "int" if scale.integer else "float"
    span = f"[{scale.low:.6g}, {scale.high:.6g}]"
    if scale.constant:
        kind, span = ("constant", repr(scale.low)) if not choices else (kind, repr(scale.low))
    step = f"step {scale.step:g}" if scale.step and (scale.step != 1 or not scale.integer) else ""
    grade = "" if scale.constant else ", ".join(filter(None, ["log" if scale.log else "", step]))
    return kind, f"{span} or {choices}" if choices else span, grade
