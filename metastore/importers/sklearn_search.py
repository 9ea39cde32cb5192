"""Fitted scikit-learn searches as runs: every candidate, every fold, every failure.

One candidate gives one run (one a rung in a halving search). Its config is what the candidate
set together with what the searched estimator had set beside its defaults, so that it stands
for the whole flow; `random_state` is the run's seed.

Metrics are recorded in their own direction: a `neg_log_loss` of -0.3 becomes a `log_loss` of
0.3, smaller is better. A fold that failed has no value; a candidate with such a fold is a
failed run, and keeps the values of its other folds. A numeric `error_score` is recognised
where all folds failed; beside good folds it cannot be told from a score.

Ids are content hashes: recording the same fitted search again gives the same runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np

from metastore.errors import InvalidInputError
from metastore.importers.flows import (
    NOT_HYPERPARAMETERS,
    SWITCHED_OFF,
    flow_name,
    is_flow,
    plain_config,
    settings,
)
from metastore.types import (
    DatasetRef,
    MetricValue,
    RunRecord,
    RunStatus,
    canonical_json,
    content_id,
)


@dataclass(frozen=True, slots=True)
class _Metric:
    """A metric as the search calls it (`key`) and as it is recorded."""

    key: str
    name: str
    higher_is_better: bool

    def value(self, score: float) -> float:
        """Turn a score of the search, always larger-is-better, into the metric."""
        return score if self.higher_is_better else -score


def records(
    search: Any,
    dataset: DatasetRef,
    *,
    algorithm: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[RunRecord]:
    """Return one run for each candidate of a fitted search.

    Args:
        search: a fitted GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV or
            HalvingRandomSearchCV, or anything with their attributes.
        dataset: what it was fitted on.
        algorithm: name of the algorithm; by default the flow's name, which
            `Recommendation.to_estimator` can read.
        tags: free text by name, put on every run.

    Returns:
        Runs in the order of `cv_results_`. Values: the mean over folds (`fold` None) and each
        fold; `train_NAME` where train scores were kept; `fit_seconds` and `score_seconds`, the
        means over folds. `seconds` is the time all folds took together. In a halving search
        `fidelity` is the amount of the resource, None for the full amount.

    Raises:
        InvalidInputError: if `search` was not fitted or is no such search.
    """
    if not hasattr(search, "cv_results_"):
        wanted = hasattr(search, "fit") and hasattr(search, "estimator")
        hint = "call search.fit(X, y) first" if wanted else "pass a fitted GridSearchCV or the like"
        raise InvalidInputError(
            f"expected a fitted scikit-learn search, got {type(search).__name__} without "
            f"cv_results_: {hint}"
        )
    candidates = _Candidates(search, dataset, algorithm or flow_name(search.estimator))
    labels = {"search": type(search).__name__, **(tags or {})}
    return [candidates.record(i, labels) for i in range(len(search.cv_results_["params"]))]


class _Candidates:
    """Reads one search's `cv_results_`, candidate by candidate."""

    def __init__(self, search: Any, dataset: DatasetRef, algorithm: str) -> None:
        self.search = search
        self.results = search.cv_results_
        self.dataset = dataset
        self.algorithm = algorithm
        self.metrics = _metrics(search)
        self.fixed = settings(search.estimator)
        self.seed = _seed(search.estimator.get_params())
        self.parent = self._identity()

    def _identity(self) -> UUID:
        """Hash what the search did: candidates, scores and times."""
        columns = {
            key: np.asarray(values, dtype=float).tolist()
            for key, values in self.results.items()
            if key != "params" and not key.startswith("param_")
        }
        configs = [self.config(i) for i in range(len(self.results["params"]))]
        text = json.dumps([self.fixed, configs, columns], sort_keys=True)
        name = (self.dataset.name, self.dataset.fingerprint, self.algorithm)
        return content_id("sklearn_search", *name, text)

    def config(self, i: int) -> dict[str, Any]:
        """Return everything that candidate `i` set, whoever set it."""
        return whole_config(self.fixed, self.results["params"][i])

    def record(self, i: int, tags: Mapping[str, str]) -> RunRecord:
        """Return candidate `i` as a run."""
        values, failed = self._values(i)
        error = f"{failed} of {self.search.n_splits_} folds failed" if failed else ""
        seed = _seed(self.results["params"][i])
        record = RunRecord(
            dataset=self.dataset,
            algorithm=self.algorithm,
            config=self.config(i),
            values=tuple(values),
            status=RunStatus.FAILED if failed else RunStatus.COMPLETED,
            run_id=content_id("sklearn_search", str(self.parent), str(i)),
            split=_split(self.search),
            seed=self.seed if seed is None else seed,
            seconds=self._seconds(i),
            error=error,
            parent=self.parent,
            tags=tags,
        )
        canonical_json(record.config)  # names the parameter that cannot be stored
        return self._with_resource(record, i) if "n_resources" in self.results else record

    def _values(self, i: int) -> tuple[list[MetricValue], int]:
        """Return the finite values of candidate `i`, and how many folds failed."""
        n_folds = self.search.n_splits_
        scores = {
            (metric, side): [
                float(self.results[f"split{fold}_{side}_{metric.key}"][i])
                for fold in range(n_folds)
            ]
            for metric in self.metrics
            for side in ("test", "train")
            if f"split0_{side}_{metric.key}" in self.results
        }
        lost = {
            fold
            for (_, side), folds in scores.items()
            for fold, score in enumerate(folds)
            if side == "test" and not math.isfinite(score)
        }
        if self._all_penalised(i):
            lost = set(range(n_folds))
        values = []
        for (metric, side), folds in scores.items():
            name = metric.name if side == "test" else f"train_{metric.name}"
            row: list[tuple[int | None, float]] = [
                (fold, score) for fold, score in enumerate(folds) if fold not in lost
            ]
            if not lost:
                row.insert(0, (None, float(self.results[f"mean_{side}_{metric.key}"][i])))
            values += [
                MetricValue(name, metric.value(score), None, metric.higher_is_better, fold)
                for fold, score in row
                if math.isfinite(score)
            ]
        if not lost:
            for key, name in (
                ("mean_fit_time", "fit_seconds"),
                ("mean_score_time", "score_seconds"),
            ):
                values.append(MetricValue(name, float(self.results[key][i]), None, False))
        return values, len(lost)

    def _all_penalised(self, i: int) -> bool:
        """Whether every fold of candidate `i` got a numeric `error_score`: none was ever scored."""
        penalty = self.search.error_score
        if isinstance(penalty, str) or not math.isfinite(penalty):
            return False
        means = [float(self.results[f"mean_test_{metric.key}"][i]) for metric in self.metrics]
        return self.results["mean_score_time"][i] == 0 and all(m == penalty for m in means)

    def _seconds(self, i: int) -> float | None:
        mean = float(self.results["mean_fit_time"][i] + self.results["mean_score_time"][i])
        if not math.isfinite(mean) or mean < 0:  # the clock was set back while it ran
            return None
        return mean * int(self.search.n_splits_)

    def _with_resource(self, record: RunRecord, i: int) -> RunRecord:
        """Add what a halving search gave the candidate."""
        amount = float(self.results["n_resources"][i])
        return replace(
            record,
            fidelity=None if amount >= self.search.max_resources_ else amount,
            tags={
                **record.tags,
                "resource": str(self.search.resource),
                "rung": str(int(self.results["iter"][i])),
            },
        )


def whole_config(fixed: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of an estimator with parameters set, as a run of it is recorded.

    Args:
        fixed: the estimator's own `settings`.
        params: what is set beside them; of a step that is replaced the own ones are gone.
    """
    swapped = tuple(f"{name}__" for name, value in params.items() if _replaces(value))
    kept = {n: v for n, v in fixed.items() if not (swapped and n.startswith(swapped))}
    config = kept | plain_config(params)
    return {n: v for n, v in config.items() if n.split("__")[-1] not in NOT_HYPERPARAMETERS}


def _replaces(value: Any) -> bool:
    """Whether a candidate's value takes the place of a whole step."""
    return value is None or is_flow(value) or (isinstance(value, str) and value in SWITCHED_OFF)


def _seed(params: Mapping[str, Any]) -> int | None:
    """Return the integer `random_state` of a flow: its own or, of its parts', the last one."""
    seeds = {n: v for n, v in params.items() if n.split("__")[-1] == "random_state"}
    numbers = [v for v in seeds.values() if isinstance(v, int | np.integer)]
    own = seeds.get("random_state")
    if isinstance(own, int | np.integer):
        return int(own)
    return int(numbers[-1]) if numbers else None


def _split(search: Any) -> str:
    """Return how rows were split, in words: `5-fold`, or the splitter's name and count."""
    cv = search.cv
    if cv is None or isinstance(cv, int) or type(cv).__name__ in ("KFold", "StratifiedKFold"):
        return f"{search.n_splits_}-fold"
    name = type(cv).__name__ if hasattr(cv, "split") else "given splits"
    return f"{name}, {search.n_splits_} splits"


def _metrics(search: Any) -> list[_Metric]:
    """Return the search's metrics with their own names and directions."""
    if not search.multimetric_:
        return [_single_metric(search)]
    scorers = search.scorer_ if isinstance(search.scorer_, Mapping) else {}
    keys = [key[len("mean_test_") :] for key in search.cv_results_ if key.startswith("mean_test_")]
    return [_metric(key, key, scorers.get(key)) for key in keys]


def asked_metric(search: Any) -> tuple[str, str, bool]:
    """Return which metric a search that was not fitted yet is to do well in.

    Returns:
        The key of `mean_test_KEY` in `cv_results_`, the metric's name as `records` gives it, and
        whether larger is better. Of several metrics it is the one that `refit` names, or the
        first.
    """
    from sklearn.metrics import get_scorer  # noqa: PLC0415 - light imports

    scoring = search.scoring
    if isinstance(scoring, list | tuple | dict) or isinstance(search.refit, str):
        named = dict(scoring) if isinstance(scoring, Mapping) else {}
        keys = [] if callable(scoring) or scoring is None else list(scoring)
        key = search.refit if isinstance(search.refit, str) else keys[0]
        scorer = named.get(key, key if key in keys else None)
        found = _metric(key, key, get_scorer(scorer) if scorer is not None else None)
        return found.key, found.name, found.higher_is_better
    if isinstance(scoring, str):
        found = _metric("score", scoring, get_scorer(scoring))
    else:
        found = _single_metric(search)
    return found.key, found.name, found.higher_is_better


def _single_metric(search: Any) -> _Metric:
    scoring = search.scoring
    if isinstance(scoring, str):
        return _metric("score", scoring, search.scorer_)
    if scoring is None:
        from sklearn.base import is_classifier, is_regressor  # noqa: PLC0415 - light imports

        kinds = (("accuracy", is_classifier), ("r2", is_regressor))
        name = next((name for name, holds in kinds if holds(search.estimator)), "score")
        return _Metric("score", name, True)
    function = getattr(scoring, "_score_func", scoring)
    return _metric("score", getattr(function, "__name__", type(scoring).__name__), scoring)


def _metric(key: str, name: str, scorer: Any) -> _Metric:
    """Return a metric, turned back to its own direction if the scorer negates it."""
    negated = getattr(scorer, "_sign", -1 if name.startswith("neg_") else 1) < 0
    return _Metric(key, name.removeprefix("neg_") if negated else name, not negated)
