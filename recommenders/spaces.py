"""The pool of a search space: past configs brought into it, and fresh ones drawn from it.

Past configs come first because their scores are known; what does not fit the space is moved to
its edge or left out (`metastore.space_reconcile`). Drawn configs let an answer go where nobody
went: how they would do is predicted from the runs near them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from metastore.search_space import SearchSpace
from metastore.types import canonical_json
from recommenders.encoding import Key

DRAWN = 100
"""Configs drawn from each algorithm's space."""


def pool_of(spaces: Mapping[str, SearchSpace], past: Iterable[Key], seed: int) -> tuple[Key, ...]:
    """Return the distinct configs to choose from, sorted.

    Args:
        spaces: search space by algorithm; algorithms without one are left out.
        past: configs that ran somewhere.
        seed: fixes what is drawn.
    """
    from metastore.space_inference import infer  # noqa: PLC0415 - only asked-for spaces need it
    from metastore.space_reconcile import reconcile  # noqa: PLC0415

    by_algorithm: dict[str, list[str]] = {}
    for algorithm, text in past:
        by_algorithm.setdefault(algorithm, []).append(text)
    keys: set[Key] = set()
    for algorithm, space in spaces.items():
        configs = [json.loads(text) for text in by_algorithm.get(algorithm, ())]
        kept = list(reconcile(infer(configs), space, configs).kept) if configs else []
        kept += space.sample(DRAWN, seed)
        keys |= {(algorithm, canonical_json(config)) for config in kept}
    return tuple(sorted(keys))
