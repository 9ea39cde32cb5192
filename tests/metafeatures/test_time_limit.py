"""The time of an extraction: what was not reached in it is said to be so."""

from __future__ import annotations

import time

import numpy as np
import pytest

from metastore.metafeatures import GROUPS, Measure, Status, extract, extraction
from metastore.metafeatures.feature import Deadline
from metastore.metafeatures.sample import MAX_COLUMNS
from metastore.tabular import as_table
from tests.metafeatures.helpers import IRIS, NAMES, status


class TestTime:
    def test_no_time_at_all(self):
        features = extract(IRIS, limit_seconds=0)
        assert {f.status for f in features} == {Status.TIMED_OUT}
        assert [f.name for f in features] == NAMES

    def test_a_slow_measure_ends_its_group_only(self, monkeypatch):
        def slow(sample: object) -> float:
            time.sleep(0.3)
            return 1.0

        measures = (Measure("slow", "", "", slow), Measure("late", "", "", lambda s: 1.0))
        monkeypatch.setitem(GROUPS, "simple", measures)
        found = status(extract(IRIS, groups=["simple", "missing"], limit_seconds=0.2))
        assert found["slow"] is Status.COMPUTED
        assert found["late"] is Status.TIMED_OUT
        assert found["missing_cells"] is Status.COMPUTED

    def test_landmarkers_stop_between_folds(self, monkeypatch):
        class Stopped(Deadline):
            looks = 0

            @property
            def passed(self) -> bool:
                self.looks += 1
                return self.looks > 3

        monkeypatch.setattr(extraction, "Deadline", Stopped)
        features = extract(IRIS, groups=["landmarking"])
        assert {f.status for f in features} == {Status.TIMED_OUT}

    @pytest.mark.parametrize("n_classes", [2, 100])
    def test_the_limit_holds_on_a_large_table(self, n_classes):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(20_000, MAX_COLUMNS))
        table = as_table((X, rng.integers(n_classes, size=20_000)))
        start = time.monotonic()
        extract(table, limit_seconds=0.5)
        assert time.monotonic() - start < 6 * 0.5 + 5  # what was begun may end: see the docs

    def test_nothing_is_left_running(self):
        import threading  # noqa: PLC0415

        before = threading.active_count()
        extract(IRIS)
        assert threading.active_count() == before
