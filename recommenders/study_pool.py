"""The pool of a study: past configs, drawn ones, and neighbours of the best so far."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recommenders.encoding import Key
from recommenders.recommender import Candidate
from recommenders.study_space import Offer, StudySpace, distinct, even_text

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

AROUND = 3
"""The pool holds neighbours of so many of the best configs."""

DRAWN = 64
"""Configs drawn from a study's distributions."""

NEIGHBOURS = 24
"""Neighbours drawn around each of the best."""


class StudyPool:
    """What may be tried in a study with these distributions; made again when they change.

    The pool stays the same from trial to trial, but for the neighbours, so that a recommender
    can keep what it worked out for it. `offers` are what it holds, by key.

    Args:
        past: the past configs worth offering.
        used: the distributions that the study has used so far.
        algorithm_param: the study's parameter that says which algorithm; empty for one algorithm.
        seed: fixes what is drawn.
    """

    def __init__(
        self,
        past: Sequence[Key],
        used: Mapping[str, BaseDistribution],
        algorithm_param: str = "",
        seed: int = 0,
    ) -> None:
        self.used = dict(used)
        self.seed = seed
        self.space = StudySpace(past, used, algorithm_param)
        self.offers: Mapping[Key, Offer] = {}
        self._around: tuple[str, ...] | None = None

    @property
    def open(self) -> bool:
        """Whether nothing is known yet of what the study asks for."""
        return not len(self.space.space)

    def surround(self, best: Sequence[Mapping[str, Any]]) -> None:
        """Fill `offers`, with the neighbours of the best params so far among them."""
        around = tuple(sorted(even_text(params) for params in best))
        if around != self._around:
            rng = np.random.default_rng([self.seed & 0xFFFFFFFF, *map(_hash, around)])
            near = [offer for p in best for offer in self.space.near(p, NEIGHBOURS, rng)]
            some = (*self.space.past, *self.space.drawn(DRAWN, self.seed & 0xFFFFFFFF), *near)
            self.offers = {offer.key: offer for offer in distinct(some)}
            self._around = around

    def candidates(self) -> list[Candidate]:
        """Return the configs of the pool as recommenders take them."""
        return [(algorithm, json.loads(text)) for algorithm, text in self.offers]


def _hash(text: str) -> int:
    return zlib.crc32(text.encode())
