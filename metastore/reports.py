"""What a person asks of a store: its runs, its datasets, one of them, and whether it is sound."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import duckdb

from metastore.absorb import waiting
from metastore.errors import InvalidInputError, UnknownNameError
from metastore.journal import Claim
from metastore.queries import query
from metastore.reading import not_found, read_space, rows_of
from metastore.rows import Row, Rows
from metastore.start_checks import fault
from metastore.starts import Start
from metastore.store import MetaStore
from metastore.types import RunStatus


@contextmanager
def _labelled(store: MetaStore) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a reading connection that has the view `labels`."""
    with store.reader() as con:
        con.execute(query("labels"))
        yield con


def _with_results(chosen: str, then: str) -> str:
    """Return the SQL of a query over chosen runs and what they told."""
    return f"WITH chosen AS ({query(chosen)}), told AS ({query('told_results')}) {query(then)}"


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; an empty string is any."""

    dataset: str = ""
    algorithm: str = ""
    status: str = ""
    metric: str = ""
    limit: int = 20


def runs(store: MetaStore, which: RunFilter) -> Rows:
    """Return the newest runs, with their results.

    Raises:
        InvalidInputError: if `status` is no status or `limit` not positive.
        UnknownNameError: if the store has no such dataset, algorithm or metric.
    """
    if which.status and which.status not in list(RunStatus):
        raise InvalidInputError(
            f"no status {which.status!r}; expected one of {', '.join(RunStatus)}"
        )
    if which.limit < 1:
        raise InvalidInputError(f"limit: expected at least 1, got {which.limit}")
    with _labelled(store) as con:
        found = con.execute(
            _with_results("newest_runs", "list_runs"),
            {
                "dataset": which.dataset,
                "algorithm": which.algorithm,
                "status": which.status,
                "metric": which.metric,
                "limit": which.limit,
            },
        )
        listed = rows_of(found)
        if not listed:
            _check_known(con, which)
        return listed


def _check_known(con: duckdb.DuckDBPyConnection, which: RunFilter) -> None:
    """Raise UnknownNameError for a name that nothing in the store has."""
    for kind, name, known in (
        ("dataset", which.dataset, "SELECT DISTINCT label FROM labels"),
        ("algorithm", which.algorithm, "SELECT DISTINCT algorithm FROM store.runs"),
        ("metric", which.metric, "SELECT DISTINCT metric FROM store.metric_values"),
    ):
        names = {row[0] for row in con.execute(known).fetchall()} if name else {name}
        if name not in names:
            raise UnknownNameError(not_found(kind, name, names))


def for_people(rows: list[Row]) -> list[Row]:
    """Return listed runs as a table shows them: ends of ids, bare class names, `C=1.0` configs.

    The end of an id is random and tells runs apart; its beginning may be the time.

    >>> run = {"run": "0194a1b2-0000-7000-8000-0123456789ab", "algorithm": "a.svm.SVC"}
    >>> for_people([{**run, "config": '{"C":1.0}'}])
    [{'run': '456789ab', 'algorithm': 'SVC', 'config': {'C': 1.0}}]
    """
    return [
        {
            **row,
            "run": row["run"][-8:],
            "algorithm": _MODULES.sub("", row["algorithm"]),
            "config": json.loads(row["config"] or "{}"),
        }
        for row in rows
    ]


_MODULES = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])")
_PART_OF_ID = re.compile(r"[0-9a-fA-F-]{4,36}")


def datasets(store: MetaStore) -> Rows:
    """Return all datasets with the number of their runs and meta-features."""
    with _labelled(store) as con:
        return rows_of(con.execute(query("list_datasets")))


def metrics(store: MetaStore) -> Rows:
    """Return all metrics, the most recorded first, with their direction."""
    with store.reader() as con:
        return rows_of(con.execute(query("list_metrics")))


def show(store: MetaStore, what: str) -> Row:
    """Return everything known of a run, a dataset, an algorithm or a start.

    A start of the same name as a dataset or an algorithm stands beside it, under "start".

    Args:
        store: the store.
        what: a dataset's, an algorithm's or a start's name; a run's id, or at least 4 characters
            of its beginning or end; a start's id, or at least 4 characters of its beginning.

    Raises:
        UnknownNameError: if there is none.
        InvalidInputError: if several runs have ids with that beginning or end.
    """
    with _labelled(store) as con:
        found = _show_dataset(con, what) or _show_algorithm(con, what) or _show_run(con, what)
        names = con.execute(
            "SELECT label FROM labels UNION SELECT algorithm FROM store.runs"
        ).fetchall()
    starts = [start.name for start in store.starts()]
    if found is not None:
        return found | ({"start": _show_start(store.start(what))} if what in starts else {})
    try:
        return _show_start(store.start(what))
    except UnknownNameError as error:
        kinds = "run, dataset or algorithm, and no start"
        known = [name for (name,) in names] + starts
        raise UnknownNameError(not_found(kinds, what, known)) from error


def _show_start(start: Start) -> Row:
    """Return all that is stored of a start but its weights."""
    return {
        "start": start.name,
        "id": str(start.start_id),
        "cannot_be_used": fault(start) or None,
        "method": start.method,
        "kind": start.kind,
        "input_shape": start.input_shape,
        "n_way": start.n_way,
        "seconds": start.seconds,
        "licence": start.licence,
        "source": start.source,
        "recorded_at": start.recorded_at,
        "weights": start.weights_path.name,
        "weights_sha256": start.weights_sha256,
        "trained_on": start.trained_on,
        "accuracies": [dict(vars(one)) for one in start.accuracies],
        "normalisation": start.normalisation,
        "learner": start.learner,
    }


def _show_run(con: duckdb.DuckDBPyConnection, what: str) -> Row | None:
    number = _run_id(con, what)
    if number is None:
        return None
    found = rows_of(con.execute(query("show_run"), {"run_id": number}))
    if not found:
        return None
    run = found[0]
    for name in ("config", "tags", "environment"):
        run[name] = json.loads(run[name]) if run[name] else {}
    run["results"] = rows_of(
        con.execute(
            "SELECT metric, fold, value FROM store.metric_values "
            "WHERE run_id = ? AND step IS NULL ORDER BY metric, fold NULLS FIRST",
            [number],
        )
    )
    run["curves"] = rows_of(
        con.execute(
            "SELECT metric, list(step ORDER BY step) AS steps, list(value ORDER BY step) AS values "
            "FROM store.metric_values WHERE run_id = ? AND step IS NOT NULL "
            "GROUP BY metric ORDER BY metric",
            [number],
        )
    )
    return run


def _run_id(con: duckdb.DuckDBPyConnection, what: str) -> UUID | None:
    """Return the id of the one run that is meant, None where there is none."""
    try:
        return UUID(what)
    except ValueError:
        pass
    if not _PART_OF_ID.fullmatch(what):
        return None
    found = con.execute(
        "SELECT DISTINCT run_id FROM store.runs WHERE starts_with(run_id::VARCHAR, $part) "
        "OR ends_with(run_id::VARCHAR, $part) LIMIT 2",
        {"part": what.lower()},
    ).fetchall()
    if len(found) > 1:
        raise InvalidInputError(f"several runs have {what!r} in their id; say more of it")
    return found[0][0] if found else None


def _show_dataset(con: duckdb.DuckDBPyConnection, what: str) -> Row | None:
    known = rows_of(con.execute(query("list_datasets")))
    found = [row for row in known if row["dataset"] == what]
    if not found:
        return None
    dataset = dict(found[0])
    dataset["best"] = rows_of(
        con.execute(_with_results("completed_runs", "best_runs"), {"dataset": what})
    )
    dataset["metafeatures"] = {
        row["name"]: row["value"]
        for row in rows_of(con.execute(query("dataset_metafeatures"), {"dataset": what}))
        if row["status"] == "computed"
    }
    return dataset


def _show_algorithm(con: duckdb.DuckDBPyConnection, what: str) -> Row | None:
    counted = rows_of(
        con.execute(
            "SELECT algorithm, count(*) AS runs, count(DISTINCT dataset_id) AS datasets, "
            "count(DISTINCT config_id) AS configs, median(seconds) AS median_seconds "
            "FROM store.run_states WHERE algorithm = ? GROUP BY algorithm",
            [what],
        )
    )
    if not counted:
        return None
    return {**counted[0], "space": read_space(con, what).describe()}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor`: what was looked at, whether it is well, and what to do if not."""

    check: str
    well: bool
    finding: str


def doctor(store: MetaStore) -> list[Finding]:
    """Look a store over: tables, journals, rejected lines, crashed runs, mixed directions."""
    with _labelled(store) as con:  # absorbs what waits, so journals and rejects are looked at after
        counts = rows_of(con.execute(query("doctor_counts")))[0]
        mixed = con.execute(
            "SELECT metric FROM store.tasks WHERE higher_is_better IS NOT NULL "
            "AND metric NOT IN (SELECT metric FROM store.metric_directions) "
            "GROUP BY metric HAVING count(DISTINCT higher_is_better) > 1"
        ).fetchall()
        version = con.execute("SELECT max(number) FROM store.migrations").fetchone()
    assert version is not None
    orphans = counts["orphans"]
    return [
        Finding(
            "tables",
            True,
            f"{counts['runs']:,} runs, {counts['datasets']:,} datasets, {counts['configs']:,} "
            f"configs, {counts['metric_values']:,} values; schema {version[0]}; DuckDB "
            f"{duckdb.__version__}; {store.paths.database.stat().st_size / 1e6:.1f} MB",
        ),
        _journals(store),
        _rejected(store),
        Finding(
            "references",
            orphans == 0,
            "every run has its config and dataset"
            if not orphans
            else f"{orphans} runs lack their config or dataset: a journal that held them was "
            "removed by hand; restore it to the folder journals",
        ),
        Finding("running", True, f"{counts['running']} runs are running"),
        Finding(
            "crashed",
            True,
            f"{counts['crashed']} runs ended with their process"
            + ("; list them with: headstart runs --status crashed" if counts["crashed"] else ""),
        ),
        Finding(
            "directions",
            not mixed,
            "every metric has one direction"
            if not mixed
            else f"metrics recorded in both directions: {', '.join(row[0] for row in mixed)}; "
            "settle each with store.set_direction(...)",
        ),
        Finding(
            "meta-features",
            True,
            f"{counts['described']:,} of {counts['datasets']:,} datasets have meta-features",
        ),
    ]


def _journals(store: MetaStore) -> Finding:
    alive = dead = 0
    for path in waiting(store.paths):
        try:
            claim = Claim(path)
        except FileNotFoundError:
            continue
        alive, dead = alive + claim.alive, dead + (not claim.alive)
        claim.release()
    text = f"{alive} journals of live processes, {dead} waiting to be absorbed"
    return Finding("journals", True, text)


def _rejected(store: MetaStore) -> Finding:
    kept = sorted(store.paths.rejected.glob("*")) if store.paths.rejected.is_dir() else []
    if not kept:
        return Finding("rejected lines", True, "none")
    return Finding(
        "rejected lines",
        all(path.suffix == ".torn" for path in kept),
        f"{len(kept)} files in {store.paths.rejected.name}: lines that were damaged, or torn when "
        "a process died in the middle of a call; kept as they were",
    )
