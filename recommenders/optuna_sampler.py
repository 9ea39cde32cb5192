"""An Optuna sampler that starts from past runs and learns from each trial.

    sampler = HeadstartSampler(store, (X, y), algorithm="sklearn.svm.SVC", metric="accuracy")
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, 30, callbacks=[store.optuna_callback(...)])

Before a trial the recommender is asked with what the study has observed so far. It chooses among

* past configs, brought into the study's distributions (`metastore.space_reconcile`);
* configs drawn from those distributions;
* once trials have ended, configs around the best of them.

From the eleventh trial on every second one is Optuna's TPE's, which learns from all of them: the
past tells where to begin, and on a new dataset may be wrong about where to end. A suggestion of
TPE's that is likely to fail, by which trials did, is left alone.

Names and types are those of the study as they come. Nothing is known of them before the first
trial: it follows a past config, parameter by parameter, as far as each value fits what is asked
for. Later trials know every distribution that the study has used. What the store never heard of,
and what fits nowhere, is left to Optuna's TPE, and so is everything while the store is empty.

Needs Optuna 4.5 or newer. Multi-objective studies are refused.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from metastore.errors import InvalidInputError
from metastore.importers.flows import plain_config
from metastore.journal import NotRecordedWarning
from metastore.space_columns import ABSENT
from metastore.store import MetaStore
from metastore.types import canonical_json
from recommenders.advisor import Advisor, Topic
from recommenders.enqueueing import ATTRIBUTE, as_attribute
from recommenders.recommender import Recommendation
from recommenders.search_distributions import only_value
from recommenders.study_advice import StudyAdvice
from recommenders.study_pool import StudyPool
from recommenders.study_trials import claim

OPEN = 16
"""Past configs at hand for a first trial that does not know yet what will be asked for."""

ATTEMPTS = 8
"""How often a trial gives way to others that claim the same config."""

TOO_RISKY = 0.5
"""How likely to fail TPE's own suggestion may be."""

ALONE = 10
"""After so many ended trials TPE has every second turn; it is also what TPE needs to begin."""


class HeadstartSampler(BaseSampler):
    """Samples what past runs and the study's own trials speak for.

    Args:
        store: past runs. They are read once, here.
        dataset: what the objective trains on: a stored name, cells such as `(X, y)`, or what
            `store.dataset` returned. Its runs in the store, and only its own, count as
            observed; near-duplicates are left out.
        metric: the metric that the objective returns, as the store calls it.
        target: name of the target column, or the target values.
        algorithm: the algorithm that the objective trains, as the store calls it; may be left
            out where the store has one.
        algorithm_param: the study's categorical parameter that says which algorithm, where the
            study chooses among several; its choices are the store's names or the last part of
            them (`SVC` for `sklearn.svm.SVC`).
        recommender: one of `recommenders.names()`.
        seed: fixes whatever is left to chance.
        constraints_func: as in Optuna's `TPESampler`; a trial with a value above 0 is observed
            as a failed run. Optuna 5 prefers `trial.set_constraint`, which works as well.
        per_second: whether time counts, and not trials: each trial is then the one that is
            expected to gain most a second, by past durations and those of the study's own
            trials. Every trial is chosen so, none is left to TPE.
        record: whether to record what was advised, for `headstart report`. Runs are recorded by
            `store.optuna_callback`.

    Raises:
        UnknownNameError: if the store has runs, but not the dataset, metric or algorithm.
        InvalidInputError: if it is not clear which algorithm is meant.
    """

    def __init__(  # noqa: PLR0913 - a sampler's options are its parameters
        self,
        store: MetaStore,
        dataset: Any,
        *,
        metric: str,
        target: Any = None,
        algorithm: str | None = None,
        algorithm_param: str = "",
        recommender: str = "auto",
        seed: int | None = None,
        constraints_func: Callable[[FrozenTrial], Sequence[float]] | None = None,
        per_second: bool = False,
        record: bool = True,
    ) -> None:
        self._store, self._record = store, record
        topic = Topic(dataset, metric, target, algorithm, recommender, seed or 0)
        self._advice = StudyAdvice(Advisor.of(store, topic), algorithm_param, per_second)
        options: dict[str, Any] = {}
        if constraints_func is not None:
            options["constraints_func"] = constraints_func
        self._tpe = TPESampler(seed=seed, **options)
        self._plans: dict[tuple[int, int], list[Recommendation]] = {}
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_plans": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def reseed_rng(self) -> None:
        """Reseed what is left to TPE; the rest depends on the seed and the trials alone."""
        self._tpe.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return every distribution that the study used so far, as far as the store knows it.

        Raises:
            InvalidInputError: if the study has several objectives or the other direction.
        """
        self._check(study)
        with self._lock:
            if self._advice.view is None:
                return self._tpe.infer_relative_search_space(study, trial)
            known = self._advice.pool(_distributions(_trials(study))).space.space.distributions
        return {name: d for name, d in known.items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values of the config that the recommender chose.

        What the config does not set is sampled independently afterwards.

        Raises:
            InvalidInputError: if the study has several objectives or the other direction.
        """
        self._check(study)
        with self._lock:
            if self._advice.view is None:
                return self._tpe.sample_relative(study, trial, search_space)
            if "fixed_params" in trial.system_attrs:
                return {}
            used = {**_distributions(_trials(study)), **search_space}
            params = self._planned(study, trial, self._advice.pool(used))
        if not params:  # everything was tried
            independent = self._tpe.sample_independent
            return {n: independent(study, trial, n, d) for n, d in search_space.items()}
        return {name: value for name, value in params.items() if name in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return what the chosen config sets the parameter to, or else what TPE suggests.

        Raises:
            InvalidInputError: if the study has several objectives or the other direction.
        """
        self._check(study)
        with self._lock:
            if (study._study_id, trial.number) in self._plans:
                value = self._followed(study, trial, (param_name, param_distribution))
                if value is not ABSENT:
                    return value
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Let TPE prepare."""
        self._tpe.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Record the advice that the trial followed, and let TPE evaluate the constraints."""
        with self._lock:
            plan = self._plans.pop((study._study_id, trial.number), None)
        if plan and self._record and self._advice.view is not None:
            followed = replace(plan[0], config=plain_config(trial.params))
            name, metric = self._advice.advisor.name, self._advice.view.metric
            try:
                self._store.record_recommendations(name, metric, [followed])
            except OSError as error:  # the store is busy or full: training goes on
                text = f"what was advised on {name!r} was not recorded: {error}"
                warnings.warn(text, NotRecordedWarning, stacklevel=2)
        self._tpe.after_trial(study, trial, state, values)

    def _check(self, study: Study) -> None:
        if len(study.directions) > 1:
            raise InvalidInputError(
                f"HeadstartSampler: the study has {len(study.directions)} objectives; advice is "
                "on one metric. Use a study of one objective and make the others constraints, or "
                "another sampler"
            )
        view = self._advice.view
        if view is None:
            return
        higher = study.direction == StudyDirection.MAXIMIZE
        if higher != view.higher_is_better:
            wanted = "maximize" if view.higher_is_better else "minimize"
            raise InvalidInputError(
                f"HeadstartSampler: in the store {view.metric!r} is to be {wanted}d, but the "
                f"study would {study.direction.name.lower()} it; create the study with "
                f"direction={wanted!r}"
            )

    def _planned(self, study: Study, trial: FrozenTrial, pool: StudyPool) -> Mapping[str, Any]:
        """Choose and claim a config for a trial, and return the params that it sets."""
        others = [t for t in _trials(study) if t.number != trial.number]
        ended = sum(t.state.is_finished() for t in others)
        shared = not pool.open and not self._advice.per_second
        if ended >= ALONE and ended % 2 and shared:
            params = self._by_tpe(study, trial, pool, others)
            if params:
                return params
        behind = 0
        for _ in range(ATTEMPTS):
            ranked = self._advice.ranked(pool, others, OPEN if pool.open else behind + 1)
            if not ranked:
                return {}
            chosen = ranked[min(behind, len(ranked) - 1)]
            rivals = self._claimed(study, trial, chosen)
            if not rivals:
                break
            behind = sum(number < trial.number for number in rivals)
            others = [t for t in _trials(study) if t.number != trial.number]
        rest = [r for r in ranked if r is not chosen] if pool.open else []
        self._plans[study._study_id, trial.number] = [chosen, *rest]
        if pool.open:
            return {}
        return pool.offers[chosen.algorithm, canonical_json(chosen.config)].params

    def _claimed(self, study: Study, trial: FrozenTrial, chosen: Recommendation) -> list[int]:
        """Claim what was chosen, and keep with the trial why, as `enqueue` does."""
        storage, wanted = study._storage, (chosen.algorithm, chosen.config)
        storage.set_trial_user_attr(trial._trial_id, ATTRIBUTE, as_attribute(chosen))
        return claim(storage, study._study_id, trial, wanted, chosen.value)

    def _by_tpe(
        self, study: Study, trial: FrozenTrial, pool: StudyPool, others: Sequence[FrozenTrial]
    ) -> Mapping[str, Any]:
        """Return what TPE suggests, nothing where somebody had it or it is likely to fail."""
        space, params = pool.space.space, dict[str, Any]()
        for name in space.order:
            if space.is_active(name, params):
                distribution = space.distributions[name]
                if distribution.single():  # of which TPE must not be asked
                    params[name] = only_value(distribution)
                else:
                    params[name] = self._tpe.sample_independent(study, trial, name, distribution)
        offer = pool.space.offer(params)
        if not self._advice.takes(offer, pool, others, TOO_RISKY):
            return {}  # TPE forgets what raised an error
        wanted = (offer.algorithm, offer.config)
        rivals = claim(study._storage, study._study_id, trial, wanted, math.nan)
        return {} if rivals else params

    def _followed(
        self, study: Study, trial: FrozenTrial, asked: tuple[str, BaseDistribution]
    ) -> Any:
        """Return what the first config that fits so far sets a parameter to, else `ABSENT`."""
        latest = self._advice.latest
        if latest is None:
            return ABSENT
        space = latest.space
        plan = self._plans[study._study_id, trial.number]
        for place, chosen in enumerate(plan):
            config = space.joined(chosen.algorithm, chosen.config)
            value = space.fits(*asked, config)
            so_far = [(space.fits(n, d, config), n) for n, d in trial.distributions.items()]
            if value is ABSENT or any(v is not ABSENT and v != trial.params[n] for v, n in so_far):
                continue
            if place:
                self._claimed(study, trial, chosen)
                plan[:] = plan[place:]
            return value
        return ABSENT


def _trials(study: Study) -> list[FrozenTrial]:
    """Return all trials of the study, also where a pruner shows the sampler some alone."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def _distributions(trials: Iterable[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Return the latest distribution of every parameter: Optuna keeps type and choices fixed."""
    used: dict[str, BaseDistribution] = {}
    for trial in trials:
        used.update(trial.distributions)
    return used
