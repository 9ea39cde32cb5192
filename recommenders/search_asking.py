"""What `HeadstartSearchCV` asks before each config, and what it tells after it."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from metastore.errors import InvalidInputError, UnknownNameError
from metastore.importers.flows import NOT_HYPERPARAMETERS, flow_name, plain_value, settings
from metastore.importers.sklearn_search import asked_metric
from metastore.search_space import SearchSpace
from metastore.space_columns import ABSENT
from metastore.space_inference import infer
from metastore.store import MetaStore
from metastore.types import Config, DatasetRef, Observation, RunStatus, canonical_json
from recommenders.advisor import Advisor, Topic
from recommenders.encoding import Key
from recommenders.estimators import parameters
from recommenders.recommender import Evidence, Recommendation
from recommenders.registry import make
from recommenders.search_distributions import Given, distinct_draws
from recommenders.study_pool import AROUND, StudyPool
from recommenders.study_space import Offer

Chosen = tuple[Recommendation, dict[str, Any]]
"""What was advised, and the parameters to set."""

SOME = 2
"""Spellings from which on past configs differ."""


class Search(Protocol):
    """What is read of a search."""

    estimator: Any
    algorithm: str | None
    recommender: str
    param_distributions: Mapping[str, Any] | None


class Asking:
    """One search's questions and answers.

    Args:
        search: the search, not fitted yet.
        store: past runs.
        dataset: what is being fitted on.
        seed: fixes what is drawn.

    Raises:
        InvalidInputError: if there is nothing to choose from.
        UnknownNameError: if there is no such recommender.
    """

    def __init__(self, search: Search, store: MetaStore, dataset: DatasetRef, seed: int) -> None:
        self._estimator = search.estimator
        self._key, metric, self._higher = asked_metric(search)
        self._algorithm = search.algorithm or flow_name(search.estimator)
        given = search.param_distributions
        self._given = None if given is None else Given.of(given)
        self._seed = seed
        make(search.recommender)
        topic = Topic(dataset, metric, None, self._algorithm, search.recommender, seed)
        try:
            self._advisor: Advisor | None = Advisor.of(store, topic)
        except UnknownNameError:  # nothing was recorded of this algorithm or metric yet
            self._advisor = None
        if self._advisor is not None and self._advisor.view is None:
            self._advisor = None
        self._pool = self._opened()
        self._known = {} if self._given else self._past()
        if self._given is None and not self._known:
            raise InvalidInputError(
                f"the store knows no config of {self._algorithm} with {metric!r} on other "
                "datasets; say what may vary with param_distributions={...}"
            )
        self._observed: dict[Key, Observation] = {}
        self._tried: list[tuple[float, Offer]] = []
        self._asked: list[Offer] = []
        self._told = 0
        self._fresh = distinct_draws(self._given.distributions, seed) if self._given else iter(())

    def _opened(self) -> StudyPool | None:
        """Return the pool of what the user lets vary, None where the store cannot guide it."""
        if self._given is None or self._advisor is None:
            return None
        past = _as_set(self._estimator, self._advisor.past(), self._given.distributions)
        pool = StudyPool(past, self._given.distributions, seed=self._seed)
        return None if pool.open else pool

    def _past(self) -> dict[Key, Offer]:
        """Return the past configs that the estimator can be set to."""
        offers: dict[str, Offer] = {}
        candidates = self._advisor.candidates() if self._advisor else []
        told = _told(self._estimator, [config for _, config in candidates])
        own = {name: told[name] for name in told.keys() & settings(self._estimator).keys()}
        for algorithm, config in candidates:
            try:
                params = parameters(self._estimator, config)
            except InvalidInputError:  # of an estimator that was built otherwise
                continue
            offer = Offer(algorithm, {**own, **config}, params)
            offers.setdefault(offer.key[1], offer)
        return {offer.key: offer for offer in offers.values()}

    def next(self, n: int, left: float | None = None, most: int | None = None) -> list[Chosen]:
        """Return at most `n` configs to try, none when there are no more.

        Args:
            n: how many are tried at once.
            left: seconds that there are, where what a second brings counts; None where it is
                what a config brings.
            most: how many will be tried at most, these among them; None for any number.
        """
        if self._advisor is None or (self._given is not None and self._pool is None):
            return self._drawn(n)
        offers = self._known
        if self._pool is not None:
            best = sorted(self._tried, key=lambda pair: -pair[0])[:AROUND]
            self._pool.surround([offer.params for _, offer in best])
            offers = dict(self._pool.offers)
        done = {offer.text for offer in self._asked} if self._pool else set()
        same = [
            Observation(o.algorithm, o.config, None, RunStatus.RUNNING)
            for o in offers.values()
            if done and o.text in done and o.key not in self._observed
        ]
        pool = [(offer.algorithm, offer.config) for offer in offers.values()]
        observed = [*self._observed.values(), *same]
        if left is None:
            found = self._advisor.recommend(observed, n, pool)
        else:
            found = self._advisor.recommend_within(observed, n, left, pool, most)
        chosen = [offers[r.algorithm, canonical_json(r.config)] for r in found]
        self._asked += chosen
        return [(r, self._params(offer)) for r, offer in zip(found, chosen, strict=True)]

    def _params(self, offer: Offer) -> dict[str, Any]:
        """Return an offer as the estimator takes it, drawing what the store never heard of."""
        if self._given is None:
            return dict(offer.params)
        rest = {
            name: distribution
            for name, distribution in self._given.distributions.items()
            if self._pool is not None and name not in self._pool.space.space
        }
        seed = self._seed + len(self._tried) + 1
        drawn = SearchSpace(rest).sample(1, seed)[0] if rest else {}
        native = self._given.native({**drawn, **offer.params})
        return parameters(self._estimator, native)

    def _drawn(self, n: int) -> list[Chosen]:
        """Return random configs that were not tried yet: there is nothing to go by."""
        assert self._given is not None
        configs = list(islice(self._fresh, n))
        nothing, unknown = Evidence("random", note="the store knows nothing of these"), math.nan
        chosen = []
        for config in configs:
            advice = Recommendation(
                self._algorithm, config, unknown, (unknown, unknown), unknown, nothing
            )
            self._asked.append(Offer(self._algorithm, config, config))
            chosen.append((advice, parameters(self._estimator, self._given.native(config))))
        return chosen

    def tell(self, results: Mapping[str, Any], count: int) -> None:
        """Take in what the last configs asked for scored.

        Args:
            results: `cv_results_` so far, in which they come first of those added last; empty
                where every fit of them failed.
            count: how many configs were asked for last.
        """
        scores = results.get(f"mean_test_{self._key}", ())
        folds = sum(k.startswith("split") and k.endswith(f"_test_{self._key}") for k in results)
        offers = self._asked[-count:]
        for place, offer in enumerate(offers, start=self._told):
            score = float(scores[place]) if len(scores) else math.nan
            scored = math.isfinite(score) and results["mean_score_time"][place] > 0
            value = (score if self._higher else -score) if scored else None
            status = RunStatus.COMPLETED if scored else RunStatus.FAILED
            took = folds * _mean_seconds(results, place) if scored else None
            one = Observation(offer.algorithm, offer.config, value, status, took)
            self._observed[offer.key] = one
            if scored:
                self._tried.append((score, offer))
        self._told = len(scores) or self._told


def _mean_seconds(results: Mapping[str, Any], place: int) -> float:
    """Return what fitting and scoring a config on a fold took."""
    return float(results["mean_fit_time"][place] + results["mean_score_time"][place])


def _as_set(estimator: Any, past: Sequence[Key], varied: Collection[str]) -> tuple[Key, ...]:
    """Return past configs with what an estimator itself sets in the place of what they had.

    A run with a linear kernel is no evidence of a search that leaves another one as it is. Names
    that mean the same in all past configs stay: of those the past cannot tell.

    Args:
        estimator: the estimator that is searched over.
        past: distinct configs that ran somewhere.
        varied: names of what the search varies; parameters of a varied step are with them.
    """
    configs = [json.loads(text) for _, text in past]
    told = {n: v for n, v in _told(estimator, configs).items() if not _within(n, varied)}
    own, space = settings(estimator).keys(), infer(configs) if configs else SearchSpace({})
    found: dict[Key, None] = {}
    for (algorithm, _), config in zip(past, configs, strict=True):
        config |= {n: v for n, v in told.items() if n in config or n in own}
        idle = {n for n in space.conditions if n in told and not space.is_active(n, config)}
        kept = {n: v for n, v in config.items() if n not in idle and v is not ABSENT}
        found[algorithm, canonical_json(kept)] = None
    return tuple(sorted(found))


def _told(estimator: Any, configs: Sequence[Config]) -> dict[str, Any]:
    """Return what an estimator sets the hyperparameters to in which past configs differ.

    A default that no past config spells out, but some leave out, is `ABSENT`.
    """
    spelled: dict[str, set[str]] = {}
    for config in configs:
        for name, value in config.items():
            spelled.setdefault(name, set()).add(canonical_json({name: value}))
    own, told = settings(estimator), {}
    for name, meant in estimator.get_params(deep=True).items():
        value, texts = plain_value(meant), spelled.get(name, set())
        lacking = not all(name in config for config in configs)
        if len(texts) + lacking < SOME or name.rpartition("__")[2] in NOT_HYPERPARAMETERS:
            continue
        left_out = lacking and name not in own and canonical_json({name: value}) not in texts
        told[name] = ABSENT if left_out else value
    return told


def _within(name: str, varied: Collection[str]) -> bool:
    """Return whether a parameter, or a step that it belongs to, is varied."""
    parts = name.split("__")
    return any("__".join(parts[:length]) in varied for length in range(1, len(parts) + 1))
