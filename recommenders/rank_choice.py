"""Which learned ranking leads: LightGBM's or a small network's, by leaving out past datasets.

Both are learned on past datasets without those of each fold and asked about datasets of that
fold, one of each group of near-duplicates (`recommenders.moved_rows`). The network leads where
its lists of ten have a mean regret that is lower by `AHEAD` standard errors of the difference.
With fewer than `FEWEST_TO_CHOOSE` groups that would be a toss, and LightGBM leads where it is
installed: it is learned faster.

Neither is better everywhere, and two dozen datasets tell little. Chosen by the lower mean alone the
leader was, on the tables of `benchmarks.recommend.zero_shot`, ahead of LightGBM by 1.9 standard
errors at 5 on one and behind it by 2.1 at 10 on another. So LightGBM, which has been measured
longer, keeps the lead in doubt; those tables were known when that was settled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from metastore.errors import InvalidInputError, MissingDependencyError
from metastore.view import FloatArray, IntArray
from recommenders.moved_rows import FIRST, LeftOut, Ranking, RankingModel
from recommenders.rank_model import Lists

AUTO, LIGHTGBM, NETWORK = "auto", "lightgbm", "network"
NEEDS = {LIGHTGBM: "lightgbm", NETWORK: "torch"}
EXTRA = {LIGHTGBM: "rank", NETWORK: "learners"}
CALLED = {LIGHTGBM: "LightGBM", NETWORK: "a network"}
FEWEST_TO_CHOOSE = 12
AHEAD = 1.0
"""Standard errors by which the network must be ahead to lead."""


@dataclass(frozen=True)
class Wanted:
    """What ranks, and how it is learned.

    Args:
        model: "lightgbm", "network", or "auto" for the better one by backtest.
        seed: of what is left to chance.
        iterations: steps of the network; 0 for as many as were found to be enough.
        device: where the network is trained: "cpu", "cuda", "auto" for the latter where it is.
        cache: folder to keep trained networks in; None for none.
        progress: whether to show a progress bar while the network is trained.

    Raises:
        InvalidInputError: if there is no such model, or `iterations` is negative.
    """

    model: str = AUTO
    seed: int = 0
    iterations: int = 0
    device: str = "auto"
    cache: Path | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        if self.model not in (AUTO, *NEEDS):
            raise InvalidInputError(
                f"model: expected 'auto', 'lightgbm' or 'network', got {self.model!r}"
            )
        if self.iterations < 0:
            raise InvalidInputError(f"iterations: expected 0 or more steps, got {self.iterations}")

    def installed(self) -> tuple[str, ...]:
        """Return which of the wanted models can be had here, without importing them.

        Raises:
            MissingDependencyError: if none can.
        """
        wanted = tuple(NEEDS) if self.model == AUTO else (self.model,)
        found = tuple(kind for kind in wanted if find_spec(NEEDS[kind]) is not None)
        if not found:
            packages = " or ".join(f"{NEEDS[kind]} (headstart[{EXTRA[kind]}])" for kind in wanted)
            raise MissingDependencyError(
                f"the recommender 'ranker' needs {packages}; install it with pip install "
                f"'headstart[{EXTRA[wanted[0]]}]', or name another recommender"
            )
        return found

    def models(self, kind: str, lists: Lists, parts: Sequence[IntArray]) -> list[RankingModel]:
        """Return a model for each part of the past datasets.

        Raises:
            MissingDependencyError: if what it needs cannot be imported.
        """
        if kind == LIGHTGBM:
            return [lists.model(rows, self.seed) for rows in parts]
        try:
            from recommenders.rank_network import learn  # noqa: PLC0415 - needs torch
            from recommenders.surrogate_training import Plan  # noqa: PLC0415
        except ImportError as error:
            raise MissingDependencyError(
                f"the network of the recommender 'ranker' needs torch ({error}); install "
                "headstart[learners], or make('ranker', model='lightgbm')"
            ) from error
        plan = Plan(self.iterations, self.seed, self.device, self.cache, self.progress)
        return [learn(lists, rows, plan) for rows in parts]


@dataclass(frozen=True, eq=False)
class Leader:
    """A ranking that leads, by which model, and in words why that one."""

    ranking: Ranking
    model: str
    why: str = ""


def leader(rankings: Mapping[str, Ranking], cases: Sequence[LeftOut], wanted: Wanted) -> Leader:
    """Return the ranking that leads, with its share learned on datasets left out.

    Args:
        rankings: by model.
        cases: datasets left out.
        wanted: what was asked for.
    """
    found = {kind: one.learned(cases) for kind, one in rankings.items()}
    if len(found) > 1:
        ours, theirs = (found[kind][1] for kind in (NETWORK, LIGHTGBM))
        ahead = theirs - ours
        error = float(ahead.std(ddof=1)) / np.sqrt(len(ahead)) if len(ahead) > 1 else np.inf
        best = NETWORK if ahead.sum() > 0 and ahead.mean() > AHEAD * error else LIGHTGBM
        return Leader(found[best][0], best, _compared(best, ours, theirs, error))
    (best,) = found
    why = f"its ranking is by {CALLED[best]}{_alone(wanted)}" if wanted.model == AUTO else ""
    return Leader(found[best][0], best, why)


def _compared(best: str, network: FloatArray, lightgbm: FloatArray, error: float) -> str:
    if not len(network):
        return f"its ranking is by {CALLED[best]}: no past dataset could be left out to compare"
    return (
        f"its ranking is by {CALLED[best]}: on {len(network)} past datasets left out its first "
        f"{FIRST} have a mean regret x100 of {100 * lightgbm.mean():.1f} by LightGBM and "
        f"{100 * network.mean():.1f} by a network (standard error of the difference "
        f"{100 * error:.1f})"
    )


def _alone(wanted: Wanted) -> str:
    found = wanted.installed()
    if len(found) > 1:
        return f"; fewer than {FEWEST_TO_CHOOSE} past datasets do not tell which model is better"
    (missing,) = NEEDS.keys() - set(found)
    return f", for {NEEDS[missing]} is not installed to compare {CALLED[missing]}"
