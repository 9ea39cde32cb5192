"""Configs of one or several algorithms as points, where scores are predicted from other configs.

`metastore.search_space` is the one encoder; here it gets the space that the configs themselves
span, and configs of different algorithms are set far apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from metastore.search_space import SearchSpace
from metastore.space_inference import infer
from metastore.view import FloatArray, IntArray

Key = tuple[str, str]
"""An algorithm's name and the canonical JSON of a config of it."""

APART = 3.0
"""Distance between the algorithms' corners; a hyperparameter spans 1."""


@dataclass(frozen=True)
class Encoder:
    """Maps configs to points; inferred from configs alone, never from scores.

    >>> encoder = Encoder.infer([("svm", '{"C":1.0}'), ("svm", '{"C":100.0}')])
    >>> encoder.encode([("svm", '{"C":1.0}'), ("svm", '{"C":100.0}')]).round(1).tolist()
    [[0.1], [1.0]]
    """

    algorithms: tuple[str, ...]
    space: SearchSpace

    @classmethod
    def infer(cls, keys: Iterable[Key]) -> Encoder:
        """Return an encoder of the hyperparameters that these configs have."""
        pairs = list(keys)
        configs = _parsed(pairs)
        space = infer(configs) if configs else SearchSpace({})
        return cls(tuple(sorted({algorithm for algorithm, _ in pairs})), space)

    def encode(self, keys: Iterable[Key]) -> FloatArray:
        """Return the points `(n, d)` of `n` configs; a value never seen lies at the edge."""
        pairs = list(keys)
        points = self.space.encode(_parsed(pairs))
        if len(self.algorithms) < 2:
            return points
        own = np.array([[a == b for b in self.algorithms] for a, _ in pairs], dtype=float)
        return np.concatenate([points, APART * own.reshape(-1, len(self.algorithms))], axis=1)


def carried(
    kept: Iterable[tuple[Key, ...]], keys: tuple[Key, ...]
) -> tuple[tuple[Key, ...], tuple[Key, ...], IntArray]:
    """Return how to put a pool together from one that was worked out before.

    While a dataset is tuned one pool follows another that has most configs in common with it.

    Returns:
        Of the `kept` pools the one that shares most configs with `keys`, empty if none shares
        any; the keys that are not in it; and `(len(keys),)` where each key stands in both, one
        after the other.

    >>> carried([(("a", "1"), ("a", "2"))], (("a", "3"), ("a", "2")))[1:]
    ((('a', '3'),), array([2, 1]))
    """
    wanted = set(keys)
    base = max(kept, key=lambda pool: len(wanted.intersection(pool)), default=())
    if wanted.isdisjoint(base):
        base = ()
    number = {key: i for i, key in enumerate(base)}
    new = tuple(key for key in keys if key not in number)
    number.update((key, len(base) + i) for i, key in enumerate(new))
    return base, new, np.array([number[key] for key in keys], dtype=np.int64)


def _parsed(pairs: list[Key]) -> list[Any]:
    """Return the configs: parsed as one text, which is twice as fast as one by one."""
    parsed: list[Any] = json.loads(f"[{','.join(text for _, text in pairs)}]")
    return parsed
