"""A table of meta-features (one row a dataset, numeric columns) into the store.

A cell that is no number is refused with its line; the other cells of its row are kept, and nothing
is recorded in its place. In text files (CSV, JSON lines) a column is numeric if at least half of
its cells that say anything are numbers, so that one word does not cost a column; in Parquet the
column's type says it. An empty cell, or one that says that there is nothing (`nan`, `?`), is
recorded as not applicable. Where two rows of a file disagree on a dataset, the later is refused.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from metastore.errors import InvalidInputError
from metastore.importers.table import ImportReport
from metastore.importers.table_cells import plain
from metastore.importers.table_columns import LINE, NUMERIC, name
from metastore.importers.table_lines import Places, places
from metastore.importers.table_source import readable, unreadable
from metastore.importers.table_staging import numbered_rows, reader_refusals
from metastore.queries import query

EXTRACTOR = "imported"

_NUMERIC_SHARE = 0.5
_MISSING = "('', 'nan', 'nat', 'none', 'null', 'na', 'n/a', '<na>', '?', '-')"
_BOOLEAN = "CASE lower(trim({said})) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 END"


def import_metafeatures(con: duckdb.DuckDBPyConnection, file: Path) -> ImportReport:
    """Import a table with a column `dataset` and a numeric column each meta-feature.

    A value that the store has already, unchanged, is left alone. `new_runs` of the report
    counts the new values, `reasons` name the cells and rows that were refused, and `refused` counts
    the rows that these are in.

    Raises:
        InvalidInputError: if there is no column `dataset`, or no numeric column beside it.
    """
    with readable(con, file) as (source, described):
        try:
            dataset, numeric, others = _staged(con, source, described, file)
        except duckdb.Error as error:
            raise unreadable(file, error) from error
        if not dataset or not numeric:
            raise InvalidInputError(
                f"{str(file)!r} is no table of meta-features: expected a column dataset and "
                "numeric columns, got "
                f"{', '.join(([dataset] * bool(dataset) + numeric + others)[:20])}"
            )
        reader_refusals(con, file)
        where, reasons = _refused(con, file, source)
    return _insert(con, file, others, where, reasons)


def _staged(
    con: duckdb.DuckDBPyConnection, source: str, described: list[tuple[str, str]], file: Path
) -> tuple[str, list[str], list[str]]:
    """Fill `staged_features`; return the column of datasets, the numeric ones, and the others."""
    kinds = {column: kind for column, kind in described if column != "file_row_number"}
    dataset = next((c for c in kinds if c.strip().lower() == "dataset"), "")
    numeric = [c for c in _numeric(con, source, kinds) if c != dataset]
    if dataset and numeric:
        _stage(con, numbered_rows(source), kinds, dataset, numeric)
    return dataset, numeric, [c for c in kinds if c not in numeric and c != dataset]


def _numeric(con: duckdb.DuckDBPyConnection, source: str, kinds: dict[str, str]) -> list[str]:
    """Return the columns of numbers: by their type, or in a text file by what they say."""
    typed = [c for c in kinds if kinds[c].split("(")[0] in (*NUMERIC, "BOOLEAN")]
    if "read_parquet" in source:
        return typed
    texts = [c for c in kinds if c not in typed]
    counts = ", ".join(
        f"count(*) FILTER ({_said(c, kinds)} NOT IN {_MISSING}), count({_number(c, kinds)})"
        for c in texts
    )
    found = con.execute(f"SELECT {counts} FROM {source} AS raw").fetchone() if texts else ()
    found = found or ()
    wordy = {
        column
        for column, given, numbers in zip(texts, found[::2], found[1::2], strict=True)
        if given and numbers < _NUMERIC_SHARE * given
    }
    return [c for c in kinds if c not in wordy]


def _said(column: str, kinds: dict[str, str]) -> str:
    """Return the SQL of a cell as trimmed text in lower case, '' where it is empty."""
    return f"lower(trim(coalesce({plain(column, kinds[column])}::VARCHAR, '')))"


def _number(column: str, kinds: dict[str, str]) -> str:
    """Return the SQL of a cell as a number, NULL where it is none."""
    cell = plain(column, kinds[column])
    if kinds[column] not in ("VARCHAR", "JSON"):
        return f"{cell}::DOUBLE"
    return f"coalesce(try_cast({cell} AS DOUBLE), {_BOOLEAN.format(said=cell)})"


def _stage(
    con: duckdb.DuckDBPyConnection,
    rows: str,
    kinds: dict[str, str],
    dataset: str,
    numeric: list[str],
) -> None:
    """Fill `staged_features`, one row a cell: its number, or what is wrong with it."""
    label = f"trim({plain(dataset, kinds[dataset])}::VARCHAR)"
    cells = ", ".join(
        f"{{'said': {_said(c, kinds)}, 'number': {_number(c, kinds)}}} AS {name(c)}"
        for c in numeric
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE staged_features AS "
        "SELECT headstart_line AS line, headstart_dataset AS dataset, "
        "CASE WHEN isfinite(cell.number) THEN cell.number END AS value, feature AS name, "
        "CASE WHEN coalesce(headstart_dataset, '') = '' THEN 'no dataset' "
        f"WHEN cell.number IS NULL AND cell.said NOT IN {_MISSING} "
        "THEN feature || ' ' || left(cell.said, 40) || ' is not a number' END AS problem, "
        "NULL::BIGINT AS earlier "
        f"FROM (SELECT {LINE} AS headstart_line, {label} AS headstart_dataset, {cells} "
        f"FROM {rows} AS raw) UNPIVOT (cell FOR feature IN "
        f"({', '.join(name(c) for c in numeric)}))"
    )
    con.execute(query("refuse_other_features"))


def _refused(
    con: duckdb.DuckDBPyConnection, file: Path, source: str
) -> tuple[Places, list[tuple[int, str]]]:
    """Return where refused cells stand, and the numbers of their rows with the reasons."""
    found = con.execute(
        "SELECT DISTINCT line, problem, earlier, dataset, name FROM staged_features "
        "WHERE problem IS NOT NULL ORDER BY ALL"
    ).fetchall()
    read = con.execute("SELECT coalesce(max(line), 0) FROM staged_features").fetchone()
    assert read is not None
    rows = {row for line, _, earlier, *_ in found for row in (line, earlier) if row is not None}
    where = places(con, file, source, rows, read[0])
    return where, [
        (line, problem)
        if earlier is None
        else (
            line,
            f"dataset {dataset} is in {where.counted} {where.rows[earlier]} already, with another "
            f"{feature}",
        )
        for line, problem, earlier, dataset, feature in found
    ]


def _insert(
    con: duckdb.DuckDBPyConnection,
    file: Path,
    ignored: list[str],
    where: Places,
    reasons: list[tuple[int, str]],
) -> ImportReport:
    con.execute("BEGIN")
    try:
        rows = con.execute("SELECT count(DISTINCT line) FROM staged_features").fetchone()
        con.execute("DELETE FROM staged_features WHERE problem IS NOT NULL")
        con.execute(
            "INSERT INTO store.datasets SELECT DISTINCT md5(dataset || chr(31))::UUID, dataset, "
            "NULL, NULL, NULL, NULL, NULL::BIGINT, NULL::BIGINT, now()::TIMESTAMP "
            "FROM staged_features AS s WHERE NOT EXISTS (SELECT 1 FROM store.datasets AS d "
            "WHERE d.dataset_id = md5(s.dataset || chr(31))::UUID)"
        )
        inserted = con.execute(query("insert_staged_features"), [EXTRACTOR]).fetchone()
        cells = con.execute(
            "SELECT count(*) FROM (SELECT DISTINCT dataset, name FROM staged_features)"
        ).fetchone()
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
    assert inserted is not None
    assert rows is not None
    assert cells is not None
    return ImportReport(
        file=str(file),
        rows=rows[0] + len(where.unread),
        new_runs=inserted[0],
        known_runs=cells[0] - inserted[0],
        failed_runs=0,
        refused=len({line for line, _ in reasons}) + len(where.unread),
        reasons=where.listed(reasons),
        notes=(f"columns not used: {', '.join(ignored)}",) if ignored else (),
        counted=where.counted,
    )
