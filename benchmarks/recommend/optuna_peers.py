"""Optuna's samplers, random search, and what OptunaHub has of transfer, asked about a pool.

A sampler proposes anywhere in the space, and the nearest config of the pool that was not tried
yet is evaluated. TPE and the Gaussian process are told the config that was evaluated; CMA-ES
must be told its own proposal. Those without a past get the library's default configuration as a
first trial.
"""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, TPESampler
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.recommend.own_tables import Fold, Task

SOURCES = 10
"""Past datasets that OptunaHub's sampler learns from: the nearest ones; it takes each anew."""

REVISION = 1
"""To be raised when what a peer is told or asked changes: older results then no longer count."""

Make = Callable[["OptunaPeer", Task, int], BaseSampler]


@dataclass
class RandomPeer:
    """The default configuration, then any of the pool in random order."""

    name: str = "random"
    transfer: bool = False
    seeded: bool = True
    version: str = "1"

    def fit(self, fold: Fold, seed: int) -> None:
        """There is nothing to learn."""

    def run(self, task: Task, seed: int, budget: int) -> list[int]:
        rng = np.random.default_rng([seed, len(task.name), *task.name.encode()])
        order = rng.permutation(len(task.points)).tolist()
        return [task.default, *(c for c in order if c != task.default)][:budget]


@dataclass
class OptunaPeer:
    """A sampler of Optuna on a study whose trials are configs of the pool.

    Args:
        name: what it is called in tables.
        make: makes the sampler for a task and a seed.
        transfer: whether it learns from past datasets; then it starts without the default.
        own: whether it must be told its own proposals.
    """

    name: str
    make: Make
    transfer: bool = False
    own: bool = False
    seeded: bool = True
    _fold: Fold | None = None
    _studies: dict[str, optuna.Study] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return f"optuna {version('optuna')}, {REVISION}"

    @property
    def fold(self) -> Fold:
        if self._fold is None:
            raise ValueError(f"{self.name}: call fit before run")
        return self._fold

    def fit(self, fold: Fold, seed: int) -> None:
        self._fold, self._studies = fold, {}
        optuna.logging.set_verbosity(optuna.logging.ERROR)

    def run(self, task: Task, seed: int, budget: int) -> list[int]:
        with warnings.catch_warnings():
            # Optuna says of several samplers and options that they are experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(direction="maximize", sampler=self.make(self, task, seed))
            return self._tried(study, task, budget)

    def _tried(self, study: optuna.Study, task: Task, budget: int) -> list[int]:
        space = dict(self.fold.space.distributions)
        columns: list[int] = []
        if not self.transfer:
            columns.append(task.default)
            study.add_trial(self._trial(task.config(task.default), task.score(task.default)))
        while len(columns) < budget:
            trial = study.ask(space)
            point = self.fold.space.encode([trial.params])[0]
            column = task.nearest(point, columns)
            columns.append(column)
            if self.own:
                study.tell(trial, task.score(column))
            else:
                study.tell(trial, state=TrialState.FAIL)
                study.add_trial(self._trial(task.config(column), task.score(column)))
        return columns

    def _trial(
        self, config: dict[str, Any], score: float, numbers_only: bool = False
    ) -> FrozenTrial:
        space: dict[str, BaseDistribution] = dict(self.fold.space.distributions)
        if numbers_only:
            space = {n: d for n, d in space.items() if not isinstance(d, CategoricalDistribution)}
        params = {name: config[name] for name in space}
        return create_trial(params=params, distributions=space, value=score)

    def history(self, name: str, numbers_only: bool = False) -> list[FrozenTrial]:
        """Return what ran on a past dataset as trials; CMA-ES takes numbers only."""
        configs, scores = self.fold.histories[name]
        pairs = zip(configs, scores, strict=True)
        return [self._trial(c, float(s), numbers_only) for c, s in pairs]

    def studies(self, names: Sequence[str]) -> list[optuna.Study]:
        """Return what ran on past datasets as studies."""
        for name in names:
            if name not in self._studies:
                study = optuna.create_study(direction="maximize")
                study.add_trials(self.history(name))
                self._studies[name] = study
        return [self._studies[name] for name in names]


def _tpe(peer: OptunaPeer, task: Task, seed: int) -> BaseSampler:
    return TPESampler(seed=seed)


def _gp(peer: OptunaPeer, task: Task, seed: int) -> BaseSampler:
    return GPSampler(seed=seed)


def _cma(peer: OptunaPeer, task: Task, seed: int) -> BaseSampler:
    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


def _warm_cma(peer: OptunaPeer, task: Task, seed: int) -> BaseSampler:
    past = peer.history(task.near[0], numbers_only=True)
    return CmaEsSampler(seed=seed, warn_independent_sampling=False, source_trials=past)


def _meta_tpe(peer: OptunaPeer, task: Task, seed: int) -> Any:
    import optunahub  # type: ignore[import-not-found]  # noqa: PLC0415 - not everybody has it

    registry = os.environ.get("OPTUNAHUB_REGISTRY", "")
    where = {"registry_root": str(Path(registry) / "package")} if registry else {}
    load = optunahub.load_local_module if registry else optunahub.load_module
    module = load(package="samplers/meta_learn_tpe", **where)
    sampler = module.MetaLearnTPESampler(
        source_studies=peer.studies(task.near[:SOURCES]), seed=seed
    )
    _suit_to_this_optuna(sampler)
    return sampler


def _suit_to_this_optuna(sampler: Any) -> None:
    """Give OptunaHub's sampler, written for Optuna 4.1, what Optuna 5 has changed inside."""
    for own in (sampler._target_sampler, *sampler._source_samplers):
        own._gamma = own._gamma or default_gamma
    if "constraints_enabled" not in inspect.signature(_split_trials).parameters:
        home = sys.modules[type(sampler).__module__]

        def split(study: Any, trials: Any, n_below: int, constraints_enabled: bool) -> Any:
            return _split_trials(study, trials, n_below)

        vars(home)["_split_trials"] = split


PEERS: tuple[RandomPeer | OptunaPeer, ...] = (
    RandomPeer(),
    OptunaPeer("optuna TPE", _tpe),
    OptunaPeer("optuna CMA-ES", _cma, own=True),
    OptunaPeer("optuna GP", _gp),
    OptunaPeer("optuna CMA-ES, warm start", _warm_cma, transfer=True, own=True),
    OptunaPeer("optunahub meta-learn TPE", _meta_tpe, transfer=True),
)
