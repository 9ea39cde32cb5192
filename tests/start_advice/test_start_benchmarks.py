"""What the backtest of starts and its benchmarks count."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.starts import choosing, choosing_tables
from benchmarks.starts import tuning as tuning_bench
from metastore import MetaStore
from recommenders.starts import (
    Asked,
)
from recommenders.starts.backtest import (
    HINDSIGHT,
    WAYS,
    Outcome,
    Task,
    backtest,
    remembering,
    summary,
)
from tests.start_advice.helpers import drawn


def test_the_backtest_charges_every_way_with_what_it_chose(
    starts_store: MetaStore, characters: np.ndarray
) -> None:
    tasks = []
    for seed, count in enumerate((1, 2, 3)):
        support, query = drawn(characters, [count] * 4, seed)
        tasks.append(Task(f"task {seed}", f"group {seed % 2}", support, query))
    seen: list[str] = []
    asked = Asked(without_starts=False)
    outcomes = backtest(starts_store, tasks, asked, lambda one: seen.append(one.task))
    assert seen == ["task 0", "task 1", "task 2"]
    for one in outcomes:
        assert one.of(HINDSIGHT) == max(one.accuracy.values())
        assert one.of("combined") == one.accuracy[one.chosen["combined"]]
        assert one.chosen["static"] == "boaster"
    rows = {row["choice"]: row for row in summary(outcomes)}
    assert set(WAYS) < set(rows)
    assert rows[HINDSIGHT]["behind"] == 0
    assert rows["combined"]["accuracy"] > rows["static"]["accuracy"]
    assert rows["held-out rows"]["tasks"] == 2
    kept = [Outcome(**json.loads(json.dumps(asdict(one)))) for one in outcomes]
    assert [one.chosen for one in remembering(kept)] == [one.chosen for one in outcomes]


@pytest.mark.parametrize("read", [choosing.outcomes, choosing_tables.outcomes, tuning_bench.done])
def test_a_line_that_a_kill_tore_is_no_end_of_a_benchmark(
    read: Callable[[Path], list[Any]], tmp_path: Path
) -> None:
    by_folder = read is choosing_tables.outcomes
    file = tmp_path / "chosen.jsonl"
    if read is tuning_bench.done:
        row: dict[str, Any] = {"task": "a", "group": "g", "accuracy": [0.5]}
    else:
        row = asdict(Outcome("a", "g", {"x": 0.5}, {"combined": "x"}, (0.5, 0.4, 0.6), 1.0))
    line = json.dumps(row) + "\n"
    place = tmp_path if by_folder else file
    assert read(place) == []
    file.write_text(line + line + line[: len(line) // 2])
    assert [one.task for one in read(place)] == ["a", "a"]
    with file.open("a") as more:
        more.write(line)
    assert len(read(place)) == 3
