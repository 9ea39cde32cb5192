"""Staging a table of runs: every row as values of their kinds, or with the reason to refuse it.

All of it is SQL that is put together from the columns that a table has; nothing is written to the
store yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from metastore.errors import InvalidInputError
from metastore.importers.table_cells import KINDS, cast, negative_time, plain, problem, text
from metastore.importers.table_columns import (
    LINE,
    STATUSES,
    Columns,
    literal,
    name,
)
from metastore.importers.table_configs import ConfigSql, parse_rest, stage_configs
from metastore.packed import file_kind, file_stem


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What a person says of a table beyond its columns.

    Args:
        algorithm: the algorithm of a table without such a column.
        higher_is_better: direction of metrics that the table does not give one for.
    """

    algorithm: str = ""
    higher_is_better: bool | None = None


def stage(
    con: duckdb.DuckDBPyConnection,
    source: str,
    columns: Columns,
    options: TableOptions,
    file: Path,
) -> int:
    """Fill the temporary table `staged`, one row a value; return rows the reader refused."""
    numbered = numbered_rows(source)
    if columns.metrics:
        numbered = _unpivot(numbered, columns)
    configs = stage_configs(con, numbered, columns)
    several = _several_rows_a_run(con, numbered, columns)
    staged = _expressions(columns, configs, options, file) + configs.beside
    rows = f"{configs.rows} AS raw {configs.join}"
    run_id = "NULL::UUID" if several else "uuidv7()"
    try:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE staged AS "
            f"SELECT *, CASE WHEN problem IS NULL THEN {run_id} END AS run_id "
            f"FROM (SELECT {staged} FROM {rows})",
            configs.values,
        )
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise InvalidInputError(f"{str(file)!r} cannot be read as a table: {reason}") from error
    parse_rest(con, configs)
    con.execute(
        "CREATE OR REPLACE TEMP VIEW said_configs AS "
        f"SELECT config_id, config FROM {configs.table} WHERE config IS NOT NULL"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE staged_datasets AS SELECT DISTINCT "
        f"{_dataset_id(columns)} AS dataset_id, trim({text(columns, 'dataset')}) AS name, "
        f"nullif({text(columns, 'dataset_source_id')}, '') AS source_id, "
        f"nullif({text(columns, 'target')}, '') AS target FROM {numbered} AS raw"
    )
    return reader_refusals(con, file)


def numbered_rows(source: str) -> str:
    """Return the SQL of a file's rows with their numbers, from 1, among those that are read."""
    is_parquet = "file_row_number" in source
    line = "file_row_number + 1" if is_parquet else "row_number() OVER ()"
    return f"(SELECT {line} AS {LINE}, * FROM {source})"


def _dataset_id(columns: Columns) -> str:
    return f"md5(trim({text(columns, 'dataset')}) || chr(31))::UUID"


def _several_rows_a_run(con: duckdb.DuckDBPyConnection, numbered: str, columns: Columns) -> bool:
    """Whether rows may have to be put together: several metrics, steps or folds."""
    if columns.has("step") or columns.has("fold") or len(columns.metrics) > 1:
        return True
    metric = text(columns, "metric", "metric")
    counted = con.execute(f"SELECT count(DISTINCT {metric}) FROM {numbered} AS raw").fetchone()
    return bool(counted and counted[0] > 1)


def _unpivot(numbered: str, columns: Columns) -> str:
    metrics = ", ".join(name(c) for c in columns.metrics)
    casts = ", ".join(
        f"{plain(c, columns.types[c])}::VARCHAR AS {name(c)}" for c in columns.metrics
    )
    return (
        f"(SELECT * FROM (SELECT * REPLACE ({casts}) FROM {numbered} AS raw) "
        f"UNPIVOT INCLUDE NULLS (value FOR metric IN ({metrics})))"
    )


def reader_refusals(con: duckdb.DuckDBPyConnection, file: Path) -> int:
    """Move what the CSV reader could not split into `refused_lines`, and return how many."""
    con.execute("CREATE OR REPLACE TEMP TABLE refused_lines (line BIGINT, reason VARCHAR)")
    if file_kind(file) not in (".csv", ".tsv"):
        return 0
    con.execute(
        "INSERT INTO refused_lines SELECT line, any_value(error_message) "
        "FROM temp.main.reject_errors GROUP BY line"
    )
    con.execute("DELETE FROM temp.main.reject_errors; DELETE FROM temp.main.reject_scans")
    row = con.execute("SELECT count(*) FROM refused_lines").fetchone()
    return int(row[0]) if row else 0


def _expressions(columns: Columns, config: ConfigSql, options: TableOptions, file: Path) -> str:
    """Return the SQL of every staged column, and of the reason to refuse a row."""
    value = columns.known.get("value", "value")
    algorithm = literal(options.algorithm or file_stem(file))
    said = plain(value, columns.types.get(value, "VARCHAR"))
    number = f"try_cast({said} AS DOUBLE)"
    status = f"lower(trim({text(columns, 'status')}))"
    spelled = " ".join(
        f"WHEN {status} IN ({', '.join(literal(s) for s in spellings)}) THEN {literal(known)}"
        for known, spellings in STATUSES.items()
    )
    finite = f"coalesce(isfinite({number}), false)"
    known_status = f"CASE WHEN {status} IS NULL OR {status} = '' THEN "
    known_status += f"CASE WHEN {finite} THEN 'completed' ELSE 'failed' END {spelled} END"
    problems = {_nothing(columns): "'the line is no JSON object'"} if _is_json(columns) else {}
    problems |= {
        _empty(columns, "dataset"): "'no dataset'",
        _empty(columns, "metric"): "'no metric'",
        **({_empty(columns, "algorithm"): "'no algorithm'"} if columns.has("algorithm") else {}),
        f"{config.problem} IS NOT NULL": config.problem,
        f"{number} IS NULL AND coalesce(trim({said}::VARCHAR), '') <> ''": (
            f"'value ' || left({said}::VARCHAR, 40) || ' is not a number'"
        ),
        f"({known_status}) IS NULL": (
            f"'unknown status ' || left({text(columns, 'status')}, 40) || '; expected one of "
            f"{', '.join(STATUSES)}'"
        ),
    }
    for meaning in KINDS:
        wrong = problem(columns, meaning)
        if wrong is not None:
            problems[wrong[0]] = wrong[1]
    problems |= negative_time(columns)
    whens = " ".join(f"WHEN {when} THEN {then}" for when, then in problems.items())
    started, seconds = cast(columns, "started_at"), cast(columns, "runtime_s")
    if columns.has("ended_at") and not columns.has("runtime_s"):
        seconds = f"epoch({cast(columns, 'ended_at')}) - epoch({started})"
    staged = {
        "line": f"raw.{LINE}",
        "dataset_id": _dataset_id(columns),
        "target": f"coalesce({text(columns, 'target')}, '')",
        "split": f"coalesce({text(columns, 'split')}, '')",
        "algorithm": f"coalesce(nullif(trim({text(columns, 'algorithm')}), ''), {algorithm})",
        "config_id": config.id,
        "metric": f"trim({text(columns, 'metric', 'metric')})",
        "value": number,
        "higher_is_better": cast(columns, "higher_is_better"),
        "seed": cast(columns, "seed"),
        "step": cast(columns, "step"),
        "fold": cast(columns, "fold"),
        "fidelity": cast(columns, "fidelity"),
        "seconds": seconds,
        "said_status": f"CASE WHEN coalesce({status}, '') <> '' THEN {known_status} END",
        "status": known_status,
        "error": _failure(columns, number, finite),
        "started_at": started,
        "source": f"coalesce({text(columns, 'source')}, {literal('table:' + file.name)})",
        "problem": f"CASE {whens} END",
    }
    return ", ".join(f"{sql} AS {column}" for column, sql in staged.items())


def _empty(columns: Columns, meaning: str) -> str:
    """Return the SQL of whether a cell says nothing."""
    return f"coalesce(trim({text(columns, meaning, meaning)}), '') = ''"


def _is_json(columns: Columns) -> bool:
    return all(kind == "JSON" for kind in columns.types.values())


def _nothing(columns: Columns) -> str:
    """Return the SQL of whether a line gave nothing at all."""
    there = [c for c in columns.types if c not in columns.metrics]
    there += ["value"] if columns.metrics else []
    return f"coalesce({', '.join(f'raw.{name(c)}::VARCHAR' for c in there)}) IS NULL"


def _failure(columns: Columns, number: str, finite: str) -> str:
    return (
        f"coalesce(nullif({text(columns, 'error')}, ''), CASE WHEN NOT {finite} THEN "
        f"'no finite value: ' || coalesce({number}::VARCHAR, 'missing') END)"
    )
