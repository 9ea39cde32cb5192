"""One hyperparameter as columns of numbers, and back.

Layout of a parameter's block, each part only where it is needed, all in [0, 1]:

    [number] [one column a choice] [active]

* *number*: the value on its scale. Without a step, 0 is `low` and 1 is `high`. On a grid
  (integers, steps) every grid point owns a bin of the same width, so 0 is half a step below
  `low` and 1 half a step above `high`: uniform columns then draw grid points uniformly.
  A value outside the bounds takes the nearest bound. No value: `MIDDLE`.
* *choices*: one-hot. A value that is none of the choices has zeros throughout ("other").
* *active*: 1 where the parameter has a value, 0 where it is absent or inactive.

A constant (one number or one choice) has no column of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError
from metastore.space_scale import MIDDLE, FloatArray, Scale
from metastore.types import canonical_json

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "absent"})()
"""Stands in a column of values for a config that does not have the parameter."""


def json_text(value: object) -> str:
    """Return the canonical JSON text of one value; lists and tuples read alike."""
    return canonical_json({"": value})[4:-1]


def plain(value: Any) -> Any:
    """Return a NumPy scalar as the Python value it holds, anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def is_number(value: object) -> bool:
    """Whether a value is an integer or a float; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """A column of values, told apart: `numbers` NaN, `codes` -1 where it is not one."""

    numbers: FloatArray
    codes: IntArray
    present: BoolArray


@dataclass(frozen=True, eq=False)
class Codec:
    """Turns values of one parameter into a block of columns and back.

    Args:
        name: the parameter's name.
        scale: range of its numbers, None for a purely categorical parameter.
        choices: categories, or values beside the numbers (such as `"scale"` for `gamma`).
        structured: whether choices are the JSON texts of the values (lists, dicts).
        flagged: whether the parameter can be absent and so has an `active` column.
    """

    name: str
    scale: Scale | None
    choices: tuple[Any, ...] = ()
    structured: bool = False
    flagged: bool = False

    @cached_property
    def values(self) -> tuple[Any, ...]:
        """The choices as values of a config."""
        return tuple(json.loads(c) for c in self.choices) if self.structured else self.choices

    @cached_property
    def _index(self) -> tuple[dict[Hashable, int], dict[Hashable, int]]:
        """Choices to codes: others, then booleans, since True == 1 for a dict."""
        others: dict[Hashable, int] = {}
        booleans: dict[Hashable, int] = {}
        for code, choice in enumerate(self.choices):
            (booleans if isinstance(choice, bool) else others).setdefault(choice, code)
        return others, booleans

    @property
    def has_number(self) -> bool:
        """Whether the block has a column for the number."""
        return self.scale is not None and not self.scale.constant

    @property
    def shown(self) -> tuple[Any, ...]:
        """The choices that have a column: none for a constant."""
        return () if self.scale is None and len(self.choices) == 1 else self.choices

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the block's columns."""
        names = [self.name] if self.has_number else []
        names += [f"{self.name}={c if isinstance(c, str) else repr(c)}" for c in self.shown]
        return (*names, f"{self.name}:active") if self.flagged else tuple(names)

    @property
    def width(self) -> int:
        """How many columns the block has."""
        return self.has_number + len(self.shown) + self.flagged

    def code(self, value: Any) -> int:
        """Return the index of a value among the choices, -1 if it is none of them."""
        value = json_text(value) if self.structured else plain(value)
        others, booleans = self._index
        try:
            return (booleans if isinstance(value, bool) else others).get(value, -1)
        except TypeError:  # a list or dict where none was ever seen
            return -1

    def parse(self, values: Sequence[Any]) -> Parsed:
        """Tell numbers, choices and absent values of a column apart.

        Args:
            values: n values, `ABSENT` where the config does not have the parameter.
        """
        n = len(values)
        present = np.fromiter((value is not ABSENT for value in values), bool, n)
        if not present.all():
            return self._parse_sparse(values, present)
        kinds = set(map(type, values))
        codes = np.full(n, -1, dtype=np.int64)
        if self.choices:
            codes = np.fromiter(self._codes(values, kinds), np.int64, n)
        numbers = np.full(n, np.nan)
        if self.scale is not None:
            numbers = _numbers(values, kinds)
            numbers[codes >= 0] = np.nan
        return Parsed(numbers, codes, present)

    def _parse_sparse(self, values: Sequence[Any], present: BoolArray) -> Parsed:
        """Parse what is there and put it back in its place."""
        rows = np.flatnonzero(present)
        dense = self.parse([values[row] for row in rows.tolist()])
        numbers = np.full(len(values), np.nan)
        codes = np.full(len(values), -1, dtype=np.int64)
        numbers[rows], codes[rows] = dense.numbers, dense.codes
        return Parsed(numbers, codes, present)

    def _codes(self, values: Sequence[Any], kinds: set[type]) -> Iterable[int]:
        if not self.structured and kinds <= {str, int, float, type(None)}:
            get = self._index[0].get
            return (get(value, -1) for value in values)
        if not self.structured and kinds <= {bool}:
            get = self._index[1].get
            return (get(value, -1) for value in values)
        return (self.code(value) for value in values)

    def among(self, parsed: Parsed, values: Sequence[Any]) -> BoolArray:
        """Return `(n,)`: whether each value of a column is one of `values`."""
        codes = {self.code(value) for value in values} - {-1}
        numbers = [float(v) for v in values if is_number(v) and self.code(v) < 0]
        return np.isin(parsed.codes, list(codes)) | np.isin(parsed.numbers, numbers)

    def encode(self, parsed: Parsed, active: BoolArray) -> FloatArray:
        """Return the block `(n, width)` of a parsed column."""
        block = np.zeros((len(active), self.width))
        if self.scale is not None and self.has_number:
            block[:, 0] = np.where(active, self.scale.to_unit(parsed.numbers), MIDDLE)
        if self.shown:
            hot = np.flatnonzero(active & (parsed.codes >= 0))
            block[hot, self.has_number + parsed.codes[hot]] = 1.0
        if self.flagged:
            block[:, -1] = active
        return block

    def decode(self, block: FloatArray) -> Parsed:
        """Return numbers and choices of a block; `present` is its `active` column.

        A categorical takes the largest column (the first of equals). Beside numbers, a choice
        needs a column of at least 0.5.
        """
        n = len(block)
        present = block[:, -1] >= 0.5 if self.flagged else np.ones(n, dtype=bool)
        hot = block[:, self.has_number : self.has_number + len(self.shown)]
        if self.scale is None:
            codes = hot.argmax(axis=1) if self.shown else np.zeros(n, dtype=np.int64)
            return Parsed(np.full(n, np.nan), codes.astype(np.int64), present)
        numbers = np.full(n, float(self.scale.low))
        if self.has_number:
            numbers = self.scale.from_unit(block[:, 0])
        codes = np.full(n, -1, dtype=np.int64)
        if self.shown:
            codes = np.where(hot.max(axis=1) >= 0.5, hot.argmax(axis=1), -1)
            numbers[codes >= 0] = np.nan
        return Parsed(numbers, codes, present)

    def to_values(self, parsed: Parsed) -> list[Any]:
        """Return a decoded column as values of a config."""
        integer = self.scale is not None and self.scale.integer
        rows = zip(parsed.numbers.tolist(), parsed.codes.tolist(), strict=True)
        return [
            self.values[code] if code >= 0 else (int(number) if integer else number)
            for number, code in rows
        ]

    def sample(self, rng: np.random.Generator, n: int) -> FloatArray:
        """Return a random block `(n, width)`: numbers uniform, choices equally likely."""
        block = np.zeros((n, self.width))
        if self.has_number:
            block[:, 0] = rng.random(n)
        if self.shown:
            beside = self.scale is not None
            pick = rng.integers(len(self.shown) + beside, size=n) - beside
            hot = np.flatnonzero(pick >= 0)
            block[hot, self.has_number + pick[hot]] = 1.0
            if self.has_number:
                block[hot, 0] = MIDDLE
        if self.flagged:
            block[:, -1] = rng.integers(2, size=n)
        return block

    def nearest(self, number: float) -> Any:
        """Return the value of the range nearest to a number, of the type that configs have.

        Raises:
            InvalidInputError: if the parameter has no range.
        """
        if self.scale is None:
            raise InvalidInputError(f"{self.name!r} is categorical: no value is near {number!r}")
        nearest = float(self.scale.snap(np.array([_number(number)]))[0])
        return int(nearest) if self.scale.integer else nearest

    def why_not(self, value: Any) -> str:
        """Say why a value does not belong to the parameter, in words; empty if it does."""
        value = plain(value)
        if self.code(value) >= 0:
            return ""
        if self.scale is None:
            return f"{value!r} is none of {_listing(self.values)}"
        if not is_number(value):
            beside = f" or one of {_listing(self.values)}" if self.choices else ""
            return f"{value!r} is not a number{beside}"
        return self.scale.why_not(value)


def _numbers(values: Sequence[Any], kinds: set[type]) -> FloatArray:
    """Return `(n,)`: the integers and floats of a column, NaN for everything else."""
    if kinds <= {int, float}:
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:  # an integer beyond every float
            pass
    return np.fromiter((_number(plain(v)) for v in values), np.float64, len(values))


def _number(value: Any) -> float:
    if not is_number(value):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _listing(values: Sequence[Any]) -> str:
    """Return a few values as text, and how many more there are."""
    text = ", ".join(repr(v) for v in values[:6])
    return f"{text}, ... ({len(values)} in all)" if len(values) > 6 else text
