"""Syne Tune's transfer methods, asked about a pool in ask and tell manner, without its backend.

They propose anywhere in the space, and the nearest config of the pool that was not tried yet is
evaluated. What runs of Syne Tune 0.16.0, and how:

* `BoundingBox` (Perrone et al., 2019) around the best config of every past dataset, with its own
  conformal quantile regression (CQR) or random search inside.
* `QuantileBasedSurrogateSearcher` (Salinas et al., 2020): copula Thompson sampling with XGBoost.
  What it learns depends on the past alone, so it is made once a fold and its draws begin anew
  for every task.
* `ZeroShotTransfer` (Wistuba et al., 2015) assumes that every config ran on every past dataset.
  With `use_surrogates=True` it stops with an AttributeError (it draws from a random state that it
  sets later), and its `suggest` is that of random search. So it gets the pool with the scores that
  an XGBoost model of each past dataset gives, as that option means to, and its `get_config` is
  asked.

`RUSHScheduler` is named by that release but not in it, and needs several fidelities besides.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.recommend.own_tables import Fold, Task
from metastore.search_space import SearchSpace
from metastore.view import FloatArray

METRIC = "loss"
REVISION = 1
"""To be raised when what a peer is told or asked changes: older results then no longer count."""

Ask = Callable[["SynePeer", Task, int], Iterator[dict[str, Any]]]


@dataclass
class SynePeer:
    """A method of Syne Tune.

    Args:
        name: what it is called in tables.
        asked: yields configs for a task and a seed; is sent the loss of each.
        seeded: whether its seed matters.
    """

    name: str
    asked: Callable[[SynePeer, Task, int], Any]
    seeded: bool = True
    transfer: bool = True
    kept: dict[Any, Any] = field(default_factory=dict)
    _fold: Fold | None = None

    @property
    def version(self) -> str:
        return f"syne-tune {version('syne-tune')}, {REVISION}"

    @property
    def fold(self) -> Fold:
        if self._fold is None:
            raise ValueError(f"{self.name}: call fit before run")
        return self._fold

    def fit(self, fold: Fold, seed: int) -> None:
        self._fold, self.kept = fold, {}
        logging.getLogger("syne_tune").setLevel(logging.ERROR)

    def run(self, task: Task, seed: int, budget: int) -> list[int]:
        columns: list[int] = []
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it finds
            dialogue = self.asked(self, task, seed)
            config = next(dialogue)
            while True:
                point = self.fold.space.encode([config])[0]
                columns.append(task.nearest(point, columns))
                if len(columns) == budget:
                    return columns
                config = dialogue.send(-task.score(columns[-1]))

    def evaluations(self) -> dict[str, Any]:
        """Return what ran on the past datasets, as Syne Tune takes it."""
        if "evaluations" not in self.kept:
            self.kept["evaluations"] = {
                name: _evaluations(self.fold.space, configs, -scores)
                for name, (configs, scores) in self.fold.histories.items()
            }
        found: dict[str, Any] = self.kept["evaluations"]
        return found


def domains(space: SearchSpace) -> dict[str, Any]:
    """Return a space in Syne Tune's words."""
    from syne_tune.config_space import (  # type: ignore[import-not-found]  # noqa: PLC0415
        choice,
        lograndint,
        loguniform,
        randint,
        uniform,
    )

    found: dict[str, Any] = {}
    for name, one in space.distributions.items():
        if isinstance(one, CategoricalDistribution):
            found[name] = choice(list(one.choices))
        elif isinstance(one, IntDistribution):
            found[name] = (lograndint if one.log else randint)(one.low, one.high)
        elif isinstance(one, FloatDistribution):
            found[name] = (loguniform if one.log else uniform)(one.low, one.high)
    return found


def _frame(space: SearchSpace, configs: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{name: c[name] for name in space.distributions} for c in configs])


def _evaluations(space: SearchSpace, configs: list[dict[str, Any]], losses: FloatArray) -> Any:
    from syne_tune.optimizer.schedulers.transfer_learning.transfer_learning_task_evaluation import (  # type: ignore[import-not-found]  # noqa: PLC0415
        TransferLearningTaskEvaluations,
    )

    return TransferLearningTaskEvaluations(
        domains(space), _frame(space, configs), [METRIC], losses[:, None, None, None]
    )


def _told(scheduler: Any) -> Any:
    """Yield the suggestions of a scheduler, and tell it the loss of each."""
    from syne_tune.backend.trial_status import Trial  # type: ignore[import-not-found]  # noqa: PLC0415

    number = 0
    while True:
        config = scheduler.suggest().config
        loss = yield config
        trial = Trial(number, config, datetime.datetime.now(datetime.UTC))
        scheduler.on_trial_complete(trial, {METRIC: loss})
        number += 1


def _bounding_box(inside: str) -> Callable[[SynePeer, Task, int], Any]:
    def asked(peer: SynePeer, task: Task, seed: int) -> Any:
        from syne_tune.optimizer import baselines  # type: ignore[import-not-found]  # noqa: PLC0415
        from syne_tune.optimizer.schedulers.transfer_learning.bounding_box import (  # type: ignore[import-not-found]  # noqa: PLC0415
            BoundingBox,
        )

        def make(space: dict[str, Any], metric: str, do_minimize: bool, seed: int) -> Any:
            names: Any = [metric] if inside == "RandomSearch" else metric
            kind = getattr(baselines, inside)
            return kind(space, names, do_minimize=do_minimize, random_seed=seed)

        return _told(
            BoundingBox(
                make,
                domains(peer.fold.space),
                METRIC,
                peer.evaluations(),
                do_minimize=True,
                random_seed=seed,
            )
        )

    return asked


def _quantile(peer: SynePeer, task: Task, seed: int) -> Any:
    from syne_tune.optimizer.schedulers.single_objective_scheduler import (  # type: ignore[import-not-found]  # noqa: PLC0415
        SingleObjectiveScheduler,
    )
    from syne_tune.optimizer.schedulers.transfer_learning.quantile_based.quantile_based_searcher import (  # type: ignore[import-not-found]  # noqa: E501, PLC0415
        QuantileBasedSurrogateSearcher,
    )

    space = domains(peer.fold.space)
    if seed not in peer.kept:
        peer.kept[seed] = QuantileBasedSurrogateSearcher(
            space, peer.evaluations(), random_seed=seed
        )
    searcher = peer.kept[seed]
    salt = np.frombuffer(task.name.encode().ljust(4)[-4:], dtype=np.uint32)[0]
    searcher.random_state = np.random.RandomState([seed, salt])
    return _told(SingleObjectiveScheduler(space, METRIC, searcher=searcher, random_seed=seed))


def _zero_shot(peer: SynePeer, task: Task, seed: int) -> Any:
    from syne_tune.optimizer.schedulers.transfer_learning.zero_shot import (  # type: ignore[import-not-found]  # noqa: PLC0415
        ZeroShotTransfer,
    )

    space = peer.fold.space
    pool = [task.config(c) for c in range(len(task.points))]
    imputed = {
        name: _evaluations(space, pool, model.predict(task.points).astype(np.float64))
        for name, model in _models(peer).items()
    }
    scheduler = ZeroShotTransfer(
        domains(space), METRIC, imputed, sort_transfer_learning_evaluations=False, random_seed=seed
    )

    def dialogue() -> Any:
        while True:
            yield scheduler.get_config()

    return dialogue()


def _models(peer: SynePeer) -> dict[str, Any]:
    """Return an XGBoost model of the ranks of every past dataset's losses, made once a fold."""
    import xgboost  # type: ignore[import-not-found]  # noqa: PLC0415 - not everybody has it

    if "models" not in peer.kept:
        space = peer.fold.space
        peer.kept["models"] = {
            name: xgboost.XGBRegressor(n_jobs=1).fit(space.encode(configs), -scores)
            for name, (configs, scores) in peer.fold.histories.items()
        }
    models: dict[str, Any] = peer.kept["models"]
    return models


SYNE_PEERS = (
    SynePeer("syne tune bounding box + random", _bounding_box("RandomSearch")),
    SynePeer("syne tune bounding box + BORE", _bounding_box("BORE")),
    SynePeer("syne tune quantile (CTS)", _quantile),
    SynePeer("syne tune zero-shot", _zero_shot, seeded=False),
)
