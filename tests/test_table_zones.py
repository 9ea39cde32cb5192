"""Times of a table that have a zone are kept as UTC, and a zone that nobody knows is none."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from metastore import MetaStore
from tests.run_tables import rows, write

ZONES = {
    "2020-01-01T00:00:00+02:00": "2019-12-31 22:00:00",
    "2020-01-01 00:00:00 -0530": "2020-01-01 05:30:00",
    "2020-01-01T12:00:00.25Z": "2020-01-01 12:00:00.25",
    "2020-07-01 00:00:00 Europe/Berlin": "2020-06-30 22:00:00",
    "2020-01-01 12:30:00": "2020-01-01 12:30:00",
    "2020-01-01": "2020-01-01",
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_times_with_an_offset_are_kept_as_utc(
    store: MetaStore, tmp_path: Path, suffix: str
) -> None:
    table = [
        {**row, "seed": i, "started_at": said}
        for i, (row, said) in enumerate(zip(rows(len(ZONES)), ZONES, strict=True))
    ]
    assert store.import_table(write(tmp_path / f"a{suffix}", table)).refused == 0
    found = store.query("SELECT started_at FROM runs ORDER BY seed")["started_at"]
    assert found.tolist() == [pd.Timestamp(said) for said in ZONES.values()]


def test_a_zone_that_nobody_knows_is_no_time(store: MetaStore, tmp_path: Path) -> None:
    table = [{**rows(1)[0], "started_at": "2020-01-01 00:00:00 Middle/Earth"}]
    report = store.import_table(write(tmp_path / "a.csv", table))
    assert "is not a time" in report.reasons[0][1]


def test_a_column_of_times_with_a_zone_is_kept_as_utc(store: MetaStore, tmp_path: Path) -> None:
    at = pd.Timestamp("2020-07-01 00:00:00", tz="Europe/Berlin")
    table = [{**row, "started_at": at} for row in rows(2)]
    store.import_table(write(tmp_path / "a.parquet", table))
    found = store.query("SELECT started_at FROM runs")["started_at"]
    assert set(found) == {pd.Timestamp("2020-06-30 22:00:00")}


def test_a_run_that_ends_in_another_zone_takes_what_it_takes(
    store: MetaStore, tmp_path: Path
) -> None:
    times = {
        "started_at": "2020-01-01T00:00:00-05:00",
        "ended_at": "2020-01-01T00:00:00-06:00",
    }
    report = store.import_table(write(tmp_path / "a.csv", [{**rows(1)[0], **times}]))
    assert report.refused == 0
    assert store.query("SELECT seconds FROM run_states")["seconds"].tolist() == [3600.0]
