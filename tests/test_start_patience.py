"""The bound on the time of a choice: the processor's seconds, and the clock's in the end."""

from __future__ import annotations

import math
import time

import pytest

from recommenders.starts.patience import LONGEST, Patience


@pytest.mark.parametrize(
    ("worked", "waited", "over"),
    [
        (9.9, 9.9, False),
        (10.0, 10.0, True),
        (5.0, 10 * LONGEST - 0.1, False),
        (5.0, 10 * LONGEST, True),
    ],
)
def test_a_busy_machine_gets_as_much_work_done_but_nobody_waits_for_ever(
    worked: float, waited: float, over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "thread_time", lambda: 100.0 + worked)
    monkeypatch.setattr(time, "monotonic", lambda: 200.0 + waited)
    assert Patience(10.0, 100.0, 200.0).over() == over


def test_without_a_bound_it_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Patience()
    monkeypatch.setattr(time, "monotonic", lambda: 1e12)
    assert endless.seconds == math.inf
    assert not endless.over()
