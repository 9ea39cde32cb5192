"""The store: open it, record into it, import into it, read it.

Training processes only ever write journals; whoever reads absorbs them first. So recording
needs no lock, and a reader sees every run whose call returned before it asked.
"""

from __future__ import annotations

import contextlib
import functools
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

import duckdb

from metastore.absorb import Absorbed, absorb, waiting
from metastore.datasets import describe, is_table_file
from metastore.engines import FileEngine, StaleReadWarning
from metastore.errors import InvalidInputError
from metastore.importers.metafeature_table import import_metafeatures
from metastore.importers.table import ImportReport, TableOptions, import_table
from metastore.journal import Claim, Journal, NotRecordedWarning
from metastore.paths import StorePaths
from metastore.reading import id_of, label_of, read_space, read_view
from metastore.recorder import Recorder
from metastore.records import checked
from metastore.run import Run
from metastore.types import Config, DatasetRef, RunRecord, dataset_id

if TYPE_CHECKING:
    import pandas as pd

    from metastore.search_space import SearchSpace
    from metastore.tabular import Table
    from metastore.view import View

TICK_NANOSECONDS = 50_000_000

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
        self._absorbed: tuple[tuple[str, int, int], ...] | None = None
        self._check()

    def _check(self) -> None:
        """Make the tables now where that is possible at once; recording does without.

        Nothing is said where it is not: whoever reads hears of it, and whoever cannot record.
        """
        with contextlib.suppress(OSError):  # StoreBusyError is one
            self._ensure_tables(wait_seconds=0.0 if self.paths.database.exists() else None)

    def _ensure_tables(self, wait_seconds: float | None = None) -> None:
        if not self._made:
            self.paths.database.parent.mkdir(parents=True, exist_ok=True)
            self._engine.create(wait_seconds)
            self.paths.folder.mkdir(parents=True, exist_ok=True)
            self._made = True

    # Recording

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
        space: SearchSpace | None = None,
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
            space: the search space that the config was drawn from.
            metafeatures: whether to compute the meta-features of cells not seen before, after
                the run has ended.

        Raises:
            InvalidInputError: if the dataset or the config cannot be recorded.
        """
        ref, table = describe(dataset, target)
        record = checked(
            RunRecord(
                dataset=ref,
                algorithm=_named(algorithm),
                config=config,
                seed=seed,
                fidelity=fidelity,
                split=split,
                tags={} if tags is None else tags,
                parent=parent,
                space="" if space is None else space.to_json(),
            )
        )
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
            if self._recorder.write(lambda: self._recorder.metafeature_lines(ref, features)):
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
        journals = waiting(self.paths)
        if not journals:
            return Absorbed()
        seen = _state(journals)
        if seen is not None and seen == self._absorbed:
            return Absorbed()
        done = absorb(self._engine)
        self._absorbed = seen
        return done

    def _refresh(self) -> None:
        """Absorb where that is possible, and say so where it is not."""
        try:
            self.absorb()
        except OSError as error:  # busy, not to be written, or the disk is full
            left = len(waiting(self.paths))
            if left:
                warnings.warn(
                    f"{left} journals are not absorbed yet, so the answer may lack their runs: "
                    f"{error}",
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
        kept = list(recommendations)
        done = self._recorder.write(
            lambda: b"".join(
                self._recorder.recommendation_line(number, metric, place, recommendation)
                for place, recommendation in enumerate(kept, start=1)
            )
        )
        return len(kept) if done else 0

    def search_space(self, algorithm: str) -> SearchSpace:
        """Return where an algorithm's configs may lie.

        The space that was recorded last, or else one that is inferred from the recorded
        configs; `describe()` shows it, detected log scales included.

        Raises:
            UnknownNameError: if the algorithm has no runs.
        """
        with self.reader() as con:
            return read_space(con, algorithm)

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
                found = con.execute(sql, parameters or None)
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


def _state(journals: Iterable[Path]) -> tuple[tuple[str, int, int], ...] | None:
    """Return what changes when a journal is written to, None where there is more to be done.

    That is so where a process is dead, and where a file changed just now: clocks of file systems
    tick every few milliseconds, and it may change again within the same tick.
    """
    found = []
    for path in journals:
        try:
            claim = Claim(path)
        except OSError:
            return None
        claim.release()
        stat = path.stat()
        if not claim.alive or time.time_ns() - stat.st_mtime_ns < TICK_NANOSECONDS:
            return None
        found.append((path.name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _named(algorithm: object) -> str:
    if isinstance(algorithm, str) and algorithm.strip():
        return algorithm.strip()
    if isinstance(algorithm, type):
        return f"{algorithm.__module__}.{algorithm.__qualname__}"
    if hasattr(algorithm, "get_params"):
        from metastore.importers.flows import flow_name  # noqa: PLC0415 - needs scikit-learn

        return flow_name(algorithm)
    raise InvalidInputError(
        f"algorithm: expected a name, a class or an estimator, got {algorithm!r}"
    )


def _results(outcome: object) -> dict[str, float]:
    if isinstance(outcome, Mapping):
        return dict(outcome)
    return {} if outcome is None else {"score": outcome}  # type: ignore[dict-item]
