"""Processes that are killed lose no run whose call had returned."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.record.kill import kill_round


@pytest.mark.slow
def test_runs_whose_call_returned_survive_kills(tmp_path: Path) -> None:
    outcome = kill_round(tmp_path, kills=8, seed=1)
    assert outcome.acknowledged > 20
    assert outcome.sound, outcome
