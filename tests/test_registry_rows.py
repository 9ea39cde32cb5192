"""The registry as rows: what a start takes, in words that a person understands."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from metastore.starts import Start
from metastore.types import uuid7
from recommenders.starts.rows import registry_rows


def test_a_start_that_predicts_numbers_is_not_for_0_classes() -> None:
    kept = {"weights_sha256": "", "weights_path": Path(), "recorded_at": datetime.now(UTC)}
    starts = [
        Start(f"s{n_way}", kind="rows", input_shape=(1,), n_way=n_way, start_id=uuid7(), **kept)
        for n_way in (None, 0, 5)
    ]
    found = [row["most_classes"] for row in registry_rows(starts)]
    assert found == ["any", "predicts numbers", 5]
