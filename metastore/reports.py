"""What a person asks of a store: its runs, its datasets, one of them, and whether it is sound."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import duckdb

from metastore.absorb import waiting
from metastore.errors import InvalidInputError, UnknownNameError
from metastore.journal import Claim
from metastore.queries import query
from metastore.reading import not_found, read_space
from metastore.store import MetaStore

Row = dict[str, Any]


def rows_of(cursor: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return a result as dictionaries by column name."""
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; an empty string is any."""

    dataset: str = ""
    algorithm: str = ""
    status: str = ""
    metric: str = ""
    limit: int = 20


def runs(store: MetaStore, which: RunFilter) -> list[Row]:
    """Return the newest runs, with their results.

    Raises:
        InvalidInputError: if `status` is no status or `limit` not positive.
    """
    statuses = ("", "running", "completed", "failed", "pruned", "crashed", "timeout")
    if which.status not in statuses:
        raise InvalidInputError(
            f"no status {which.status!r}; expected one of {', '.join(statuses[1:])}"
        )
    if which.limit < 1:
        raise InvalidInputError(f"limit: expected at least 1, got {which.limit}")
    with store.reader() as con:
        found = con.execute(
            query("list_runs"),
            {
                "dataset": which.dataset,
                "algorithm": which.algorithm,
                "status": which.status,
                "metric": which.metric,
                "limit": which.limit,
            },
        )
        return rows_of(found)


def datasets(store: MetaStore) -> list[Row]:
    """Return all datasets with the number of their runs and meta-features."""
    with store.reader() as con:
        return rows_of(con.execute(query("list_datasets")))


def metrics(store: MetaStore) -> list[Row]:
    """Return all metrics, the most recorded first, with their direction."""
    with store.reader() as con:
        return rows_of(con.execute(query("list_metrics")))


def show(store: MetaStore, what: str) -> Row:
    """Return everything known of a run (by id), a dataset or an algorithm (by name).

    Raises:
        UnknownNameError: if there is none.
    """
    with store.reader() as con:
        found = _show_run(con, what) or _show_dataset(con, what) or _show_algorithm(con, what)
        if found is not None:
            return found
        names = con.execute(
            "SELECT name FROM store.datasets UNION SELECT algorithm FROM store.runs"
        ).fetchall()
    raise UnknownNameError(not_found("run, dataset or algorithm", what, [n for (n,) in names]))


def _show_run(con: duckdb.DuckDBPyConnection, what: str) -> Row | None:
    try:
        number = UUID(what)
    except ValueError:
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


def _show_dataset(con: duckdb.DuckDBPyConnection, what: str) -> Row | None:
    known = rows_of(con.execute(query("list_datasets")))
    found = [row for row in known if row["dataset"] == what]
    if not found:
        return None
    dataset = dict(found[0])
    dataset["best"] = rows_of(con.execute(query("best_runs"), {"dataset": what}))
    dataset["metafeatures"] = {
        row["name"]: (row["value"] if row["status"] == "computed" else row["status"])
        for row in rows_of(con.execute(query("dataset_metafeatures"), {"dataset": what}))
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
    findings = [_journals(store), _rejected(store)]
    with store.reader() as con:
        counts = rows_of(con.execute(query("doctor_counts")))[0]
        mixed = con.execute(
            "SELECT metric FROM store.tasks WHERE higher_is_better IS NOT NULL "
            "AND metric NOT IN (SELECT metric FROM store.metric_directions) "
            "GROUP BY metric HAVING count(DISTINCT higher_is_better) > 1"
        ).fetchall()
        version = con.execute("SELECT max(number) FROM store.migrations").fetchone()
    assert version is not None
    findings.insert(
        0,
        Finding(
            "tables",
            True,
            f"{counts['runs']:,} runs, {counts['datasets']:,} datasets, {counts['configs']:,} "
            f"configs, {counts['metric_values']:,} values; schema {version[0]}; DuckDB "
            f"{duckdb.__version__}; {store.paths.database.stat().st_size / 1e6:.1f} MB",
        ),
    )
    orphans = counts["orphans"]
    findings += [
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
    return findings


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
