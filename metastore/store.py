"""The store: open it, record into it, import into it, read it.

Training processes only ever write journals; whoever reads absorbs them first. So recording
needs no lock, and a reader sees every run whose call returned before it asked.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from metastore.absorb import Absorbed, absorb, waiting
from metastore.datasets import describe, is_table_file
from metastore.engines import FileEngine, StaleReadWarning
from metastore.errors import InvalidInputError
from metastore.importing import Importing
from metastore.journal import Claim
from metastore.paths import StorePaths
from metastore.querying import Querying
from metastore.reading import Strange, described, id_of, label_of, read_space, read_view
from metastore.recording import Recording
from metastore.starting import Starting

if TYPE_CHECKING:
    from metastore.search_space import SearchSpace
    from metastore.view import View

TICK_NANOSECONDS = 50_000_000


def open_store(path: str | Path, *, wait_seconds: float = 10.0, create: bool = True) -> MetaStore:
    """Open the store at `path`, or make it.

    Args:
        path: a folder, or a file ending in `.duckdb`.
        wait_seconds: how long to wait for another process that holds the tables.
        create: whether to make a store where there is none.

    Raises:
        InvalidInputError: if there is a file where a folder is needed, another program's DuckDB
            database, or no store and `create` is false.
        StoreVersionError: if a newer Headstart wrote the store.
    """
    if not create and not is_there(path):
        raise InvalidInputError(
            f"there is no store at {path}; record or import runs first, for example: "
            f"headstart import table runs.csv --store {path}"
        )
    return MetaStore(StorePaths.at(path), wait_seconds)


def is_there(path: str | Path) -> bool:
    """Whether there is a store at `path`, be it journals that wait for their tables.

    Raises:
        InvalidInputError: if there is a file where a folder is needed.
    """
    paths = StorePaths.at(path)
    return paths.database.exists() or bool(waiting(paths))


class MetaStore(Recording, Querying, Importing, Starting):
    """Runs, datasets and what is known of them; made by `metastore.open`.

    Safe for threads, and for processes that fork. Nothing of it is held between calls.
    """

    def __init__(self, paths: StorePaths, wait_seconds: float = 10.0) -> None:
        super().__init__(paths)
        self._engine = FileEngine(paths, wait_seconds)
        self._made = False
        self._ids: dict[str, str] = {}
        self._absorbed: tuple[tuple[str, int, int], ...] | None = None
        self._check()

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the store to another process as its place: there it is opened anew."""
        return MetaStore, (self.paths, self._engine.wait_seconds)

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

    def set_direction(self, metric: str, *, higher_is_better: bool) -> None:
        """Settle which direction of a metric is better, over what runs say."""
        self._ensure_tables()
        with self._engine.write() as con:
            con.execute(
                "INSERT INTO store.metric_directions VALUES (?, ?, now()::TIMESTAMP)",
                [metric, higher_is_better],
            )

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
        exclude: Iterable[str] | None = (),
        *,
        near_duplicates: bool = False,
        without_runs: Iterable[str] = (),
    ) -> View:
        """Return one immutable table of past runs, larger-is-better.

        A config's score on a dataset is the mean over its completed runs: of parts of the budget
        (`fidelity`) those with the most of it, and of all splits, which count as repeats. Of runs
        that were pruned or interrupted, and of one that crashed once, it knows nothing.

        Args:
            metric: the metric's name.
            algorithm: one name or several; None for all.
            exclude: datasets whose runs stay out, together with their near-duplicates; their
                meta-features stay, so that they can be asked about.
            near_duplicates: whether to keep the near-duplicates in.
            without_runs: ids of runs that do not count.

        Raises:
            UnknownNameError: if the store has no such metric, algorithm or dataset.
            MixedDirectionError: if runs disagree on the metric's direction.
        """
        algorithms = [algorithm] if isinstance(algorithm, str) else list(algorithm or ())
        names = [exclude] if isinstance(exclude, str) else list(() if exclude is None else exclude)
        if not isinstance(metric, str):
            raise InvalidInputError(f"metric: expected its name, got {metric!r}")
        with self.reader() as con:
            return read_view(
                con,
                metric,
                algorithms,
                names,
                near_duplicates=near_duplicates,
                without_runs=without_runs,
            )

    def described(self, view: View) -> View:
        """Return a view of this store with the datasets' descriptions as they are now.

        Its runs stay; meta-features and near-duplicates are those recorded by now.
        """
        with self.reader() as con:
            return described(con, view)[1]

    def described_with(self, view: View, strange: Strange) -> tuple[str, View]:
        """Return the same with one more dataset, which is not recorded, and its name there."""
        with self.reader() as con:
            return described(con, view, strange)

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

        Returns:
            How many were recorded: none where nothing can be.

        Raises:
            UnknownNameError: if the store does not have the dataset.
        """
        number = self._ids.get(dataset)
        if number is None:
            with self.reader() as con:
                number = self._ids[dataset] = id_of(con, dataset)
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


def _state(journals: Iterable[Path]) -> tuple[tuple[str, int, int], ...] | None:
    """Return what changes when a journal is written to, None where there is more to be done.

    That is so where a process is dead, and where a file changed just now: clocks of file systems
    tick every few milliseconds, and it may change again within the same tick.
    """
    found = []
    for path in journals:
        try:
            claim = Claim(path)
            claim.release()
            stat = path.stat()
        except OSError:  # another process has just absorbed it
            return None
        if not claim.alive or time.time_ns() - stat.st_mtime_ns < TICK_NANOSECONDS:
            return None
        found.append((path.name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)
