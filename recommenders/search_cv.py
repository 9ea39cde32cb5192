"""A search over hyperparameters, in scikit-learn's manner, that asks the store what to try.

    search = HeadstartSearchCV(SVC(), "headstart-store", n_iter=10).fit(X, y)

The first configs are what past datasets speak for; each later one also takes into account what
the search has seen. What it learned is recorded, so that the next dataset starts from it: when the
search ends, also where an exception or an interrupt ends it.

A search forgets: what the store knows of runs on the very same data is left out, as is what near-
duplicates did, so that fitting twice gives the same result. (`headstart recommend` and the Optuna
sampler go on where earlier runs stopped.)
"""

from __future__ import annotations

import math
import numbers
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from time import perf_counter as clock
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._split import _yields_constant_splits
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

import metastore
from metastore.errors import InvalidInputError
from metastore.importers.flows import flow_name, settings
from metastore.importers.sklearn_search import asked_metric, whole_config
from metastore.journal import NotRecordedWarning
from metastore.store import MetaStore
from metastore.types import DatasetRef, RunRecord, RunStatus
from recommenders.recommender import Recommendation
from recommenders.search_asking import Asking, Chosen

USUAL = 10
"""Configs that are tried where neither a number nor a time is given."""

Evaluate = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]


class HeadstartSearchCV(BaseSearchCV):  # type: ignore[misc]
    """Cross-validates the configs that past runs speak for, and then refits the best.

    Args:
        estimator: what to tune; a pipeline as well.
        store: the store or its path.
        dataset: what to call the data in the store, or the `DatasetRef` that it has there; by
            default it is called after its fingerprint.
        param_distributions: what may vary, one dictionary as in `RandomizedSearchCV`, where SciPy's
            distributions need bounds; Optuna's are taken too. None for the configs that the
            store knows of this algorithm.
        n_iter: how many configs to try; fewer are where the store knows no more. None for 10, and
            for as many as there is time for with `max_seconds`.
        max_seconds: how long to search; None for no limit. With it each config is the one that
            is expected to gain most a second, by past durations and those of this search. The
            first config is tried, and what was begun is ended, whatever that takes. The refit
            comes after it.
        algorithm: name of the algorithm in the store; by default the estimator's.
        recommender: one of `recommenders.names()`.
        scoring: as in `GridSearchCV`. The metric of that name guides the search; of several the
            one that `refit` names.
        n_jobs: as in `GridSearchCV`. Where it exceeds the folds, several configs are tried at
            once.
        refit: as in `GridSearchCV`.
        cv: as in `GridSearchCV`, but every split must be the same each time.
        verbose: as in `GridSearchCV`.
        pre_dispatch: as in `GridSearchCV`.
        random_state: fixes what is drawn.
        error_score: as in `GridSearchCV`. A failed config is a failed run: it is recorded, and
            not tried again.
        return_train_score: as in `GridSearchCV`.
        record: whether to record runs and advice.

    After `fit`: what `GridSearchCV` has, `dataset_` (the data's name in the store) and
    `recommendations_` (what was advised, in the order of `cv_results_`).
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSearchCV._parameter_constraints,
        "store": [str, Path, MetaStore],
        "dataset": [str, DatasetRef, None],
        "param_distributions": [dict, None],
        "n_iter": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "max_seconds": [Interval(numbers.Real, 0, None, closed="neither"), None],
        "algorithm": [str, None],
        "recommender": [str],
        "random_state": ["random_state"],
        "record": ["boolean"],
    }

    def __init__(  # noqa: PLR0913 - scikit-learn has a search's options as its parameters
        self,
        estimator: Any,
        store: Any,
        dataset: Any = None,
        *,
        param_distributions: Mapping[str, Any] | None = None,
        n_iter: int | None = None,
        max_seconds: float | None = None,
        algorithm: str | None = None,
        recommender: str = "auto",
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        record: bool = True,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.store = store
        self.dataset = dataset
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.max_seconds = max_seconds
        self.algorithm = algorithm
        self.recommender = recommender
        self.random_state = random_state
        self.record = record

    def fit(self, X: Any, y: Any = None, **params: Any) -> HeadstartSearchCV:
        """Search, refit, and record.

        Args:
            X: `(n_rows, n_columns)` features.
            y: `(n_rows,)` target; None for none.
            params: passed on, as `GridSearchCV.fit` does.

        Raises:
            InvalidInputError: if the store knows no config of the algorithm and
                `param_distributions` names none, or if `cv` splits anew each time.
        """
        self._cells, self._so_far = (X, y), dict[str, Any]()
        try:
            try:
                super().fit(X, y, **params)
            except BaseException:
                if self.record and self._so_far:
                    self._record_what_ended()
                raise
            if self.record:
                self._record()
        finally:
            for name in ("_cells", "_so_far", "_error", "_ref", "_failed"):
                self.__dict__.pop(name, None)
        return self

    def _record(self) -> None:
        """Record what was advised and what came of it."""
        self._record_advice()
        self._store().record_search(self, self._ref, algorithm=self.algorithm)
        self._record_failures()

    def _record_what_ended(self) -> None:
        """Record the configs that were tried before something ended the search."""
        scorers, _ = self._get_scorers()
        cut = copy(self)
        cut.cv_results_ = self._so_far
        cut.multimetric_ = "mean_test_score" not in self._so_far
        cut.scorer_ = getattr(scorers, "_scorers", scorers)
        cut.recommendations_ = self.recommendations_[: len(self._so_far["params"])]
        try:
            cut._record()
        except OSError as error:  # what ended the search is what there is to be told
            warnings.warn(
                f"what was tried was not recorded: {error}", NotRecordedWarning, stacklevel=3
            )

    def _store(self) -> MetaStore:
        return self.store if isinstance(self.store, MetaStore) else metastore.open(self.store)

    def _run_search(self, evaluate_candidates: Evaluate, **_: Any) -> None:
        """Ask, try, tell, until enough configs were tried, the time is up, or there are no more."""
        if not _yields_constant_splits(self._checked_cv_orig):
            raise InvalidInputError(
                f"cv: {self._checked_cv_orig!r} splits anew for every config, so that scores "
                "could not be compared; give it random_state=0"
            )
        begun, store = clock(), self._store()
        self._ref = self._described(store)
        self.dataset_ = store.label(self._ref)
        seed = int(check_random_state(self.random_state).randint(2**31))
        asked = Asking(self, store, self._ref, seed)
        self.recommendations_: list[Recommendation] = []
        self._failed: list[Chosen] = []
        jobs, folds, tried = effective_n_jobs(self.n_jobs), 0, 0
        most = self.n_iter or (USUAL if self.max_seconds is None else sys.maxsize)
        while tried < most:
            batch = min(most - tried, max(1, jobs // folds)) if folds else 1
            left = None
            if self.max_seconds is not None:
                left = (self.max_seconds - clock() + begun) * max(1, min(jobs, folds))
                if tried and left <= 0:
                    break
            slots = None if self.n_iter is None else most - tried
            chosen = asked.next(batch, left, slots)
            if not chosen and left is not None and not tried:
                chosen = asked.next(batch, math.inf)
            if not chosen:
                break
            tried += len(chosen)
            results = self._evaluated(evaluate_candidates, chosen)
            self._so_far = dict(results) or self._so_far
            asked.tell(results, len(chosen))
            folds = folds or sum(k.startswith("split") and "_test_" in k for k in results)
        if self._failed and not self.recommendations_:
            raise self._error
        if self._failed:
            warnings.warn(
                f"{len(self._failed)} configs are not in cv_results_, since every fit of them "
                f"failed: {[params for _, params in self._failed]}",
                FitFailedWarning,
                stacklevel=2,
            )

    def _described(self, store: MetaStore) -> DatasetRef:
        """Record the data and its meta-features, and return what runs name it by.

        Raises:
            InvalidInputError: if the data is no table, and has no `DatasetRef`.
        """
        if isinstance(self.dataset, DatasetRef):
            return store.dataset(self.dataset)
        X, y = (_plain(cells) for cells in self._cells)
        try:
            return store.dataset(X, y, name=self.dataset or "")
        except InvalidInputError as error:
            # What the estimator cannot use either it says itself, in scikit-learn's words.
            clone(self.estimator).fit(*self._cells)
            raise InvalidInputError(
                f"{error}. What cannot be described is given by name: "
                "dataset=metastore.DatasetRef('its name')"
            ) from error

    def _evaluated(self, evaluate: Evaluate, chosen: list[Chosen]) -> Mapping[str, Any]:
        """Try configs; return the results so far, none where every fit of them failed.

        scikit-learn takes a batch without a single good fit for a mistake and ends the search.
        Here such configs wait, and are tried again beside the next ones, so that they are in
        `cv_results_` with the score of failures. If nothing ever fits, its error stands.
        """
        batch = [*chosen, *self._failed]
        try:
            results = evaluate([params for _, params in batch])
        except ValueError as error:
            if self.error_score == "raise" or "fits failed" not in str(error):
                raise
            self._failed, self._error = batch, error
            return {}
        self.recommendations_ += [advice for advice, _ in batch]
        self._failed = []
        return results

    def _record_advice(self) -> None:
        """Record what was advised, with each config as its run has it."""
        tried = [*self.cv_results_["params"], *(params for _, params in self._failed)]
        advice = [*self.recommendations_, *(advice for advice, _ in self._failed)]
        advised = [
            replace(one, config=self._ran(params))
            for one, params in zip(advice, tried, strict=True)
        ]
        _, metric, _ = asked_metric(self)
        self._store().record_recommendations(self.dataset_, metric, advised)

    def _record_failures(self) -> None:
        """Record what failed last of all, which is not among scikit-learn's results."""
        algorithm = self.algorithm or flow_name(self.estimator)
        failed = [
            RunRecord(
                self._ref,
                algorithm,
                self._ran(params),
                status=RunStatus.FAILED,
                error=f"all {self.n_splits_} fits failed",
            )
            for _, params in self._failed
        ]
        if failed:
            self._store().add(failed)

    def _ran(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a config as `record_search` records it."""
        return whole_config(settings(self.estimator), params)


def _plain(cells: Any) -> Any:
    """Return an array in the place of what merely says that it can be one."""
    wrapped = hasattr(cells, "__array__") and not hasattr(cells, "dtype")
    return np.asarray(cells) if wrapped and not hasattr(cells, "columns") else cells
