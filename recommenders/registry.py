"""The recommenders by name."""

from __future__ import annotations

import difflib
import inspect
import os
from pathlib import Path
from typing import Any

from metastore.errors import InvalidInputError, UnknownNameError
from recommenders.auto import Auto
from recommenders.best_on_average import BestOnAverage
from recommenders.copula import Copula
from recommenders.deep_kernel import DeepKernelSearch
from recommenders.deep_mixture import DeepMixture
from recommenders.empirical_bayes import EmpiricalBayes
from recommenders.gradient_search import GradientSearch
from recommenders.learned_similarity import LearnedSimilarity
from recommenders.nearest import Nearest
from recommenders.pool_recommender import PoolRecommender
from recommenders.portfolio import Portfolio
from recommenders.random_search import RandomSearch
from recommenders.ranker import Ranker
from recommenders.rgpe import RGPE

_MADE: dict[str, type[PoolRecommender]] = {
    kind.name: kind
    for kind in (
        Auto, BestOnAverage, Copula, DeepKernelSearch, DeepMixture, EmpiricalBayes,
        GradientSearch, LearnedSimilarity, Nearest, Portfolio, RandomSearch, Ranker, RGPE,
    )
}  # fmt: skip


PEERS = frozenset({Copula.name, DeepKernelSearch.name, GradientSearch.name, RGPE.name})
"""Published methods to compare with: dear, so they take part where they are named only."""

KEPT = "learned"
"""Name of the folder, beside a store's journals, of what recommenders learned from it."""

ON_REQUEST = PEERS | {DeepMixture.name, LearnedSimilarity.name, Ranker.name}
"""With those that win on some stores and lose on others: who wants them names them."""


def names() -> tuple[str, ...]:
    """Return the names that `make` knows, in alphabetical order."""
    return tuple(sorted(_MADE))


def usual() -> tuple[str, ...]:
    """Return the names that are compared where nobody names any: all but `ON_REQUEST`."""
    return tuple(name for name in names() if name not in ON_REQUEST)


def make(name: str, *, seed: int = 0, **options: Any) -> PoolRecommender:
    """Return a recommender, not fitted yet.

    Args:
        name: one of `names()`.
        seed: fixes whatever is left to chance.
        options: further arguments of that recommender.

    Raises:
        UnknownNameError: if there is no recommender of that name.
        InvalidInputError: if the recommender does not take an option.
    """
    kind = _MADE.get(name)
    if kind is None:
        near = difflib.get_close_matches(str(name), names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownNameError(
            f"no recommender named {name!r}{hint or ';'} there are: {', '.join(names())}"
        )
    try:
        return kind(seed=seed, **options)
    except TypeError as error:
        raise InvalidInputError(f"recommender {name!r}: {error}") from error


def keeping(name: str, folder: Path) -> dict[str, Path]:
    """Return the option by which a recommender keeps what took long to learn beside a store.

    Args:
        name: the recommender.
        folder: of the store.

    Returns:
        `cache`, a folder in it; nothing for recommenders that learn at once, or where the folder
        cannot be written to.
    """
    kind = _MADE.get(name)
    if kind is None or "cache" not in inspect.signature(kind).parameters:
        return {}
    return {"cache": folder / KEPT} if os.access(folder, os.W_OK) else {}
