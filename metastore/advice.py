"""What was recommended and what ran since, read together.

A run follows a recommendation if it is of the same algorithm and config, on the same dataset, and
was recorded no earlier. Of several recommendations of one config the last one before the run is
the one it followed: that is what was expected when it started.

What a config is worth is put together as in `metastore.cells`: a result counts more than a
failure, the largest part of the budget (fidelity) more than any smaller one, and a run that
crashed once, its process gone without a word, says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from metastore.bound import Value, execute
from metastore.errors import UnknownNameError
from metastore.queries import query
from metastore.reading import dataset_labels, direction, not_found

if TYPE_CHECKING:
    import duckdb

    from metastore.store import MetaStore

Config = tuple[str, str]
"""An algorithm's name and the id of a config of it."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A config that was recommended, and the first run since of those of it that count.

    Args:
        value: the result, in the metric's own direction; NaN where it only failed.
        expected: what was expected of it, NaN where nothing was.
        low: lower end of the 80% interval.
        high: upper end.
    """

    value: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Advised:
    """Everything known of the advice on one dataset and metric.

    Args:
        dataset: its name in views.
        metric: the metric.
        higher_is_better: its direction.
        given: how many distinct configs were recommended.
        followed: those that ran since, in the order they ran.
        results: the result of every config that ended on the dataset, advised or not, as in a
            view; NaN where it only failed.
    """

    dataset: str
    metric: str
    higher_is_better: bool
    given: int
    followed: list[Followed]
    results: Mapping[Config, float]


@dataclass(frozen=True, slots=True)
class _Ended:
    """A run that ended: `value` is NaN where it gave none, `fidelity` infinite where all of it."""

    status: str
    fidelity: float
    at: datetime
    value: float


@dataclass(slots=True)
class _Case:
    given: dict[Config, list[tuple[datetime, Followed]]] = field(default_factory=dict)
    followed: dict[Config, tuple[float, Followed]] = field(default_factory=dict)
    values: dict[Config, tuple[float, list[float]]] = field(default_factory=dict)
    crashed: set[Config] = field(default_factory=set)

    def ran(self, config: Config, run: _Ended) -> None:
        """Take in a run; runs come in the order in which they were recorded."""
        if run.status == "crashed" and config not in self.crashed:
            self.crashed.add(config)
            return
        counts = run.fidelity if math.isfinite(run.value) else -math.inf
        most, values = self.values.get(config, (-math.inf, []))
        if config not in self.values or counts > most:
            self.values[config] = counts, [run.value]
        elif counts == most:
            values.append(run.value)
        before = [advice for moment, advice in self.given.get(config, ()) if moment <= run.at]
        if before and (config not in self.followed or counts > self.followed[config][0]):
            last = before[-1]
            self.followed[config] = (
                counts,
                Followed(run.value, last.expected, last.low, last.high),
            )


def advised(store: MetaStore, dataset: str = "", metric: str = "") -> list[Advised]:
    """Return what became of the advice, one entry a dataset and metric, by name.

    Args:
        store: the store.
        dataset: only this one; empty for all.
        metric: only this one; empty for all.

    Raises:
        UnknownNameError: if nothing was ever recommended for that dataset or metric.
        MixedDirectionError: if runs disagree on the metric's direction.
    """
    with store.reader() as con:
        labels = dataset_labels(con)
        cases = _given(con, labels)
        _check("dataset", dataset, {name for name, _ in cases})
        _check("metric", metric, {name for _, name in cases})
        wanted = [
            (name, of) for name, of in sorted(cases) if dataset in ("", name) and metric in ("", of)
        ]
        for of in sorted({of for _, of in wanted}):
            _fill(con, labels, of, {name: cases[name, m] for name, m in wanted if m == of})
        return [
            _advised(cases[key], *key, higher_is_better=direction(con, key[1])) for key in wanted
        ]


def _check(kind: str, name: str, known: set[str]) -> None:
    if name and name not in known:
        hint = not_found(kind, name, known) if known else "nothing was recommended yet"
        raise UnknownNameError(f"no advice on {kind} {name!r}: {hint}")


def _given(
    con: duckdb.DuckDBPyConnection, labels: Mapping[str, str]
) -> dict[tuple[str, str], _Case]:
    cases: dict[tuple[str, str], _Case] = {}
    for number, metric, algorithm, config, *numbers, _, at in con.execute(
        query("advice_given")
    ).fetchall():
        case = cases.setdefault((labels.get(number, number), metric), _Case())
        expected, low, high = (math.nan if n is None else float(n) for n in numbers)
        advice = Followed(math.nan, expected, low, high)
        case.given.setdefault((algorithm, config), []).append((at, advice))
    return cases


def _fill(
    con: duckdb.DuckDBPyConnection,
    labels: Mapping[str, str],
    metric: str,
    cases: Mapping[str, _Case],
) -> None:
    """Add the runs on these datasets, by the dataset's name: it may go by several ids."""
    numbers = [number for number, name in labels.items() if name in cases]
    asked: dict[str, Value] = {"metric": metric, "datasets": numbers}
    runs = f"WITH results AS ({query('last_results')}) {query('ended_runs')}"
    for number, algorithm, config, status, fidelity, at, value in execute(
        con, runs, asked
    ).fetchall():
        run = _Ended(status, fidelity, at, math.nan if value is None else value)
        cases[labels[number]].ran((algorithm, config), run)


def _advised(case: _Case, dataset: str, metric: str, *, higher_is_better: bool) -> Advised:
    results = {}
    for config, (_, values) in case.values.items():
        results[config] = sum(values) / len(values)
    followed = [one for _, one in case.followed.values()]
    return Advised(dataset, metric, higher_is_better, len(case.given), followed, results)
