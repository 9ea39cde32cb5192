"""The recording half of a store: journals only, so that it needs no table and no lock."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from uuid import UUID

from metastore.datasets import describe
from metastore.describing import metafeatures_mark
from metastore.errors import InvalidInputError
from metastore.journal import Journal, NotRecordedWarning
from metastore.paths import StorePaths
from metastore.recorder import Recorder
from metastore.records import checked
from metastore.run import Run
from metastore.tracking import check_can_be_tracked, config_of, results_of
from metastore.types import Config, DatasetRef, RunRecord, dataset_id

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from metastore.metafeatures import MetaFeature
    from metastore.search_space import SearchSpace
    from metastore.tabular import Table

P = ParamSpec("P")
R = TypeVar("R")


class Recording:
    """What training code writes with.

    Args:
        paths: where the store lies.
    """

    def __init__(self, paths: StorePaths) -> None:
        self.paths = paths
        self._recorder = Recorder(Journal(paths.journals))

    def dataset(
        self, data: Any, target: Any = None, name: str = "", source_id: str = ""
    ) -> DatasetRef:
        """Record a dataset and its meta-features, and return what runs name it by.

        Args:
            data: cells, a name, or an OpenML id; see `metastore.datasets.describe`.
            target: name of the target column, or the target values.
            name: what to call it.
            source_id: where it came from, such as `openml:31`; datasets of one source are
                near-duplicates.
        """
        ref, table = describe(data, target, name)
        if source_id:
            ref = replace(ref, source_id=source_id)
        self._recorder.write(lambda: self._recorder.dataset_lines(ref))
        if table is not None:
            self._extract(ref, table)
        return ref

    def run(
        self,
        dataset: Any,
        algorithm: Any,
        config: Config,
        *,
        target: Any = None,
        seed: int | None = None,
        fidelity: float | None = None,
        split: str = "",
        tags: Mapping[str, str] | None = None,
        parent: UUID | None = None,
        higher_is_better: Mapping[str, bool] | None = None,
        space: SearchSpace | Mapping[str, BaseDistribution] | None = None,
        metafeatures: bool = True,
    ) -> Run:
        """Return a run to train in: `with store.run(...) as run: ... run.result(accuracy=0.9)`.

        Args:
            dataset: a name, cells, an OpenML id, or what `store.dataset` returned.
            algorithm: name of the algorithm, its class, or a scikit-learn estimator; a dotted
                path such as `sklearn.svm.SVC` lets recommendations become estimators.
            config: hyperparameters by name.
            target: name of the target column, or the target values.
            seed: the random seed.
            fidelity: amount of budget given to the run, None for all of it.
            split: how training and test rows were split, in words.
            tags: free text by name.
            parent: id of the run this one belongs to.
            higher_is_better: direction of metrics with unfamiliar names.
            space: the search space that the config was drawn from, or Optuna's distributions by
                parameter.
            metafeatures: whether to compute the meta-features of cells not seen before, after
                the run has ended.

        Raises:
            InvalidInputError: if the dataset or the config cannot be recorded, or a direction or
                the space is none.
        """
        if higher_is_better is not None and not isinstance(higher_is_better, Mapping):
            raise InvalidInputError(
                "higher_is_better: expected True or False by metric, such as "
                f"{{'score': True}}, got {higher_is_better!r}"
            )
        ref, table = describe(dataset, target)
        storable = checked(
            RunRecord(
                dataset=ref,
                algorithm=_named(algorithm),
                config=config,
                seed=seed,
                fidelity=fidelity,
                split=split,
                tags={} if tags is None else tags,
                parent=parent,
                space="" if space is None else _space(space),
            )
        )
        after = None
        if table is not None and metafeatures:
            after = functools.partial(self._extract, ref, table)
        return Run(self._recorder, storable, higher_is_better, after)

    def track(
        self, dataset: Any, algorithm: str = "", **options: Any
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that records each call of a training function as a run.

        The call's arguments that are numbers, texts, booleans, None, or, by keyword, short lists
        and mappings of them, are the config, defaults among them; data and models are left out
        (`metastore.tracking`). The numbers of a returned mapping are the results; a returned
        number is the result `score`; of a tuple that of its members counts which is either. A
        coroutine function is recorded while it is awaited.

        Args:
            dataset: as in `run`.
            algorithm: as in `run`; by default the function's name.
            options: further arguments of `run`.

        Raises:
            InvalidInputError: if the function is a generator, or the dataset cannot be recorded.
        """
        ref = self.dataset(dataset, options.pop("target", None))

        def decorate(train: Callable[P, R]) -> Callable[P, R]:
            check_can_be_tracked(train)
            name = getattr(train, "__name__", type(train).__name__)

            @contextmanager
            def recording(args: Any, kwargs: Any) -> Iterator[Callable[[object], None]]:
                config = config_of(train, args, kwargs)
                with self.run(ref, algorithm or name, config, **options) as run:
                    yield lambda outcome: run.result(
                        **results_of(outcome, name, said=run.has_values)
                    )

            @functools.wraps(train)
            def recorded(*args: P.args, **kwargs: P.kwargs) -> R:
                with recording(args, kwargs) as record:
                    outcome = train(*args, **kwargs)
                    record(outcome)
                return outcome

            @functools.wraps(train)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with recording(args, kwargs) as record:
                    outcome = await cast("Awaitable[Any]", train(*args, **kwargs))
                    record(outcome)
                return outcome

            if inspect.iscoroutinefunction(train):
                return cast("Callable[P, R]", awaited)
            return recorded

        return decorate

    def add(self, records: RunRecord | Iterable[RunRecord]) -> int:
        """Record finished runs, durably, and return how many were written.

        Raises:
            InvalidInputError: if some cannot be stored; all others are.
        """
        return self._recorder.add([records] if isinstance(records, RunRecord) else records)

    def record_search(
        self,
        search: Any,
        dataset: Any,
        target: Any = None,
        *,
        algorithm: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> int:
        """Record every candidate and fold of a fitted scikit-learn search.

        Recording the same search twice changes nothing.

        Args:
            search: a fitted GridSearchCV, RandomizedSearchCV or halving search.
            dataset: what it was fitted on, as in `run`.
            target: name of the target column, or the target values.
            algorithm: name of the algorithm; by default the estimator's dotted path.
            tags: free text by name.
        """
        from metastore.importers.sklearn_search import records  # noqa: PLC0415 - needs sklearn

        ref = self.dataset(dataset, target)
        return self.add(records(search, ref, algorithm=algorithm, tags=tags))

    def import_study(
        self,
        study: Any,
        dataset: Any,
        target: Any = None,
        *,
        algorithm: str,
        metric: str | Sequence[str] | None = None,
    ) -> int:
        """Record every finished trial of an Optuna study; twice changes nothing.

        Args:
            study: the study, from any storage.
            dataset: what its objective trains on, as in `run`.
            target: name of the target column, or the target values.
            algorithm: name of the algorithm.
            metric: name of the objective, or one name an objective.
        """
        from metastore.importers.optuna_study import records  # noqa: PLC0415 - needs Optuna

        ref = self.dataset(dataset, target)
        return self.add(records(study, ref, algorithm=algorithm, metric=metric))

    def optuna_callback(
        self,
        dataset: Any,
        target: Any = None,
        *,
        algorithm: str,
        metric: str | Sequence[str] | None = None,
    ) -> Callable[[Any, Any], None]:
        """Return a callback for `study.optimize(..., callbacks=[...])` that records trials.

        Args:
            dataset: what the objective trains on, as in `run`.
            target: name of the target column, or the target values.
            algorithm: name of the algorithm.
            metric: name of the objective, or one name an objective.
        """
        from metastore.importers.optuna_study import callback  # noqa: PLC0415 - needs Optuna

        ref = self.dataset(dataset, target)
        return callback(self.add, ref, algorithm=algorithm, metric=metric)

    def record_description(self, ref: DatasetRef, features: Sequence[MetaFeature]) -> DatasetRef:
        """Record a dataset and its meta-features as another process found them; return `ref`."""
        self._recorder.write(lambda: self._recorder.dataset_lines(ref))
        self._record_features(ref, lambda: features)
        return ref

    def _extract(self, ref: DatasetRef, table: Table) -> None:
        """Compute and record meta-features once per content and extractor version."""
        from metastore.metafeatures import extract  # noqa: PLC0415 - needs pymfe

        self._record_features(ref, functools.partial(extract, table))

    def _record_features(
        self, ref: DatasetRef, extracted: Callable[[], Sequence[MetaFeature]]
    ) -> None:
        """Record meta-features, once per content and extractor version."""
        mark = metafeatures_mark(self.paths.folder, dataset_id(ref))
        try:
            if mark.exists():
                return
            features = extracted()
            if self._recorder.write(lambda: self._recorder.metafeature_lines(ref, features)):
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()
        except OSError as error:
            warnings.warn(
                f"meta-features of {ref.name!r} were not recorded: {error}",
                NotRecordedWarning,
                stacklevel=4,
            )

    def close(self) -> None:
        """Release this process's journal; recording again opens a new one."""
        self._recorder.journal.close()


def _space(space: SearchSpace | Mapping[str, BaseDistribution]) -> str:
    from metastore.search_space import as_space  # noqa: PLC0415 - few runs say theirs

    return as_space(space, "space").to_json()


def _named(algorithm: object) -> str:
    if isinstance(algorithm, str) and algorithm.strip():
        return algorithm.strip()
    if isinstance(algorithm, type) or hasattr(algorithm, "get_params"):
        from metastore.importers.flows import flow_name, import_path  # noqa: PLC0415 - seldom

        return import_path(algorithm) if isinstance(algorithm, type) else flow_name(algorithm)
    raise InvalidInputError(
        f"algorithm: expected a name, a class or an estimator, got {algorithm!r}"
    )
