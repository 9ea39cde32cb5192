"""Parameter distributions as scikit-learn's searches take them, as a study's distributions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from metastore.errors import InvalidInputError
from metastore.importers.flows import plain_value
from metastore.search_space import SearchSpace
from metastore.space_columns import json_text
from metastore.types import canonical_json

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


_AT_ONCE = 64
"""Configs drawn at a time."""


@dataclass(frozen=True, eq=False)
class Given:
    """What a user lets vary.

    Args:
        distributions: by parameter name.
        meant: by parameter name, the user's objects behind the names that stand for them among
            the choices.
    """

    distributions: Mapping[str, BaseDistribution]
    meant: Mapping[str, Mapping[Any, Any]]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Given:
        """Read lists of values, SciPy distributions and Optuna's own.

        Raises:
            InvalidInputError: if a value is none of these, or a list is empty.

        >>> from scipy.stats import loguniform
        >>> Given.of({"C": loguniform(0.1, 10), "kernel": ["rbf", "linear"]}).distributions
        {'C': FloatDistribution(high=10.0, log=True, low=0.1, step=None), \
'kernel': CategoricalDistribution(choices=('rbf', 'linear'))}
        """
        distributions: dict[str, BaseDistribution] = {}
        meant: dict[str, dict[Any, Any]] = {}
        for name, value in given.items():
            if hasattr(value, "rvs"):
                distributions[name] = _of_scipy(name, value)
            elif hasattr(value, "to_internal_repr"):
                distributions[name] = value
            else:
                distributions[name], meant[name] = _of_values(name, value)
        return cls(distributions, meant)

    def native(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return params with the user's own objects in the place of their names."""
        out = {}
        for name, value in params.items():
            known = self.meant.get(name, {})
            out[name] = known[value] if _simple(value) and value in known else value
        return out


def only_value(distribution: BaseDistribution) -> Any:
    """Return the value of a distribution that has but one.

    >>> from optuna.distributions import CategoricalDistribution, IntDistribution
    >>> only_value(IntDistribution(3, 3)), only_value(CategoricalDistribution(["a"]))
    (3, 'a')
    """
    choices = getattr(distribution, "choices", None)
    return choices[0] if choices is not None else getattr(distribution, "low")  # noqa: B009


def distinct_draws(
    distributions: Mapping[str, BaseDistribution], seed: int
) -> Iterator[dict[str, Any]]:
    """Yield random configs, each once, until there are no more.

    >>> from optuna.distributions import IntDistribution
    >>> sorted(one["n"] for one in distinct_draws({"n": IntDistribution(1, 3)}, 0))
    [1, 2, 3]
    """
    space, seen = SearchSpace(distributions), set[str]()
    size = math.prod(_count(one) for one in distributions.values())
    for number in count():
        if len(seen) >= size:
            return
        for config in space.sample(_AT_ONCE, [seed, number]):
            text = canonical_json(config)
            if text not in seen:
                seen.add(text)
                yield config


def _count(distribution: BaseDistribution) -> float:
    """Return how many values a distribution has."""
    if distribution.single():
        return 1
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return len({json_text(one) for one in choices})
    step = getattr(distribution, "step", None)
    if not step:
        return math.inf
    low, high = (float(getattr(distribution, name)) for name in ("low", "high"))
    return round((high - low) / float(step)) + 1


def _simple(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _of_values(name: str, values: Any) -> tuple[BaseDistribution, dict[Any, Any]]:
    """Return a categorical of a list's values, and what the names among them stand for."""
    from optuna.distributions import CategoricalDistribution  # noqa: PLC0415 - light imports

    try:
        listed = list(values)
    except TypeError as error:
        raise _wrong(name, values) from error
    if isinstance(values, str) or not listed:
        raise _wrong(name, values)
    plain = [(plain_value(value), value) for value in listed]
    labels = [(p if _simple(p) else json_text(p), value) for p, value in plain]
    meant = {label: value for label, value in labels if not _simple(value)}
    return CategoricalDistribution([label for label, _ in labels]), meant


def _of_scipy(name: str, frozen: Any) -> BaseDistribution:
    """Return the range of a frozen SciPy distribution, log where it is log-uniform."""
    from optuna.distributions import FloatDistribution, IntDistribution  # noqa: PLC0415

    low, high = map(float, frozen.support())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InvalidInputError(
            f"param_distributions: {name!r} has no bounds ({low} to {high}); give a bounded "
            "distribution, such as scipy.stats.loguniform(1e-3, 1e3) or randint(1, 100)"
        )
    kind = getattr(getattr(frozen, "dist", None), "name", "")
    if hasattr(frozen, "pmf"):
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=kind in ("loguniform", "reciprocal"))


def _wrong(name: str, value: Any) -> InvalidInputError:
    return InvalidInputError(
        f"param_distributions: {name!r}: expected a list of values, a frozen SciPy distribution "
        f"or one of optuna.distributions, got {value!r}"
    )
