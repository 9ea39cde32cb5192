"""Configs that nobody ran yet: past ones with numbers of their own.

Where nobody says what to choose from, an answer lies in the search space that past configs show
(`metastore.space_inference`). A new config takes its categories, and which hyperparameters it has
at all, from a past one: not every combination of those runs, and the past ones did. Its numbers
are drawn from their ranges, uniformly on their scales.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from metastore.search_space import SearchSpace
from metastore.space_inference import infer
from metastore.types import canonical_json
from recommenders.encoding import Key

EACH = 64
"""Configs drawn of each algorithm at once."""

TOGETHER = 256
"""Configs drawn at once, of many algorithms fewer of each."""


def new_configs(past: Sequence[Key], seed: int, rounds: int = 1) -> tuple[Key, ...]:
    """Return distinct configs that are not among the past ones, sorted.

    Args:
        past: configs that ran somewhere, distinct.
        seed: fixes what is drawn.
        rounds: how many times to draw; what fewer rounds give is among what more give.
    """
    by_algorithm: dict[str, list[str]] = {}
    for algorithm, text in sorted(past):
        by_algorithm.setdefault(algorithm, []).append(text)
    each = min(EACH, max(1, TOGETHER // max(1, len(by_algorithm))))
    found: set[Key] = set()
    for number, (algorithm, texts) in enumerate(by_algorithm.items()):
        found |= {(algorithm, text) for text in _drawn(texts, each, [seed, number], rounds)}
    return tuple(sorted(found - set(past)))


def _drawn(texts: Sequence[str], n: int, seed: Sequence[int], rounds: int) -> set[str]:
    """Return what is drawn of one algorithm in all rounds, as texts."""
    configs = [json.loads(text) for text in texts]
    space = infer(configs)
    columns = _numbers(space)
    if not len(columns):
        return set()
    found: set[str] = set()
    for turn in range(rounds):
        rng = np.random.default_rng([*(part & 0xFFFFFFFF for part in seed), turn])
        like = [configs[i] for i in rng.integers(len(configs), size=n).tolist()]
        vectors = space.encode(like)
        vectors[:, columns] = rng.random((n, len(columns)))
        found |= {canonical_json(config) for config in space.decode(vectors)}
    return found


def _numbers(space: SearchSpace) -> list[int]:
    """Return the columns that hold numbers on which no other hyperparameter hangs."""
    parents = {condition.parent for condition in space.conditions.values()}
    return [
        columns.start
        for name, columns in space.columns.items()
        if space.codecs[name].has_number and name not in parents
    ]
