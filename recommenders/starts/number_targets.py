"""Whether what is to be predicted are numbers rather than classes that are called by numbers.

Fractions are numbers. Whole numbers are where most of them came once or twice and they lie as
numbers that were measured lie: far apart where they are few, and where they are many some twice and
some not at all. Codes of classes are close together, and a support set has as many of each, or
has all of them from 0 or 1 on.
"""

from __future__ import annotations

import numbers

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError
from recommenders.starts.support_set import Labels, SupportSet

_FEW = 10
"""So few different whole numbers are classes wherever they lie: 5 of 1000 classes, once each."""

_MANY = 20
"""More than so many that came once or twice are numbers unless they look like codes."""

_APART = 5
"""Numbers lie far apart where their range is so many times as wide as they are many."""


def refuse_numbers(support: SupportSet) -> None:
    """Refuse a support set whose classes are numbers that were measured.

    Raises:
        InvalidInputError: saying how many there are, and what to do where they are classes.
    """
    values = support.values
    if not values or not all(_real(value) for value in values):
        return
    found = np.array([float(value) for value in values])
    if not (_fractions(found) or _measured(found, support.counts, support.kind == "table")):
        return
    if support.kind == "table":
        what, instead = f"the target {support.target!r} holds", "name another column, or cut it"
    else:
        what, instead = "the labels hold", "cut them"
    raise InvalidInputError(
        f"{what} {len(found)} different numbers, and starts predict classes; {instead} into "
        "classes. If these numbers are names of classes, give them as text: labels.astype(str)"
    )


def _real(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)


def _fractions(values: NDArray[np.float64]) -> bool:
    return len(values) > 2 and bool((values != np.round(values)).any())


def _measured(
    values: NDArray[np.float64],
    counts: Labels,
    table: bool,
) -> bool:
    """Whether whole numbers, and how often each came, look measured."""
    distinct, rows = len(values), int(counts.sum())
    if 2 * int((counts <= 2).sum()) <= distinct:
        return False
    width = float(np.ptp(values)) + 1
    if width > _APART * distinct:
        return distinct > _FEW
    if distinct <= _MANY or 3 * distinct <= rows:
        return False
    if table and distinct == rows:  # it numbers the rows
        return True
    whole = width == distinct and values.min() in (0, 1)
    return not (whole or np.ptp(counts) == 0)
