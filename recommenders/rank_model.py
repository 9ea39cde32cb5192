"""A learned performance model: which configs a dataset with such meta-features ranks first.

Burges, "From RankNet to LambdaRank to LambdaMART: An Overview" (2010), by LightGBM (Ke et al.,
2017): gradient-boosted trees over (encoded config, meta-features), one ranking list a past
dataset, trained on the pairs of each list weighted by what swapping them does to its discounted
cumulative gain. The relevance of a config of rank quantile q on its dataset (0 is the best) is
the whole part of -2 log2 q, so that halving the quantile adds two grades; grade g gains g.

Notation: D datasets, P configs, d columns of an encoded config, F meta-features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metastore.errors import MissingDependencyError
from metastore.view import FloatArray, IntArray
from recommenders.rank_quantiles import rank_quantiles

GRADES = 12
TREES = 120
DECIMALS = 10


@dataclass(frozen=True, eq=False)
class Lists:
    """Past datasets' configs in lists: what to learn a ranking from.

    Args:
        points: `(n_d, d)` encoded configs of each dataset.
        regrets: `(n_d,)` their regrets.
        described: `(D, F)` scaled meta-features, NaN where missing.
    """

    points: Sequence[FloatArray]
    regrets: Sequence[FloatArray]
    described: FloatArray

    def model(self, rows: IntArray, seed: int) -> RankModel:
        """Return the model learned from some of the datasets.

        Raises:
            MissingDependencyError: if LightGBM is not installed.
        """
        lightgbm = required()
        some = rows.tolist()
        inputs = np.concatenate([joined(self.points[i], self.described[i]) for i in some])
        grades = np.concatenate([relevance(self.regrets[i]) for i in some])
        data = lightgbm.Dataset(inputs, grades, group=[len(self.regrets[i]) for i in some])
        return RankModel(lightgbm.train(_options(seed), data, TREES))


@dataclass(frozen=True, eq=False)
class RankModel:
    """A trained model; `booster` is LightGBM's."""

    booster: Any

    def scores(self, points: FloatArray, described: FloatArray) -> FloatArray:
        """Return scores `(D, P)`, the higher the better, of configs `(P, d)` on datasets `(D, F)`.

        They compare the configs of one dataset, not datasets.
        """
        inputs = np.concatenate([joined(points, one) for one in described])
        found = np.asarray(self.booster.predict(inputs, num_threads=1), dtype=np.float64)
        return found.reshape(len(described), len(points)).round(DECIMALS)


def required() -> Any:
    """Return LightGBM.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import lightgbm  # noqa: PLC0415 - optional, and a second to import
    except ImportError as error:
        raise MissingDependencyError(
            f"the recommender 'ranker' needs LightGBM ({error}); install it with pip install "
            "'headstart[rank]', or name another recommender"
        ) from error
    return lightgbm


def relevance(regrets: FloatArray) -> IntArray:
    """Return the grade `(n,)` of each config of a list; equal regrets get the same.

    >>> relevance(np.array([0.0, 0.9, 0.3, 0.3])).tolist()
    [6, 0, 2, 2]
    """
    grades = np.minimum(-2 * np.log2(rank_quantiles(regrets)), GRADES)
    return np.asarray(grades, dtype=np.int64)


def joined(points: FloatArray, described: FloatArray) -> FloatArray:
    """Return inputs `(P, d + F)` of configs `(P, d)` on one dataset `(F,)`."""
    told = np.broadcast_to(described, (len(points), len(described)))
    return np.concatenate([points, told], axis=1)


def _options(seed: int) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "label_gain": list(range(GRADES + 1)),
        "lambdarank_truncation_level": 30,
        "learning_rate": 0.1,
        "num_leaves": 15,
        "min_data_in_leaf": 20,
        "feature_fraction_bynode": 0.5,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "max_bin": 63,
        "seed": seed & 0x7FFFFFFF,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
