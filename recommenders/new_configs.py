"""Configs that nobody ran yet.

Where nobody says what to choose from, an answer lies in the search space that was recorded with
runs (Optuna's distributions, `store.run(..., space=...)`), of which a new config is a random
sample. An algorithm without one has the space that its past configs show
(`metastore.space_inference`): a new config takes its categories, and which hyperparameters it has
at all, from a past one, for not every combination of those runs, and the past ones did. Its
numbers are drawn from their ranges, uniformly on their scales.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from metastore.search_space import SearchSpace
from metastore.space_inference import infer
from metastore.types import Config, canonical_json
from recommenders.encoding import Key

EACH = 64
"""Configs drawn of each algorithm at once."""

TOGETHER = 256
"""Configs drawn at once, of many algorithms fewer of each."""


def new_configs(
    past: Sequence[Key],
    seed: int,
    rounds: int = 1,
    spaces: Mapping[str, SearchSpace] = MappingProxyType({}),
) -> tuple[Key, ...]:
    """Return distinct configs that are not among the past ones, sorted.

    Args:
        past: configs that ran somewhere, distinct.
        seed: fixes what is drawn.
        rounds: how many times to draw; what fewer rounds give is among what more give.
        spaces: by algorithm, where new configs may lie; inferred for those without one.
    """
    by_algorithm: dict[str, list[str]] = {}
    for algorithm, text in sorted(past):
        by_algorithm.setdefault(algorithm, []).append(text)
    each = min(EACH, max(1, TOGETHER // max(1, len(by_algorithm))))
    found: set[Key] = set()
    for number, (algorithm, texts) in enumerate(by_algorithm.items()):
        seeds = [[seed & 0xFFFFFFFF, number, turn] for turn in range(rounds)]
        configs = [json.loads(text) for text in texts]
        if algorithm in spaces:
            drawn = _sampled(spaces[algorithm], configs, each, seeds)
        else:
            drawn = _like_past(configs, each, seeds)
        found |= {(algorithm, canonical_json(config)) for config in drawn}
    return tuple(sorted(found - set(past)))


def _sampled(
    space: SearchSpace, past: Sequence[Config], n: int, seeds: Sequence[Sequence[int]]
) -> list[Config]:
    """Return n random configs of a space for each seed.

    Hyperparameters that it does not speak of, such as a number of threads, are taken from past
    configs that are in it but for those.
    """
    beside = _beside(space, past) or [{}]
    drawn: list[Config] = []
    for seed in seeds:
        like = np.random.default_rng([*seed, 1]).integers(len(beside), size=n).tolist()
        drawn += [one | beside[i] for one, i in zip(space.sample(n, seed), like, strict=True)]
    return drawn


def _beside(space: SearchSpace, past: Sequence[Config]) -> list[dict[str, Any]]:
    """Return what configs have that the space does not speak of, of those in it otherwise."""
    split = [
        ({k: v for k, v in one.items() if k in space}, one.keys() - space.distributions.keys())
        for one in past
    ]
    if not any(names for _, names in split):
        return []
    return [
        {name: one[name] for name in sorted(names)}
        for one, (inside, names) in zip(past, split, strict=True)
        if space.contains(inside)
    ]


def _like_past(configs: Sequence[Config], n: int, seeds: Sequence[Sequence[int]]) -> list[Config]:
    """Return n configs for each seed, past ones with numbers of their own."""
    space = infer(configs)
    columns = _numbers(space)
    drawn: list[Config] = []
    for seed in seeds if columns else ():
        rng = np.random.default_rng(seed)
        like = [configs[i] for i in rng.integers(len(configs), size=n).tolist()]
        vectors = space.encode(like)
        vectors[:, columns] = rng.random((n, len(columns)))
        drawn += space.decode(vectors)
    return drawn


def _numbers(space: SearchSpace) -> list[int]:
    """Return the columns that hold numbers on which no other hyperparameter hangs."""
    parents = {condition.parent for condition in space.conditions.values()}
    return [
        columns.start
        for name, columns in space.columns.items()
        if space.codecs[name].has_number and name not in parents
    ]
