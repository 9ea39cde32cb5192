"""The store: open it, record into it, import into it, read it.

Training processes only ever write journals; whoever reads absorbs them first. So recording
needs no lock, and a reader sees every run whose call returned before it asked.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

import duckdb

from metastore.absorb import Absorbed, absorb, waiting
from metastore.datasets import describe, is_table_file
from metastore.engines import FileEngine, StaleReadWarning
from metastore.errors import InvalidInputError, StoreBusyError
from metastore.importers.metafeature_table import import_metafeatures
from metastore.importers.table import ImportReport, TableOptions, import_table
from metastore.journal import Journal, NotRecordedWarning
from metastore.paths import StorePaths
from metastore.reading import id_of, label_of, read_view
from metastore.recorder import Recorder
from metastore.run import Run
from metastore.types import Config, DatasetRef, RunRecord, dataset_id

if TYPE_CHECKING:
    import pandas as pd

    from metastore.tabular import Table
    from metastore.view import View

P = ParamSpec("P")
R = TypeVar("R")


def open_store(path: str | Path, *, wait_seconds: float = 10.0, create: bool = True) -> MetaStore:
    """Open the store at `path`, or make it.

    Args:
        path: a folder, or a file ending in `.duckdb`.
        wait_seconds: how long to wait for another process that holds the tables.
        create: whether to make a store where there is none.

    Raises:
        InvalidInputError: if there is a file where a folder is needed, or no store and `create`
            is false.
        StoreVersionError: if a newer Headstart wrote the store.
    """
    paths = StorePaths.at(path)
    if not create and not paths.database.exists() and not waiting(paths):
        raise InvalidInputError(
            f"there is no store at {path}; record or import runs first, for example: "
            f"headstart import table runs.csv --store {path}"
        )
    return MetaStore(paths, wait_seconds)


class MetaStore:
    """Runs, datasets and what is known of them; made by `metastore.open`.

    Safe for threads, and for processes that fork. Nothing of it is held between calls.
    """

    def __init__(self, paths: StorePaths, wait_seconds: float = 10.0) -> None:
        self.paths = paths
        self._engine = FileEngine(paths, wait_seconds)
        self._recorder = Recorder(Journal(paths.journals))
        self._made = False
        self._check()

    def _check(self) -> None:
        """Make the tables now where that is possible; recording does without."""
        try:
            self._ensure_tables()
        except (OSError, StoreBusyError) as error:
            warnings.warn(
                f"the store's tables at {self.paths.database} cannot be opened now ({error}); "
                "what is recorded waits in journals",
                NotRecordedWarning,
                stacklevel=4,
            )

    def _ensure_tables(self) -> None:
        if not self._made:
            self.paths.database.parent.mkdir(parents=True, exist_ok=True)
            self._engine.create()
            self.paths.folder.mkdir(parents=True, exist_ok=True)
            self._made = True

    # Recording

    def dataset(self, data: Any, target: Any = None, name: str = "") -> DatasetRef:
        """Record a dataset and its meta-features, and return what runs name it by.

        Args:
            data: cells, a name, or an OpenML id; see `metastore.datasets.describe`.
            target: name of the target column, or the target values.
            name: what to call it.
        """
        ref, table = describe(data, target, name)
        self._recorder.journal.append(self._recorder.dataset_lines(ref))
        if table is not None:
            self._extract(ref, table)
        return ref

    def run(
        self,
        dataset: Any,
        algorithm: str,
        config: Config,
        *,
        target: Any = None,
        seed: int | None = None,
        fidelity: float | None = None,
        split: str = "",
        tags: Mapping[str, str] | None = None,
        parent: UUID | None = None,
        higher_is_better: Mapping[str, bool] | None = None,
        metafeatures: bool = True,
    ) -> Run:
        """Return a run to train in: `with store.run(...) as run: ... run.result(accuracy=0.9)`.

        Args:
            dataset: a name, cells, an OpenML id, or what `store.dataset` returned.
            algorithm: name of the algorithm; a dotted path such as `sklearn.svm.SVC` lets
                recommendations become estimators.
            config: hyperparameters by name.
            target: name of the target column, or the target values.
            seed: the random seed.
            fidelity: amount of budget given to the run, None for all of it.
            split: how training and test rows were split, in words.
            tags: free text by name.
            parent: id of the run this one belongs to.
            higher_is_better: direction of metrics with unfamiliar names.
            metafeatures: whether to compute the meta-features of cells not seen before, after
                the run has ended.

        Raises:
            InvalidInputError: if the dataset or the config cannot be recorded.
        """
        ref, table = describe(dataset, target)
        record = RunRecord(
            dataset=ref,
            algorithm=_named(algorithm),
            config=config,
            seed=seed,
            fidelity=fidelity,
            split=split,
            tags=dict(tags or {}),
            parent=parent,
        )
        self._recorder.check(record)
        after = None
        if table is not None and metafeatures:
            after = functools.partial(self._extract, ref, table)
        return Run(self._recorder, record, higher_is_better, after)

    def track(
        self, dataset: Any, algorithm: str = "", **options: Any
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that records each call of a training function as a run.

        Keyword arguments of the call are the config. A returned mapping of numbers is the
        results; a returned number is the result `score`.

        Args:
            dataset: as in `run`.
            algorithm: as in `run`; by default the function's name.
            options: further arguments of `run`.
        """
        ref = self.dataset(dataset, options.pop("target", None))

        def decorate(train: Callable[P, R]) -> Callable[P, R]:
            @functools.wraps(train)
            def recorded(*args: P.args, **config: P.kwargs) -> R:
                with self.run(ref, algorithm or train.__name__, config, **options) as run:
                    outcome = train(*args, **config)
                    run.result(**_results(outcome))
                return outcome

            return recorded

        return decorate

    def add(self, records: RunRecord | Iterable[RunRecord]) -> int:
        """Record finished runs, durably, and return how many were written."""
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

    def _extract(self, ref: DatasetRef, table: Table) -> None:
        """Compute and record meta-features once per content and extractor version."""
        from metastore.metafeatures import VERSION, extract  # noqa: PLC0415 - needs pymfe

        mark = self.paths.folder / "described" / f"{dataset_id(ref)}-{VERSION}"
        try:
            if mark.exists():
                return
            features = extract(table)
            if self._recorder.journal.append(self._recorder.metafeature_lines(ref, features)):
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()
        except OSError as error:
            warnings.warn(
                f"meta-features of {ref.name!r} were not recorded: {error}",
                NotRecordedWarning,
                stacklevel=3,
            )

    # Importing

    def import_table(
        self,
        file: str | Path,
        *,
        algorithm: str = "",
        higher_is_better: bool | None = None,
    ) -> ImportReport:
        """Import a table of runs; twice changes nothing.

        Args:
            file: Parquet, CSV, TSV or JSON lines; see `metastore.importers.table`.
            algorithm: the algorithm of a table without such a column.
            higher_is_better: direction of metrics that the table gives none for.

        Raises:
            InvalidInputError: if the file is no table of runs.
            StoreBusyError: if another process holds the tables too long.
        """
        self._ensure_tables()
        self.absorb()
        with self._engine.write() as con:
            return import_table(con, Path(file), TableOptions(algorithm, higher_is_better))

    def import_metafeatures(self, file: str | Path) -> ImportReport:
        """Import a table of meta-features: a column `dataset`, then numeric columns.

        Raises:
            InvalidInputError: if the file is no such table.
        """
        self._ensure_tables()
        self.absorb()
        with self._engine.write() as con:
            return import_metafeatures(con, Path(file))

    def set_direction(self, metric: str, *, higher_is_better: bool) -> None:
        """Settle which direction of a metric is better, over what runs say."""
        self._ensure_tables()
        with self._engine.write() as con:
            con.execute(
                "INSERT INTO store.metric_directions VALUES (?, ?, now()::TIMESTAMP)",
                [metric, higher_is_better],
            )

    # Reading

    def absorb(self) -> Absorbed:
        """Take waiting journals into the tables; readers do this by themselves.

        Raises:
            StoreBusyError: if another process holds the tables too long; nothing is lost.
        """
        self._ensure_tables()
        if not waiting(self.paths):
            return Absorbed()
        return absorb(self._engine)

    def _refresh(self) -> None:
        """Absorb where that is possible, and say so where it is not."""
        try:
            self.absorb()
        except (StoreBusyError, PermissionError) as error:
            warnings.warn(
                f"{len(waiting(self.paths))} journals are not absorbed yet: {error}",
                StaleReadWarning,
                stacklevel=4,
            )

    @contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that only reads, everything recorded so far absorbed.

        The store's tables are in the catalog `store`. Other processes cannot write tables while
        it is open; journals they can.
        """
        self._refresh()
        with self._engine.read() as con:
            yield con

    def view(
        self,
        metric: str,
        algorithm: str | Sequence[str] | None = None,
        exclude: Iterable[str] = (),
        *,
        near_duplicates: bool = False,
    ) -> View:
        """Return one immutable table of past runs, larger-is-better.

        Args:
            metric: the metric's name.
            algorithm: one name or several; None for all.
            exclude: datasets whose runs stay out, together with their near-duplicates; their
                meta-features stay, so that they can be asked about.
            near_duplicates: whether to keep the near-duplicates in.

        Raises:
            UnknownNameError: if the store has no such metric, algorithm or dataset.
            MixedDirectionError: if runs disagree on the metric's direction.
        """
        algorithms = [algorithm] if isinstance(algorithm, str) else list(algorithm or ())
        names = [exclude] if isinstance(exclude, str) else list(exclude)
        with self.reader() as con:
            return read_view(con, metric, algorithms, names, near_duplicates=near_duplicates)

    def label(self, dataset: Any, target: Any = None) -> str:
        """Return the name by which views speak of a dataset; cells are recorded for it.

        Raises:
            UnknownNameError: if it is a name that the store does not have.
        """
        if isinstance(dataset, str) and not is_table_file(dataset):
            ref = describe(dataset, target)[0]
        else:
            ref = self.dataset(dataset, target)
        with self.reader() as con:
            return label_of(con, ref)

    def record_recommendations(
        self, dataset: str, metric: str, recommendations: Iterable[Any]
    ) -> int:
        """Record what was recommended, so that its worth can be told later.

        Args:
            dataset: the dataset's name in views.
            metric: the metric that was asked about.
            recommendations: `recommenders.Recommendation` values, the first to run first.
        """
        with self.reader() as con:
            number = id_of(con, dataset)
        lines = [
            self._recorder.recommendation_line(number, metric, place, recommendation)
            for place, recommendation in enumerate(recommendations, start=1)
        ]
        return len(lines) if self._recorder.journal.append(b"".join(lines)) else 0

    def query(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> pd.DataFrame:
        """Return the rows of a read-only SQL query as a DataFrame.

        Raises:
            InvalidInputError: if DuckDB refuses the query.
        """
        with self._asked(sql, parameters) as found:
            return found.df()

    def rows(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[dict[str, Any]]:
        """Return the rows of a read-only SQL query as dictionaries by column name.

        Raises:
            InvalidInputError: if DuckDB refuses the query.
        """
        with self._asked(sql, parameters) as found:
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    @contextmanager
    def _asked(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object]
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield the result of a query that can reach no file but the store."""
        with self.reader() as con:
            con.execute("SET enable_external_access = false")
            try:
                found = _interruptible(con, sql, parameters)
            except duckdb.Error as error:
                raise InvalidInputError(f"the query failed: {error}") from error
            if found is None or found.description is None:
                raise InvalidInputError(
                    "the query holds no statement; expected one such as SELECT count(*) FROM runs"
                )
            yield found

    def close(self) -> None:
        """Release this process's journal; recording again opens a new one."""
        self._recorder.journal.close()


def _interruptible(
    con: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Sequence[object] | Mapping[str, object],
) -> duckdb.DuckDBPyConnection:
    """Execute in a thread, so that Ctrl-C ends even a query that DuckDB is deep in."""
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(con.execute, sql, parameters or None)
        try:
            return work.result()
        except KeyboardInterrupt:
            con.interrupt()
            raise


def _named(algorithm: object) -> str:
    if isinstance(algorithm, type):
        return f"{algorithm.__module__}.{algorithm.__qualname__}"
    if not isinstance(algorithm, str) or not algorithm.strip():
        raise InvalidInputError(f"algorithm: expected a name, got {algorithm!r}")
    return algorithm.strip()


def _results(outcome: object) -> dict[str, float]:
    if isinstance(outcome, Mapping):
        return dict(outcome)
    return {} if outcome is None else {"score": outcome}  # type: ignore[dict-item]
