"""Times and durations of tables: what cannot be one is refused by line, with its likely unit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from metastore import MetaStore

NOW = 1_714_566_600  # 2024-05-01 12:30:00 UTC in seconds since 1970


def write(path: Path, **columns: list[object]) -> Path:
    n = len(next(iter(columns.values())))
    said = {"dataset": "d", "algorithm": "svc", "config.C": [float(i) for i in range(n)]}
    frame = pd.DataFrame({**said, "metric": "accuracy", "value": 0.5, **columns})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("factor", "unit"),
    [(10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")],
)
def test_a_time_that_is_no_number_of_seconds_is_told_its_unit(
    store: MetaStore, tmp_path: Path, factor: int, unit: str, suffix: str
) -> None:
    file = write(tmp_path / f"runs{suffix}", started_at=[NOW, NOW * factor])
    report = store.import_table(file)
    line = 3 if suffix == ".csv" else 2
    assert report.new_runs == 1
    assert report.reasons == (
        (
            line,
            f"started_at {NOW * factor} is not a time: it looks like {unit} since 1970, expected "
            "seconds, or a time such as 2024-05-01 12:30:00",
        ),
    )
    assert store.query("SELECT started_at FROM runs").iloc[0, 0] == pd.Timestamp(
        "2024-05-01 12:30:00"
    )


def test_a_time_in_words_is_told_no_unit(store: MetaStore, tmp_path: Path) -> None:
    file = write(tmp_path / "runs.csv", started_at=["2024-05-01", "yesterday"])
    assert store.import_table(file).reasons == ((3, "started_at yesterday is not a time"),)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ["runtime_s", "seconds"])
@pytest.mark.parametrize("values", [[0, -3, 2], [0.0, -0.5, float("nan")]])
def test_a_negative_duration_is_refused_by_line(
    store: MetaStore, tmp_path: Path, suffix: str, column: str, values: list[object]
) -> None:
    report = store.import_table(write(tmp_path / f"runs{suffix}", **{column: values}))
    line = 3 if suffix == ".csv" else 2
    assert (report.new_runs, report.refused) == (2, 1)
    assert report.reasons == ((line, f"{column} {values[1]} is negative"),)
    assert store.query("SELECT min(seconds) FROM runs").iloc[0, 0] == 0.0


def test_an_end_before_the_start_is_refused(store: MetaStore, tmp_path: Path) -> None:
    file = write(
        tmp_path / "runs.csv",
        started_at=["2024-05-01 12:00", "2024-05-01 12:00"],
        ended_at=["2024-05-01 12:01", "2024-05-01 11:00"],
    )
    report = store.import_table(file)
    assert report.new_runs == 1
    assert report.reasons == (
        (3, "ended_at 2024-05-01 11:00 lies before started_at 2024-05-01 12:00"),
    )
    assert store.query("SELECT seconds FROM runs").iloc[0, 0] == 60.0
