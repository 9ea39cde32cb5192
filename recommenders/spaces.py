"""The pool of a search space: past configs brought into it, and fresh ones drawn from it.

Past configs come first because their scores are known; what does not fit the space is moved to
its edge or left out (`metastore.space_reconcile`), and the pool says which and why. Drawn configs
let an answer go where nobody went: how they would do is predicted from the runs near them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from metastore.search_space import SearchSpace
from metastore.space_reconcile import Reconciliation, reconcile
from metastore.types import canonical_json
from recommenders.encoding import Key

DRAWN = 100
"""Configs drawn from each algorithm's space."""


@dataclass(frozen=True)
class SpacePool:
    """Configs to choose from, and what bringing past ones into the space took.

    Args:
        keys: distinct configs, sorted.
        reconciled: by algorithm, which past configs fit, were changed or dropped, and why.
        moved: why a config that nobody ran is there: a past one was changed to it.
    """

    keys: tuple[Key, ...]
    reconciled: Mapping[str, Reconciliation]
    moved: Mapping[Key, str]


def pool_of(spaces: Mapping[str, SearchSpace], past: Iterable[Key], seed: int) -> SpacePool:
    """Return the distinct configs to choose from.

    Args:
        spaces: search space by algorithm; algorithms without one are left out.
        past: configs that ran somewhere.
        seed: fixes what is drawn.
    """
    from metastore.space_inference import infer  # noqa: PLC0415 - only asked-for spaces need it

    by_algorithm: dict[str, list[str]] = {}
    for algorithm, text in past:
        by_algorithm.setdefault(algorithm, []).append(text)
    keys: set[Key] = set()
    reconciled: dict[str, Reconciliation] = {}
    moved: dict[Key, str] = {}
    for algorithm, space in spaces.items():
        configs = [json.loads(text) for text in by_algorithm.get(algorithm, ())]
        kept: list[Key] = []
        if configs:
            found = reconcile(infer(configs), space, configs)
            reconciled[algorithm] = found
            kept = [(algorithm, canonical_json(config)) for config in found.kept]
            place = dict(zip(found.kept_index, kept, strict=True))
            moved |= {place[index]: reason for index, reason in found.projected}
        drawn = [(algorithm, canonical_json(config)) for config in space.sample(DRAWN, seed)]
        keys |= {*kept, *drawn}
        for text in by_algorithm.get(algorithm, ()):
            moved.pop((algorithm, text), None)
    return SpacePool(tuple(sorted(keys)), reconciled, moved)
