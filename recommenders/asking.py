"""Asking a store about a dataset: the whole walk in one call.

The dataset gets its meta-features, the view leaves it and its near-duplicates out, its own runs
become what was observed, the recommender answers, and the answer is recorded, so that the store
can say later what its advice was worth.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import Any

from metastore.describing import Describing
from metastore.errors import UnknownNameError
from metastore.metrics import tells_little
from metastore.store import MetaStore
from metastore.types import Observation, RunStatus
from metastore.view import View
from recommenders.asked_file import AskedFile, teaches_the_same
from recommenders.asked_kind import fits, kind_of, say_what_does_not_fit
from recommenders.budgeting import Budget, Plan, plan
from recommenders.pool_recommender import PoolRecommender
from recommenders.recommender import AskedTask, Recommendation, Spaces
from recommenders.registry import keeping, make
from recommenders.sparseness import thinly_covered

_METRICS_OF = (
    "SELECT DISTINCT metric FROM metric_values SEMI JOIN "
    "(SELECT run_id FROM runs WHERE algorithm = ?) USING (run_id)"
)
_OWN_METRICS = (
    "SELECT DISTINCT metric FROM tasks JOIN latest_datasets USING (dataset_id) WHERE name = ?"
)


USUAL = 5
"""Configs that are recommended where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked beyond the dataset.

    Args:
        metric: the metric to do well in; empty for the store's most recorded one.
        algorithm: only configs of this algorithm; empty for all.
        n: how many configs to recommend; None, with a budget, for as many as fit.
        recommender: one of `recommenders.names()`.
        seed: fixes whatever is left to chance.
        near_duplicates: whether to learn from near-duplicates of the dataset too.
        as_new: whether to ignore what was run on the dataset itself.
        search_space: by algorithm, where an answer may lie; None for what past configs show.
        record: whether to store the answer.
        budget_seconds: time that the recommended runs may take together, one after the other;
            None for no limit. With one, `n` is how many configs at most.
    """

    metric: str = ""
    algorithm: str = ""
    n: int | None = USUAL
    recommender: str = "auto"
    seed: int = 0
    near_duplicates: bool = False
    as_new: bool = False
    search_space: Spaces | None = field(default=None, hash=False)
    record: bool = True
    budget_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Recommendations and what they rest on.

    Args:
        dataset: the name of the dataset that was asked about.
        metric: the metric.
        higher_is_better: its direction.
        recommendations: the configs, the first to run first.
        observed: how many of the dataset's own runs were taken into account.
        left_out: near-duplicates whose runs were left out.
        by_default: whether nobody named the metric.
        plan: how the configs fit into the time asked for; None where none was.
    """

    dataset: str
    metric: str
    higher_is_better: bool
    recommendations: tuple[Recommendation, ...]
    observed: int
    left_out: tuple[str, ...]
    by_default: bool = False
    plan: Plan | None = None


def ask(
    store: MetaStore,
    dataset: Any,
    target: Any = None,
    question: Question = Question(),
    describing: Describing | None = None,
) -> Answer:
    """Recommend configs for a dataset.

    Args:
        store: past runs.
        dataset: a stored dataset's name, cells in any shape that `MetaStore.dataset` takes, or
            the path of a table file.
        target: name of the target column, or the target values.
        question: metric, algorithm, number and recommender.
        describing: another process that describes `dataset`, a table file, already.

    Raises:
        UnknownNameError: if the store has no such dataset, metric, algorithm or recommender.
        InvalidInputError: if the dataset cannot be read, or the budget is not positive.
    """
    named = dataset if isinstance(dataset, str) else ""
    metric = question.metric or most_recorded(store, named, algorithm=question.algorithm)
    asked = AskedFile(store, dataset, target, (metric, question.algorithm or None))
    learned = _learn(store, asked, question, describing)
    if not question.metric:
        kind = kind_of(learned.everything, learned.name)
        better = metric
        if not fits(metric, kind):
            better = most_recorded(store, learned.name, kind, question.algorithm)
        if better != metric:
            metric, asked = better, replace(asked, runs=(better, asked.runs[1]))
            learned = _learn(store, asked, question, None)
    say_what_does_not_fit(learned.everything, learned.name, metric)
    observed = [] if question.as_new else own_runs(learned.everything, learned.name)
    found, planned = _answered(learned, observed, question)
    if question.record:
        with contextlib.suppress(UnknownNameError):  # nothing can be recorded, as was said
            store.record_recommendations(learned.name, metric, found)
    return Answer(
        learned.name,
        metric,
        learned.view.higher_is_better,
        tuple(found),
        len(observed),
        () if question.near_duplicates else learned.twins(),
        by_default=not question.metric,
        plan=planned,
    )


@dataclass(frozen=True, eq=False)
class _Learned:
    """A recommender that has learned, and what of.

    Args:
        name: of the dataset that is asked about.
        everything: all runs, its own among them.
        view: what was learned from.
        recommender: fitted.
        task: the dataset as the recommender is to be asked about it.
    """

    name: str
    everything: View
    view: View
    recommender: PoolRecommender
    task: str | AskedTask

    def twins(self) -> tuple[str, ...]:
        """Return the near-duplicates whose runs were left out."""
        group = self.everything.group(self.name)
        return tuple(twin for twin in group if twin != self.name and twin in self.view.excluded)


def _learn(
    store: MetaStore, asked: AskedFile, question: Question, describing: Describing | None
) -> _Learned:
    """Read the runs and learn from them, while a new file is described if another process does."""
    kept = keeping(question.recommender, store.paths.folder)
    recommender = make(question.recommender, seed=question.seed, **kept)
    guess: View | None = None
    if describing is None:
        name, everything = asked.labelled()
    elif kept or question.near_duplicates:
        name, everything = asked.described(describing)
    else:
        name, everything, guess = asked.described_meanwhile(
            describing, lambda view: recommender.fit(view, question.search_space)
        )
    view = replace(everything, groups={}) if question.near_duplicates else everything
    view = left_out(view, name)
    if guess is not None and teaches_the_same(guess, view):
        return _Learned(name, everything, view, recommender, AskedTask(name, view.meta.of(name)))
    recommender.fit(view, question.search_space)
    return _Learned(name, everything, view, recommender, name)


def _answered(
    learned: _Learned, observed: list[Observation], question: Question
) -> tuple[list[Recommendation], Plan | None]:
    """Return the recommendations, with what little is known near them, and how they fit in time."""
    recommender, task, planned = learned.recommender, learned.task, None
    if question.budget_seconds is None:
        found = recommender.recommend(task, observed, USUAL if question.n is None else question.n)
    else:
        budget = Budget(question.budget_seconds, question.n)
        planned = plan(recommender, task, observed, budget)
        found = list(planned.recommendations)
    thin = thinly_covered(learned.view, found)
    found = [
        replace(one, evidence=replace(one.evidence, thin=names))
        for one, names in zip(found, thin, strict=True)
    ]
    return found, planned


def most_recorded(store: MetaStore, dataset: str = "", kind: str = "", algorithm: str = "") -> str:
    """Return the metric that was recorded on most datasets.

    One that the algorithm's runs have goes first, then one that fits the target's kind, then one of
    the dataset's own, if it has any. How long something took, and what was measured on the
    training rows, is asked about only where there is nothing else.

    Args:
        store: past runs.
        dataset: a stored dataset's name; any other text is none.
        kind: `classification` or `regression`; empty where that is not known.
        algorithm: whose configs are wanted; empty for any.

    Raises:
        UnknownNameError: if the store has no metric yet.
    """
    from metastore.reports import metrics  # noqa: PLC0415 - only when nobody names a metric

    known = metrics(store)
    if not known:
        raise UnknownNameError(
            "the store has no runs yet; record some with `with store.run(...)` or import them "
            "with `headstart import table FILE`"
        )
    own = {row["metric"] for row in store.rows(_OWN_METRICS, [dataset])}
    names = [str(row["metric"]) for row in known]
    if algorithm:
        has = {row["metric"] for row in store.rows(_METRICS_OF, [algorithm])}
        names = [name for name in names if name in has] or names
    return min(names, key=lambda name: (tells_little(name), not fits(name, kind), name not in own))


def left_out(view: View, dataset: str) -> View:
    """Return the view without a dataset's runs; of some datasets it knows nothing but the name."""
    if dataset in view.datasets or dataset in view.meta or dataset in view.excluded:
        return view.without([dataset])
    return replace(view, excluded=tuple(sorted({*view.excluded, dataset})))


def own_runs(view: View, dataset: str) -> list[Observation]:
    """Return what was already run on a dataset, values in the metric's own direction."""
    if dataset not in view.datasets:
        return []
    number = view.datasets.index(dataset)
    found = [
        Observation(
            view.algorithm(config),
            view.config(config),
            view.value(float(view.cell_score[cell])),
            seconds=_known(view.cell_seconds[cell]),
        )
        for cell in (view.cell_dataset == number).nonzero()[0].tolist()
        for config in [int(view.cell_config[cell])]
    ]
    found += [
        Observation(view.algorithm(config), view.config(config), None, RunStatus.FAILED)
        for config in view.failed_config[view.failed_dataset == number].tolist()
    ]
    return found


def _known(seconds: float) -> float | None:
    return float(seconds) if seconds == seconds else None  # noqa: PLR0124 - NaN is unknown
