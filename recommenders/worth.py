"""What advice was worth on the user's own data.

On each dataset that was advised, regret is `(best - value) / (best - worst)` over everything that
ended there, a failed run as the worst, as in `recommenders.replay`. The best of the k advised
configs that ran is set against what the best of k configs would be in expectation, drawn at
random from all that ended there, the advised ones among them. That favours chance where most of
what ran was advised, and says nothing where all of it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from metastore.advice import Advised, advised
from metastore.rows import Row, Rows
from metastore.store import MetaStore
from recommenders.heavy_tails import tempered, unbounded
from recommenders.replay import random_regret, regrets


@dataclass(frozen=True, slots=True)
class Worth:
    """What the advice on one dataset and metric was worth.

    Args:
        dataset: the dataset.
        metric: the metric.
        advised: distinct configs that were recommended.
        followed: how many of them ran since.
        tried: distinct configs that ended on the dataset, advised or not.
        best: the best result of all, in the metric's own direction; NaN where there is none.
        best_advised: the best result of an advised config.
        regret: of the best advised config, in [0, 1]; NaN where none ran.
        random: expected regret of the best of as many configs drawn at random.
        intervals: how many of the followed had an 80% interval and a result.
        held: how many of those results lay in it.
    """

    dataset: str
    metric: str
    advised: int
    followed: int
    tried: int
    best: float
    best_advised: float
    regret: float
    random: float
    intervals: int
    held: int

    @property
    def gain(self) -> float:
        """Regret that the advice saved over chance at the same number of runs."""
        return self.random - self.regret

    @property
    def compared(self) -> bool:
        """Whether anything ran beside what was advised, so that regret says something."""
        return self.tried > self.followed > 0


@dataclass(frozen=True, slots=True)
class Report:
    """What the advice was worth, dataset by dataset."""

    worths: tuple[Worth, ...]

    def rows(self) -> Rows:
        """Return one row a dataset and metric, for JSON and CSV."""
        columns = (*Worth.__dataclass_fields__, "gain")
        return Rows(
            columns, ({name: getattr(one, name) for name in columns} for one in self.worths)
        )

    def shown(self) -> list[Row]:
        """Return the rows as people read them, regrets x100."""
        return [
            {
                "dataset": one.dataset,
                "metric": one.metric,
                "followed": f"{one.followed} of {one.advised}",
                "tried": one.tried,
                "best": _number(one.best),
                "best advised": _number(one.best_advised),
                "regret": _hundred(one.regret) if one.compared else "",
                "random": _hundred(one.random) if one.compared else "",
                "in 80% interval": f"{one.held} of {one.intervals}" if one.intervals else "",
            }
            for one in self.worths
        ]

    def summary(self) -> Row:
        """Return the totals; means over the datasets where more ran than what was advised."""
        ran = [one for one in self.worths if one.followed]
        beside = [one for one in ran if one.compared]
        intervals = sum(one.intervals for one in ran)
        return {
            "datasets": len(self.worths),
            "followed_on": len(ran),
            "advised": sum(one.advised for one in self.worths),
            "followed": sum(one.followed for one in self.worths),
            "compared_on": len(beside),
            "regret": _mean([one.regret for one in beside]),
            "random": _mean([one.random for one in beside]),
            "better_than_random": sum(one.gain > 0 for one in beside),
            "worse_than_random": sum(one.gain < 0 for one in beside),
            "intervals": intervals,
            "held": sum(one.held for one in ran) / intervals if intervals else math.nan,
        }

    def words(self) -> str:
        """Return the totals in sentences."""
        if not self.worths:
            return "Nothing was recommended yet; ask with: headstart recommend"
        found = self.summary()
        said = (
            f"{found['followed']} of {found['advised']} recommended configs ran, on "
            f"{found['followed_on']} of {found['datasets']} advised datasets."
        )
        if not found["followed"]:
            return f"{said} Run some with store.run(...), and ask again."
        alone = found["followed_on"] - found["compared_on"]
        if alone:
            where = "there" if not found["compared_on"] else f"on {alone} of these"
            said += f" Nothing else ran {where}, so regret cannot be told."
        if found["compared_on"]:
            where = "" if not alone else f" on the other {found['compared_on']}"
            said += (
                f" The best of them came{where} within {_hundred(found['regret'])} hundredths of "
                "the way from the best to the worst result known; as many random ones of all that "
                f"ran there would have come within {_hundred(found['random'])}. Better than random "
                f"on {found['better_than_random']}, worse on {found['worse_than_random']}."
            )
        if found["intervals"]:
            said += (
                f" {100 * found['held']:.0f}% of {found['intervals']} results lay in their 80% "
                "interval."
            )
        return said


def worth(store: MetaStore, dataset: str = "", metric: str = "") -> Report:
    """Return what the advice was worth.

    Args:
        store: the store.
        dataset: only on this dataset; empty for all.
        metric: only in this metric; empty for all.

    Raises:
        UnknownNameError: if nothing was ever recommended for that dataset or metric.
    """
    return Report(tuple(_worth(one) for one in advised(store, dataset, metric)))


def _worth(one: Advised) -> Worth:
    sign = 1.0 if one.higher_is_better else -1.0
    scores = sign * np.array(list(one.results.values()), dtype=np.float64)
    mine = sign * np.array([f.value for f in one.followed], dtype=np.float64)
    k, fine = len(mine), np.isfinite(scores)
    best_advised = sign * float(np.nanmax(mine)) if np.isfinite(mine).any() else math.nan
    if unbounded(scores[fine], one.higher_is_better):
        least = tempered(scores[fine]).min()
        scores, mine = np.maximum(scores, least), np.maximum(mine, least)
    within = [
        f.low <= f.value <= f.high
        for f in one.followed
        if math.isfinite(f.value) and math.isfinite(f.low)
    ]
    return Worth(
        dataset=one.dataset,
        metric=one.metric,
        advised=one.given,
        followed=k,
        tried=len(scores),
        best=sign * float(scores[fine].max()) if fine.any() else math.nan,
        best_advised=best_advised,
        regret=_regret(scores, mine) if k else math.nan,
        random=float(random_regret(regrets(scores), k)[-1]) if k else math.nan,
        intervals=len(within),
        held=sum(within),
    )


def _regret(scores: np.ndarray[Any, Any], mine: np.ndarray[Any, Any]) -> float:
    """Return the regret of the best of `mine` among `scores`, larger-is-better, NaN failed."""
    reached = regrets(np.concatenate([scores, mine]))[len(scores) :]
    return float(reached.min())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else ""


def _hundred(value: float) -> str:
    return f"{100 * value:.1f}" if math.isfinite(value) else ""
