"""A table of runs (Parquet, CSV, JSON lines) into the store, in bulk.

Identity: importing a file twice changes nothing, whatever the order of its rows, and a file that
has grown by runs brings just its new ones. Where every row is a run of its own, a row is known if
an imported run says exactly the same, repeats counted. Rows that speak of the same run (several
metrics, steps or folds of one dataset, config and seed) become one run, whose id is the hash of
everything that the table says of it: where a run itself has grown, by a fold or a metric, it is
another run beside the one that was imported before. A metric of which a run has steps alone
counts with its last value.

A row without a finite value and without a status is a failed run: that it diverged is worth
knowing. A row that cannot be understood is refused with its line and reason; the others land.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from metastore.importers.table_cells import plain
from metastore.importers.table_columns import Columns
from metastore.importers.table_lines import MAX_REPORTED, places
from metastore.importers.table_source import readable, unreadable
from metastore.importers.table_staging import TableOptions, stage
from metastore.metrics import known_direction
from metastore.packed import file_stem
from metastore.queries import query

_NEW_ROWS = "CREATE OR REPLACE TEMP VIEW new_rows AS SELECT * FROM staged"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Args:
        file: the file's name.
        rows: rows in the file.
        new_runs: runs that the store did not have.
        known_runs: runs that it had already; they were left alone.
        failed_runs: new runs without a finite value.
        refused: how many rows were refused.
        reasons: line and reason of the first refused rows; lines count from 1, the header of a
            CSV file is line 1, and of a row of several lines the first is named.
        notes: what was assumed, in sentences.
        counted: what the numbers in `reasons` count: `line`, or `row` (without a header) where a
            file has no lines, or it cannot be told in which one a row stands.
    """

    file: str
    rows: int
    new_runs: int
    known_runs: int
    failed_runs: int
    refused: int
    reasons: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = field(default=())
    counted: str = "line"


def import_table(con: duckdb.DuckDBPyConnection, file: Path, options: TableOptions) -> ImportReport:
    """Import a table of runs over a connection that may write.

    Raises:
        InvalidInputError: if the file is no table of runs.
    """
    with readable(con, file) as (source, described):
        try:
            words = _words(con, source, described)
        except duckdb.Error as error:
            raise unreadable(file, error) from error
        return _import(con, file, options, source, Columns.of(described, file, words))


def _import(
    con: duckdb.DuckDBPyConnection,
    file: Path,
    options: TableOptions,
    source: str,
    columns: Columns,
) -> ImportReport:
    """Import what `source` reads, which is a file or a copy of it."""
    notes = _notes(columns, options, file)
    # What is staged is no part of the transaction: DuckDB reads what a transaction has just
    # written with one thread.
    refused = stage(con, source, columns, options, file)
    con.execute("SET preserve_insertion_order = false")  # rows carry their line from here on
    _settle_directions(con, options)
    grouped = _identify(con)
    stated = "SELECT DISTINCT line, problem FROM staged WHERE problem IS NOT NULL ORDER BY line"
    reasons = con.execute(f"{stated} LIMIT {MAX_REPORTED}").fetchall()
    read = con.execute("SELECT coalesce(max(line), 0) FROM staged").fetchone()
    assert read is not None
    where = places(con, file, source, [row for row, _ in reasons], read[0])
    con.execute("BEGIN")
    try:
        report = _insert(con, file, refused, notes, grouped)
        report = replace(
            report, rows=refused + (report.rows - refused) // max(1, len(columns.metrics))
        )
    except BaseException:
        con.execute("ROLLBACK")
        raise
    finally:
        con.execute("RESET preserve_insertion_order")
    con.execute("COMMIT")
    return replace(report, reasons=where.listed(reasons), counted=where.counted)


def _words(
    con: duckdb.DuckDBPyConnection, source: str, described: list[tuple[str, str]]
) -> frozenset[str]:
    """Return the columns that have a metric's name and hold words: `loss` may be `hinge`."""
    named = {
        column: f"{plain(column, kind)}::VARCHAR"
        for column, kind in described
        if kind in ("VARCHAR", "JSON") and known_direction(column) is not None
    }
    if not named:
        return frozenset()
    counts = ", ".join(
        f"count(nullif(trim({said}), '')), count(try_cast({said} AS DOUBLE))"
        for said in named.values()
    )
    found = con.execute(f"SELECT {counts} FROM {source} AS raw").fetchone() or ()
    pairs = zip(named, found[::2], found[1::2], strict=True)
    return frozenset(column for column, given, numbers in pairs if given and not numbers)


def _notes(columns: Columns, options: TableOptions, file: Path) -> list[str]:
    notes = []
    if not columns.has("algorithm") and not options.algorithm:
        notes.append(
            f"no column algorithm: the algorithm is named after the file, {file_stem(file)!r}"
        )
    if columns.metrics:
        notes.append(f"columns read as metrics: {', '.join(columns.metrics)}")
        notes.append(f"columns read as hyperparameters: {', '.join(columns.config)}")
    if columns.known.get("seed", "seed").lower() != "seed":
        notes.append(f"column {columns.known['seed']!r} read as the seed")
    if columns.ignored:
        notes.append(f"columns not used: {', '.join(columns.ignored)}")
    return notes


def _settle_directions(con: duckdb.DuckDBPyConnection, options: TableOptions) -> None:
    """Give every metric one direction, and refuse rows that contradict it."""
    rows = con.execute(query("staged_directions")).fetchall()
    for metric, in_store, in_file, mixed, any_missing in rows:
        direction = in_store if in_store is not None else in_file
        if direction is None:
            direction = options.higher_is_better
        if direction is None:
            direction = known_direction(metric)
        if direction is None:
            con.execute(
                "UPDATE staged SET problem = coalesce(problem, ?) WHERE metric = ?",
                [
                    f"the direction of metric {metric!r} is unknown: add a column "
                    "higher_is_better, or say --higher-is-better or --lower-is-better",
                    metric,
                ],
            )
            continue
        if mixed or (in_file is not None and in_file != direction):
            known = "the store" if in_store is not None else "its first row"
            con.execute(
                "UPDATE staged SET problem = ? "
                "WHERE problem IS NULL AND metric = ? AND higher_is_better <> ?",
                [
                    f"mixed directions: metric {metric!r} is "
                    f"{'higher' if direction else 'lower'}-is-better in {known}",
                    metric,
                    direction,
                ],
            )
        if any_missing:
            con.execute(
                "UPDATE staged SET higher_is_better = ? "
                "WHERE metric = ? AND higher_is_better IS NULL",
                [direction, metric],
            )


def _identify(con: duckdb.DuckDBPyConnection) -> bool:
    """Give every staged row its run, find known ones, and say whether a run has several rows."""
    counted = con.execute(
        "SELECT count(run_id), count(*) - count(problem), "
        "(SELECT count(*) FROM store.runs SEMI JOIN staged_datasets USING (dataset_id)) FROM staged"
    ).fetchone()
    assert counted is not None
    identified, rows, recorded = counted
    grouped = bool(rows and not identified)
    if grouped:
        con.execute(query("identify_grouped_runs"))
    if not recorded:
        con.execute(query("no_known_runs"))
        con.execute(f"{_NEW_ROWS} WHERE problem IS NULL")
        return grouped
    lone = "QUALIFY count(*) OVER (PARTITION BY run_id) = 1" if grouped else ""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE lone_rows AS "
        f"SELECT * FROM staged WHERE problem IS NULL AND step IS NULL AND fold IS NULL {lone}"
    )
    con.execute(query("known_single_runs"))
    if grouped:
        con.execute(query("known_grouped_runs"))
    con.execute(f"{_NEW_ROWS} ANTI JOIN known_runs USING (run_id) WHERE problem IS NULL")
    return grouped


def _insert(
    con: duckdb.DuckDBPyConnection, file: Path, refused: int, notes: list[str], grouped: bool
) -> ImportReport:
    # In order, all threads insert: twice as fast with two of them.
    con.execute("SET preserve_insertion_order = true")
    con.execute(query("insert_staged_runs"))
    _insert_configs(con)
    con.execute(query("insert_grouped_runs" if grouped else "insert_single_runs"))
    con.execute(query("insert_staged_values"))
    counts = con.execute(query("count_staged"), {"grouped": grouped}).fetchone()
    assert counts is not None
    rows, problems, runs, known, failed = counts
    return ImportReport(
        file=str(file),
        rows=rows + refused,
        new_runs=runs - known,
        known_runs=known,
        failed_runs=failed,
        refused=problems + refused,
        notes=tuple(notes),
    )


def _insert_configs(con: duckdb.DuckDBPyConnection) -> None:
    """Insert the configs that the store does not have.

    What comes straight from a table is inserted by all threads, which what comes from a join is
    not.
    """
    told = con.execute(query("count_staged_configs")).fetchone()
    assert told is not None
    known, several_ways = told
    new = "said_configs" + (" ANTI JOIN store.configs USING (config_id)" if known else "")
    one, grouped = ("any_value(config)", "GROUP BY config_id") if several_ways else ("config", "")
    con.execute(f"INSERT INTO store.configs SELECT config_id, {one} FROM {new} {grouped}")
