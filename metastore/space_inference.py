"""Infer a search space from recorded configs, where nobody gave one.

What each parameter becomes (`SearchSpace.describe` shows it):

* all integers: an integer range. Any float among the numbers: a float range, or an integer range
  whose values are floats (`whole_floats`) where several numbers are all whole.
* text, booleans, None: a categorical. Lists and dicts: a categorical of their JSON texts.
* two or more numbers and something else (`gamma` in {"scale", 0.1, 0.7}): a range, with the
  rest as alternatives beside it. A single number among categories is a category.
* of more than `MAX_CATEGORIES` categories the most frequent are kept; the note says so.

Log scale: all numbers are positive, the largest is at least `MIN_RATIO` times the smallest,
and the Kolmogorov-Smirnov distance of the values to a uniform distribution is no larger on the
log scale than on the linear one (repeated values count). A zero beside numbers that pass this
with a ratio of `ZERO_RATIO` becomes an alternative to a log range.

Conditions: a parameter that some configs lack is conditional on a discrete parameter if it is
there exactly when that has one of some of its values (each side seen at least twice); of an
integer parent these must be its largest or its smallest values (`units3` if `layers` >= 3). Of
several such parents a categorical goes before an integer, then the one that shares the longest
beginning of the name, then the one that is there most often. A gap that no parent explains makes
the parameter optional.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from metastore.errors import InvalidInputError
from metastore.search_space import Condition, SearchSpace
from metastore.space_columns import Codec, IntArray, is_number, json_text, plain
from metastore.space_scale import FloatArray
from metastore.types import Config

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MAX_CATEGORIES = 100
MIN_RATIO = 10.0
ZERO_RATIO = 100.0
MAX_PARENT_VALUES = 50
MIN_EACH_SIDE = 2
_EXACT = 2.0**53


@dataclass(slots=True)
class _Column:
    """What was recorded of one parameter: values, and the rows of the configs that have it."""

    name: str
    rows: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Guess:
    """What a column of values says about its parameter."""

    distribution: BaseDistribution
    alternatives: tuple[Any, ...] = ()
    structured: bool = False
    whole_floats: bool = False
    note: str = ""


def infer(configs: Iterable[Config], *, name: str = "") -> SearchSpace:
    """Return the smallest space, by the rules above, that holds every recorded config.

    Args:
        configs: recorded configs; 1e5 of 10 parameters take about a second.
        name: what to call the space.

    Raises:
        InvalidInputError: if there is no config, or a number is NaN or infinite.

    >>> print(infer([{"C": 0.1}, {"C": 1.0}, {"C": 10.0}, {"C": 100.0}]).describe())
    parameter  type   values      scale  when  note
    C          float  [0.1, 100]  log          3.0 decades; unevenness 0.12 (linear 0.53)
    """
    columns, n = _columns(configs)
    if not n:
        raise InvalidInputError("infer: expected at least one recorded config, got none")
    guesses = {column.name: _guess(column) for column in columns}
    conditions, optional = _conditions(columns, guesses, n)
    return SearchSpace(
        distributions={key: guess.distribution for key, guess in guesses.items()},
        conditions=conditions,
        alternatives={key: g.alternatives for key, g in guesses.items() if g.alternatives},
        optional=optional,
        structured=frozenset(key for key, guess in guesses.items() if guess.structured),
        whole_floats=frozenset(key for key, guess in guesses.items() if guess.whole_floats),
        name=name,
        notes={key: guess.note for key, guess in guesses.items() if guess.note},
    )


def _columns(configs: Iterable[Config]) -> tuple[list[_Column], int]:
    columns: dict[str, _Column] = {}
    row = -1
    for row, config in enumerate(configs):
        for name, value in config.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = _Column(name)
            column.rows.append(row)
            column.values.append(value)
    return list(columns.values()), row + 1


def _guess(column: _Column) -> _Guess:
    """Apply the rules at the top of this module to one column."""
    kinds = set(map(type, column.values))
    values = column.values
    if not kinds <= {bool, int, float, str, type(None)}:
        values = [plain(value) for value in values]
        kinds = set(map(type, values))
    if kinds <= {int, float}:
        return _numeric(column.name, values, ())
    if not kinds <= {bool, int, float, str, type(None)}:
        choices, note = _categories(column.name, [json_text(value) for value in values])
        return _categorical(choices, note, structured=True)
    numbers = [value for value in values if is_number(value)]
    others, note = _categories(column.name, [v for v in values if not is_number(v)])
    if len(set(numbers)) >= 2:
        return _numeric(column.name, numbers, others)
    return _categorical((*others, *set(numbers)), note)


def _categories(name: str, values: Sequence[Any]) -> tuple[tuple[Any, ...], str]:
    """Return distinct values in a fixed order, and a note where rare ones were left out."""
    counts = Counter((isinstance(value, bool), value) for value in values)
    kept = [value for _, value in counts]
    if len(kept) <= MAX_CATEGORIES:
        return tuple(sorted(kept, key=_category_order)), ""
    common = sorted(counts.items(), key=lambda item: (-item[1], _category_order(item[0][1])))
    kept = [value for (_, value), _ in common[:MAX_CATEGORIES]]
    note = f"the {MAX_CATEGORIES} most frequent of {len(counts):,} categories"
    return tuple(sorted(kept, key=_category_order)), note


def _category_order(value: Any) -> tuple[bool, bool, float, str]:
    """None, then booleans and numbers by size, then text."""
    text = value if isinstance(value, str) else ""
    number = float(value) if isinstance(value, bool | int | float) else 0.0
    return (value is not None, isinstance(value, str), number, text)


def _categorical(choices: tuple[Any, ...], note: str = "", *, structured: bool = False) -> _Guess:
    from optuna.distributions import CategoricalDistribution  # noqa: PLC0415 - light imports

    return _Guess(CategoricalDistribution(choices), structured=structured, note=note)


def _numeric(name: str, numbers: Sequence[float], others: tuple[Any, ...]) -> _Guess:
    """Return the range of a column's numbers, with `others` beside it."""
    from optuna.distributions import FloatDistribution, IntDistribution  # noqa: PLC0415 - light

    array = np.array(numbers, dtype=np.float64)
    if not np.isfinite(array).all():
        raise InvalidInputError(
            f"infer: {name!r} holds NaN or infinity; a recorded number must be finite"
        )
    integer = all(type(number) is int for number in numbers)
    evidence = _Evidence.of(array)
    if evidence.zero:
        others = (0, *others) if integer else (0.0, *others)
        array = array[array > 0]
    low, high = min(array.tolist()), max(array.tolist())
    log, note = evidence.log, evidence.note
    whole = bool((array == np.round(array)).all()) and -_EXACT < low < high < _EXACT
    if integer or whole:
        distribution = IntDistribution(int(low), int(high), log=log)
        return _Guess(distribution, others, whole_floats=not integer, note=note)
    return _Guess(FloatDistribution(low, high, log=log), others, note=note)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Whether numbers look logarithmic, whether a zero stands apart from them, and why."""

    log: bool
    zero: bool = False
    note: str = ""

    @classmethod
    def of(cls, numbers: FloatArray) -> _Evidence:
        """Apply the rule for log scales to `(n,)` finite numbers."""
        positive = numbers[numbers > 0]
        zero = bool((numbers == 0).any())
        if (numbers < 0).any() or not len(positive):
            return cls(log=False)
        ratio = float(positive.max()) / float(positive.min())
        if ratio < (ZERO_RATIO if zero else MIN_RATIO):
            return cls(log=False)
        logarithmic, linear = _unevenness(np.log(positive)), _unevenness(positive)
        if logarithmic > linear:
            return cls(log=False)
        decades = f"{math.log10(ratio):.1f} decades"
        note = f"{decades}; unevenness {logarithmic:.2f} (linear {linear:.2f})"
        return cls(log=True, zero=zero, note=note)


def _unevenness(numbers: FloatArray) -> float:
    """Return the Kolmogorov-Smirnov distance to uniform on `[min, max]`, in [0, 1].

    The empirical distribution takes the middle of its jump at each distinct value, so that an
    even grid has a small distance however few points it has.
    """
    values, counts = np.unique(numbers, return_counts=True)
    below = (np.cumsum(counts) - counts / 2) / len(numbers)
    even = (values - values[0]) / max(values[-1] - values[0], np.finfo(np.float64).tiny)
    return float(np.abs(below - even).max())


@dataclass(frozen=True, slots=True)
class _Parent:
    """A discrete parameter: the code of its value in each of n configs, -1 where absent."""

    name: str
    values: tuple[Any, ...]
    codes: IntArray
    counts: IntArray
    ordered: bool = False

    def explains(self, rows: IntArray) -> tuple[Any, ...]:
        """Return the values that are there exactly in these rows; empty if they do not exist."""
        codes = self.codes[rows]
        if (codes < 0).any():
            return ()
        seen = np.bincount(codes, minlength=len(self.values))
        used = seen > 0
        if used.all() or (seen[used] != self.counts[used]).any():
            return ()
        if self.ordered and np.count_nonzero(np.diff(used)) != 1:
            return ()
        return tuple(value for value, on in zip(self.values, used, strict=True) if on)


def _conditions(
    columns: Sequence[_Column], guesses: dict[str, _Guess], n: int
) -> tuple[dict[str, Condition], frozenset[str]]:
    """Return what explains each parameter's absence, and the names that nothing explains."""
    partial = [column for column in columns if len(column.rows) < n]
    if not partial:
        return {}, frozenset()
    found = (_parent(column, guesses[column.name], n) for column in columns)
    parents = [parent for parent in found if parent is not None]
    conditions: dict[str, Condition] = {}
    for column in partial:
        if min(len(column.rows), n - len(column.rows)) < MIN_EACH_SIDE:
            continue
        rows = np.array(column.rows, dtype=np.int64)
        explained = [(p, p.explains(rows)) for p in parents if p.name != column.name]
        fitting = [(parent, values) for parent, values in explained if values]
        if fitting:
            parent, values = max(
                fitting,
                key=lambda item: (
                    not item[0].ordered,
                    _shared(item[0].name, column.name),
                    int(item[0].counts.sum()),
                ),
            )
            conditions[column.name] = Condition(parent.name, values)
    return conditions, frozenset(c.name for c in partial if c.name not in conditions)


def _shared(a: str, b: str) -> int:
    """Return how many characters two names have in common at their beginning."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def _parent(column: _Column, guess: _Guess, n: int) -> _Parent | None:
    """Return a parameter as a possible parent: a complete categorical or a few integers."""
    from optuna.distributions import CategoricalDistribution, IntDistribution  # noqa: PLC0415

    distribution = guess.distribution
    codec = None
    if isinstance(distribution, CategoricalDistribution):
        codec = Codec(column.name, None, tuple(distribution.choices), guess.structured)
        values, codes = codec.values, codec.parse(column.values).codes
    elif isinstance(distribution, IntDistribution) and not guess.alternatives:
        unique, codes = np.unique(np.array(column.values), return_inverse=True)
        values = tuple(unique.tolist())
    else:
        return None
    if not 2 <= len(values) <= MAX_PARENT_VALUES or (codes < 0).any():
        return None
    everywhere = np.full(n, -1, dtype=np.int64)
    everywhere[column.rows] = codes
    counts = np.bincount(codes, minlength=len(values))
    return _Parent(column.name, values, everywhere, counts, ordered=codec is None)
