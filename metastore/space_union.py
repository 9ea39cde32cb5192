"""One space from those of a search's trials, each of which saw one branch of it.

A define-by-run search has no space but that of each trial: one with `kernel=rbf` drew `gamma`, one
with `kernel=poly` drew `degree`, and none drew both. Their union holds every parameter; what a
parameter's absence depends on is inferred from the configs that ran, by the rules of
`metastore.space_inference`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from metastore.search_space import Condition, SearchSpace
from metastore.space_inference import infer
from metastore.types import Config

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def united(spaces: Sequence[SearchSpace], configs: Iterable[Config]) -> SearchSpace:
    """Return the space of everything that the branches of one search could draw.

    Of ranges of one parameter that differ, as where a trial's own values bound them, the widest
    bounds count where scale and step agree; of others the last.

    Args:
        spaces: at least one, the last recorded first.
        configs: what was drawn from them.

    >>> from optuna.distributions import CategoricalDistribution, FloatDistribution
    >>> kernel = CategoricalDistribution(("linear", "rbf"))
    >>> rbf = SearchSpace({"kernel": kernel, "gamma": FloatDistribution(1e-3, 1.0, log=True)})
    >>> ran = [{"kernel": "linear"}, {"kernel": "rbf", "gamma": 0.1}]
    >>> print(united([SearchSpace({"kernel": kernel}), rbf], 2 * ran).describe())
    parameter  type    values           scale  when             note
    kernel     choice  'linear', 'rbf'
    gamma      float   [0.001, 1]       log    kernel is 'rbf'
    """
    distributions: dict[str, BaseDistribution] = {}
    for space in spaces:
        for name, one in space.distributions.items():
            known = distributions.get(name)
            distributions[name] = one if known is None else _widened(known, one)
    conditions, optional = _explained(spaces, set(distributions), list(configs))
    return SearchSpace(
        distributions,
        conditions,
        alternatives={n: values for s in spaces[::-1] for n, values in s.alternatives.items()},
        optional=optional,
        structured=frozenset().union(*(space.structured for space in spaces)),
        whole_floats=frozenset().union(*(space.whole_floats for space in spaces)),
        name=spaces[0].name,
        notes={name: note for s in spaces[::-1] for name, note in s.notes.items()},
    )


def _widened(last: BaseDistribution, earlier: BaseDistribution) -> BaseDistribution:
    """Return the range with the bounds of both, where both are ranges of one kind."""
    from optuna.distributions import FloatDistribution, IntDistribution  # noqa: PLC0415 - light

    if (getattr(last, "log", None), getattr(last, "step", None)) != (
        getattr(earlier, "log", None),
        getattr(earlier, "step", None),
    ):
        return last
    if isinstance(last, FloatDistribution) and isinstance(earlier, FloatDistribution):
        low, high = min(last.low, earlier.low), max(last.high, earlier.high)
        return FloatDistribution(low, high, log=last.log, step=last.step)
    if isinstance(last, IntDistribution) and isinstance(earlier, IntDistribution):
        low, high = min(last.low, earlier.low), max(last.high, earlier.high)
        return IntDistribution(int(low), int(high), log=last.log, step=last.step)
    return last


def _explained(
    spaces: Sequence[SearchSpace], names: set[str], configs: list[Config]
) -> tuple[dict[str, Condition], frozenset[str]]:
    """Return what explains that some of the spaces lack a parameter, and what nothing explains."""
    conditions = {name: one for s in spaces[::-1] for name, one in s.conditions.items()}
    optional = frozenset().union(*(space.optional for space in spaces))
    partial = {name for name in names if any(name not in space for space in spaces)}
    inferred = infer(configs).conditions if partial and configs else {}
    for name in partial - conditions.keys():
        found = inferred.get(name)
        if found is not None and found.parent in names:
            conditions[name] = found
        else:
            optional |= {name}
    return conditions, optional
