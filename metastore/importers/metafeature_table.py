"""A table of meta-features (one row a dataset, numeric columns) into the store."""

from __future__ import annotations

from pathlib import Path

import duckdb

from metastore.errors import InvalidInputError
from metastore.importers.table import ImportReport
from metastore.importers.table_columns import NUMERIC, literal, name, reader

EXTRACTOR = "imported"


def import_metafeatures(con: duckdb.DuckDBPyConnection, file: Path) -> ImportReport:
    """Import a table with a column `dataset` and a numeric column each meta-feature.

    A value that the store has already, unchanged, is left alone. `new_runs` of the report
    counts the new values. An empty cell is recorded as not applicable.

    Raises:
        InvalidInputError: if there is no column `dataset`, or no numeric column beside it.
    """
    source = reader(file)
    header = int("read_csv" in source)  # it is line 1
    if header:
        source = f"read_csv({literal(str(file))}, header = true)"
    try:
        described = con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise InvalidInputError(f"{str(file)!r} cannot be read as a table: {reason}") from error
    columns = [row[0] for row in described if row[0] != "file_row_number"]
    kinds = {row[0]: row[1].split("(")[0] for row in described}
    numeric = [c for c in columns if kinds[c] in (*NUMERIC, "BOOLEAN") and c != "dataset"]
    if "dataset" not in columns or not numeric:
        raise InvalidInputError(
            f"{str(file)!r} is no table of meta-features: expected a column dataset and numeric "
            f"columns, got {', '.join(columns[:20])}"
        )
    casts = ", ".join(f"{name(c)}::DOUBLE AS {name(c)}" for c in numeric)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE staged_features AS "
        "SELECT headstart_line AS line, trim(dataset) AS dataset, "
        "CASE WHEN isfinite(value) THEN value END AS value, name "
        f"FROM (SELECT row_number() OVER () + {header} AS headstart_line, "
        f"dataset::VARCHAR AS dataset, {casts} "
        f"FROM {source}) UNPIVOT INCLUDE NULLS (value FOR name IN "
        f"({', '.join(name(c) for c in numeric)}))"
    )
    return _insert(con, file, [c for c in columns if c not in numeric and c != "dataset"])


def _insert(con: duckdb.DuckDBPyConnection, file: Path, ignored: list[str]) -> ImportReport:
    con.execute("BEGIN")
    try:
        refused = con.execute(
            "SELECT DISTINCT line, 'no dataset' FROM staged_features "
            "WHERE coalesce(dataset, '') = '' ORDER BY line"
        ).fetchall()
        con.execute("DELETE FROM staged_features WHERE coalesce(dataset, '') = ''")
        con.execute(
            "INSERT INTO store.datasets SELECT DISTINCT md5(dataset || chr(31))::UUID, dataset, "
            "NULL, NULL, NULL, NULL, NULL::BIGINT, NULL::BIGINT, now()::TIMESTAMP "
            "FROM staged_features AS s WHERE NOT EXISTS (SELECT 1 FROM store.datasets AS d "
            "WHERE d.dataset_id = md5(s.dataset || chr(31))::UUID)"
        )
        inserted = con.execute(
            "INSERT INTO store.metafeatures SELECT md5(dataset || chr(31))::UUID, name, "
            "'imported', value, CASE WHEN value IS NULL THEN 'not_applicable' ELSE 'computed' END, "
            "NULL, ?, '1', NULL, now()::TIMESTAMP FROM staged_features AS s "
            "WHERE NOT EXISTS (SELECT 1 FROM store.latest_metafeatures AS m "
            "WHERE m.dataset_id = md5(s.dataset || chr(31))::UUID AND m.name = s.name "
            "AND m.value IS NOT DISTINCT FROM coalesce(s.value, 'NaN'::DOUBLE))",
            [EXTRACTOR],
        ).fetchone()
        rows = con.execute("SELECT count(*), count(DISTINCT line) FROM staged_features").fetchone()
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
    assert inserted is not None
    assert rows is not None
    return ImportReport(
        file=str(file),
        rows=rows[1] + len(refused),
        new_runs=inserted[0],
        known_runs=rows[0] - inserted[0],
        failed_runs=0,
        refused=len(refused),
        reasons=tuple(refused),
        notes=(f"columns not used: {', '.join(ignored)}",) if ignored else (),
    )
