"""The cells of a view: all runs of a metric, put together by dataset, algorithm and config.

DuckDB joins runs with their results, and hands a row a run over as Arrow columns; the rest is
numpy, because grouping a million runs by ids and names takes several times as long in SQL.

A cell is the mean over its completed runs, or a failure where it only ever failed. Of runs on
parts of the budget (fidelity) those with the most of it count, all of it above any part. A run
that crashed, its process gone without a word, counts as a failure from the second on: the first
may be the machine's fault. Different splits of a dataset are taken for repeats.

Whatever order the tables stand in, the cells come by dataset id, and in it by algorithm and
config id.

Notation: R rows, N cells, C configs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastore.bound import arrow_table, execute
from metastore.config_texts import ConfigTexts
from metastore.queries import query
from metastore.view import FloatArray, IntArray, View

if TYPE_CHECKING:
    import duckdb

Ids = NDArray[np.uint64]
"""`(n, 2)` upper and lower half of each UUID."""

FEW = 4
"""Where a store has so many times as many configs as runs, only those used are read."""

_CRASHED, _COMPLETED = 0, 2
"""What the query `cells` says of how a run ended; 1 is any other failure."""

DENSE = 4
"""Up to so many times as many numbers as there are items are told apart by counting."""

IN_CACHE = 50_000
"""Up to so many numbers are searched as fast in any order."""

_LOSSLESS = "SET arrow_lossless_conversion = true"
"""Has UUIDs come as 16 bytes, not as text."""

_FOLDED = (
    "SELECT 1 FROM store.metric_values "
    "WHERE metric = $metric AND step IS NULL AND fold IS NOT NULL LIMIT 1"
)


class Cells:
    """Cells as arrays; `dataset` and `config` count from 0, `value` is NaN where all runs failed.

    Args:
        con: a connection that reads.
        metric: the metric's name.
        labels: name by dataset id; a dataset whose line was lost goes by its id.
        without: ids of runs that do not count.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        metric: str,
        labels: Mapping[str, str],
        without: Sequence[str] = (),
    ) -> None:
        with ThreadPoolExecutor(1) as pool:
            # Configs are read whole where most are used: then another thread can read them.
            reading = pool.submit(_texts, con.cursor()) if _most_are_used(con) else None
            table = _but(con, _table(con, metric), without)
            ids = _ids(table["config_id"])
            stored, texts = reading.result() if reading else _texts(con, ids)
        self._group(_Rows.of(table, places(stored, ids)), texts)
        self._name(con, labels)

    def _group(self, rows: _Rows, texts: ConfigTexts) -> None:
        """Put rows `(R,)` together by dataset, algorithm and config."""
        pairs, config = numbered(rows.algorithm * max(1, len(texts)) + rows.place)
        cells, cell = numbered(rows.dataset * max(1, len(pairs)) + config)
        crashed = rows.ended == _CRASHED
        if crashed.any():
            alone = np.bincount(cell)[cell] == 1
            if (crashed & alone).any():
                self._group(rows.take(~(crashed & alone)), texts)
                return
        algorithm, at = np.divmod(pairs, max(1, len(texts)))
        self._algorithms, self.config_algorithm = numbered(algorithm)
        self.texts = texts.take(at)
        self.dataset, self.config = np.divmod(cells, max(1, len(pairs)))
        completed, seconds = rows.ended == _COMPLETED, rows.seconds
        counts, count = completed & np.isfinite(rows.value), len(cells)
        timed = ~np.isnan(seconds)
        if np.isfinite(rows.fidelity).any():
            most = np.full(count, -np.inf)
            np.maximum.at(most, cell[counts], rows.fidelity[counts])
            counts &= rows.fidelity == most[cell]
            parted = np.bincount(cell, rows.fidelity < np.inf, count) > 0
            completed = np.where(parted[cell], counts, completed)
        self.value, counted = _means(cell, rows.value, counts, count)
        self.repeats: IntArray = np.maximum(counted, 1)
        # How long failures took counts where nothing was completed.
        self.seconds, known = _means(cell, seconds, completed & timed, count)
        if not known.all():
            every, _ = _means(cell, seconds, timed, count)
            self.seconds = np.where(known > 0, self.seconds, every)

    def _name(self, con: duckdb.DuckDBPyConnection, labels: Mapping[str, str]) -> None:
        """Number datasets by their names, and put together those that share one."""
        algorithms = con.execute(
            "SELECT algorithm FROM temp.main.numbered_algorithms ORDER BY number"
        ).fetchall()
        self.algorithms: list[str] = [algorithms[i][0] for i in self._algorithms.tolist()]
        ids = con.execute(
            "SELECT dataset_id::VARCHAR FROM temp.main.numbered_datasets ORDER BY dataset"
        ).fetchall()
        used, self.dataset = numbered(self.dataset)
        names = [labels.get(number, number) for (number,) in (ids[i] for i in used.tolist())]
        self.datasets = sorted(set(names))
        place = {name: number for number, name in enumerate(self.datasets)}
        self.dataset = np.array([place[name] for name in names], dtype=np.int64)[self.dataset]
        if len(self.datasets) < len(names):
            self._merge()

    def _merge(self) -> None:
        """Put the cells of datasets that share a label together."""
        cell = self.dataset * max(1, len(self.texts)) + self.config
        _, first, into = np.unique(cell, return_index=True, return_inverse=True)
        if len(first) == len(cell):
            return
        weight = np.where(np.isfinite(self.value), self.repeats, 0.0)
        total = np.bincount(into, weight)
        value = np.bincount(into, np.nan_to_num(self.value) * weight)
        timed = np.isfinite(self.seconds).astype(float)
        seconds = np.bincount(into, np.nan_to_num(self.seconds))
        with np.errstate(invalid="ignore", divide="ignore"):
            self.value = value / np.where(total > 0, total, np.nan)
            self.seconds = seconds / np.where(
                np.bincount(into, timed) > 0, np.bincount(into, timed), np.nan
            )
        self.repeats = np.maximum(total, 1).astype(np.int64)
        self.dataset, self.config = self.dataset[first], self.config[first]

    def view(self, metric: str, higher: bool, wanted: list[str]) -> View:
        """Return the view of the wanted algorithms, all of them when the list is empty."""
        ran = np.isfinite(self.value)
        view = View(
            metric=metric,
            higher_is_better=higher,
            datasets=tuple(self.datasets),
            algorithms=tuple(self.algorithms),
            config_algorithms=self.config_algorithm,
            config_texts=self.texts,
            cell_dataset=self.dataset[ran],
            cell_config=self.config[ran],
            cell_score=self.value[ran] if higher else -self.value[ran],
            cell_repeats=self.repeats[ran],
            cell_seconds=self.seconds[ran],
            failed_dataset=self.dataset[~ran],
            failed_config=self.config[~ran],
            failed_seconds=self.seconds[~ran],
        )
        return view.only(wanted) if wanted else view


def numbered(items: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct numbers in ascending order, and which of them each item is.

    The same as `numpy.unique` with its inverse, without sorting where the numbers lie densely.

    >>> numbered(np.array([4, 7, 4]))
    (array([4, 7]), array([0, 1, 0]))
    """
    if not len(items) or int(items.min()) < 0 or int(items.max()) >= DENSE * len(items):
        found, inverse = np.unique(items, return_inverse=True)
        return found, inverse.astype(np.int64)
    there = np.zeros(int(items.max()) + 1, dtype=bool)
    there[items] = True
    number = np.cumsum(there, dtype=np.int64) - 1
    return np.flatnonzero(there), number[items]


@dataclass(frozen=True)
class _Rows:
    """One row a run, as arrays `(R,)`; `place` is that of its config among the stored ones."""

    dataset: IntArray
    algorithm: IntArray
    place: IntArray
    value: FloatArray
    seconds: FloatArray
    fidelity: FloatArray
    ended: NDArray[np.uint8]

    @classmethod
    def of(cls, table: Any, place: IntArray) -> _Rows:
        """Return the rows of an Arrow table, without those whose config is lost, at -1."""
        rows = cls(
            _numbers(table["dataset"], "i4").astype(np.int64),
            _numbers(table["algorithm"], "i4").astype(np.int64),
            place,
            _numbers(table["value"], "f8"),
            _numbers(table["seconds"], "f8"),
            _numbers(table["fidelity"], "f8"),
            _numbers(table["ended"], "u1"),
        )
        return rows if (place >= 0).all() else rows.take(place >= 0)

    def take(self, kept: NDArray[np.bool_]) -> _Rows:
        """Return some of the rows."""
        return _Rows(*(getattr(self, one.name)[kept] for one in fields(self)))


def _table(con: duckdb.DuckDBPyConnection, metric: str) -> Any:
    """Return a row a run that says something of the metric, as an Arrow table."""
    asked = {"metric": metric}
    execute(con, query("number_datasets"), asked)
    con.execute(query("number_algorithms"))
    con.execute(_LOSSLESS)
    folded = execute(con, _FOLDED, asked).fetchone() is not None
    if not folded:
        found = arrow_table(con, _cells_of("whole_results"), asked)
        runs = np.sort(_numbers(found["run"], "u8"))
        if not (runs[1:] == runs[:-1]).any():
            return found
    return arrow_table(con, _cells_of("last_results"), asked)


def _but(con: duckdb.DuckDBPyConnection, table: Any, without: Sequence[str]) -> Any:
    """Return the rows of an Arrow table whose run is none of these."""
    if not without:
        return table
    hashes = con.execute("SELECT hash(unnest(?::UUID[])) AS run", [list(without)])
    left_out = [run for (run,) in hashes.fetchall()]
    return table.filter(~np.isin(_numbers(table["run"], "u8"), np.array(left_out, "u8")))


def _cells_of(results: str) -> str:
    return f"WITH results AS ({query(results)}) {query('cells')}"


def _most_are_used(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether a store has so few configs for its runs that a view is likely to need them all."""
    found = con.execute(
        "SELECT (SELECT count(*) FROM store.configs), (SELECT count(*) FROM store.runs)"
    ).fetchone()
    return found is not None and found[0] <= FEW * found[1]


def _texts(con: duckdb.DuckDBPyConnection, used: Ids | None = None) -> tuple[Ids, ConfigTexts]:
    """Return ids `(C, 2)` in ascending order, and texts: of the configs used, None for all."""
    con.execute(_LOSSLESS)
    chosen = ""
    if used is not None:
        chosen = "WHERE config_id IN (SELECT hex(id)::UUID FROM used_configs)"
        con.register("used_configs", _as_table(used))
    found = arrow_table(con, f"SELECT config_id, config FROM store.configs {chosen}")
    ids = _ids(found["config_id"])
    order = _ascending(ids)
    return ids[order], ConfigTexts.of_arrow(found["config"]).take(order)


def _ascending(ids: Ids) -> IntArray:
    """Return the order in which ids `(n, 2)` ascend."""
    order = np.argsort(ids[:, 0])
    upper = ids[order, 0]
    # Sorting by both halves takes three times as long, and the upper ones of hashes differ.
    return np.lexsort(ids.T[::-1]) if (upper[1:] == upper[:-1]).any() else order


def places(stored: Ids, asked: Ids) -> IntArray:
    """Return the first place `(R,)` of each asked id among the stored ones, -1 where it is not.

    Args:
        stored: `(C, 2)` in ascending order.
        asked: `(R, 2)`.
    """
    if not len(stored):
        return np.full(len(asked), -1)
    upper, lower = stored[:, 0].copy(), stored[:, 1]
    last = len(stored) - 1
    at = np.minimum(_searched(upper, asked[:, 0]), last)
    while True:
        ahead = (upper[at] == asked[:, 0]) & (lower[at] < asked[:, 1]) & (at < last)
        if not ahead.any():
            break
        at[ahead] += 1
    found = (upper[at] == asked[:, 0]) & (lower[at] == asked[:, 1])
    return np.where(found, at, -1)


def _searched(numbers: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> IntArray:
    """Return where wanted numbers would stand; in order where that saves leaps through memory."""
    if len(numbers) < IN_CACHE:
        return np.searchsorted(numbers, wanted)
    order = np.argsort(wanted)
    found = np.empty(len(wanted), np.int64)
    found[order] = np.searchsorted(numbers, wanted[order])
    return found


def _means(
    cell: IntArray, numbers: FloatArray, counts: NDArray[np.bool_], n_cells: int
) -> tuple[FloatArray, IntArray]:
    """Return the mean `(N,)` of the numbers that count in each cell, and how many there are."""
    if n_cells == len(cell):  # nothing was repeated
        once, alone = np.zeros(n_cells, np.int64), np.full(n_cells, np.nan)
        once[cell] = counts
        alone[cell] = np.where(counts, numbers, np.nan)
        return alone, once
    cell, numbers = cell[counts], numbers[counts]
    count = np.bincount(cell, minlength=n_cells)
    total = np.bincount(cell, numbers, minlength=n_cells)
    mean: FloatArray = total / np.where(count > 0, count, np.nan)
    return mean, count


def _ids(column: Any) -> Ids:
    """Return an Arrow column of UUIDs as `(n, 2)` numbers."""
    return _numbers(column, ">u8", 2).astype(np.uint64).reshape(-1, 2)


def _numbers(column: Any, kind: str, each: int = 1) -> NDArray[Any]:
    """Return the numbers of an Arrow column, `each` a row, none of them missing.

    Arrow's own way imports pandas.
    """
    parts = [np.empty(0, kind)]
    for chunk in column.chunks:
        raw = getattr(chunk, "storage", chunk)
        numbers = np.frombuffer(raw.buffers()[1], kind)
        parts.append(numbers[each * raw.offset : each * (raw.offset + len(raw))])
    return np.concatenate(parts)


def _as_table(ids: Ids) -> Any:
    """Return ids `(n, 2)` as an Arrow table of one binary column `id`."""
    import pyarrow as pa  # noqa: PLC0415 - few stores have many more configs than a view

    raw = pa.py_buffer(ids.astype(">u8").tobytes())
    return pa.table({"id": pa.Array.from_buffers(pa.binary(16), len(ids), [None, raw])})
