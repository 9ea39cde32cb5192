"""Tunings and starts come from past fine-tunings on other tasks, and from those alone."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from learners.networks import Conv4
from learners.protonet import ProtoNet
from metastore import MetaStore
from metastore.reports import show
from metastore.types import DatasetRef
from recommenders.starts.finetuning import finetune
from recommenders.starts.loading import register
from recommenders.starts.record import past_tasks
from recommenders.starts.superseded_runs import TAG, tags_of
from recommenders.starts.support_sets import SupportSet, read_support
from recommenders.starts.tuning import SCRATCH, Tuning
from recommenders.starts.tuning_advice import Wanted, advised, past
from tests.starts import digits, with_starts


def test_tunings_come_from_past_fine_tunings(store: MetaStore, support: SupportSet) -> None:
    """What did best on three other tasks is advised for a fourth; others' starts count nothing."""
    wanted = Wanted("small-proto", Tuning(), ("adapt", "gradient"))
    assert "by default" in advised(store, support, wanted)[0].why
    good, bad = Tuning("gradient", 20, 1e-3, "top", "jitter"), Tuning()
    images, labels = digits(6)
    for i in range(4):
        rows = np.flatnonzero((labels == i) | (labels == i + 1))
        task = read_support(([images[j] for j in rows], labels[rows]), name=f"pair {i}")
        for start, best in (("small-proto", good), ("other", bad)):
            for tuning in (good, bad):
                config = {"start": start, **tuning.config()}
                with store.run(task.dataset(), "finetune", config) as run:
                    run.result(accuracy=(0.9 if tuning == best else 0.6) + 0.01 * i)
    found = advised(store, support, wanted)
    assert [one.tuning for one in found] == [good]
    assert "8 fine-tunings of it on 4 other tasks" in found[0].why
    assert advised(store, support, replace(wanted, start="other"))[0].tuning == bad
    several = advised(store, support, replace(wanted, n=4))
    assert len({one.tuning for one in several}) == 4
    assert good in {one.tuning for one in several}


def test_what_other_weights_did_under_a_name_is_no_evidence(
    store: MetaStore, support: SupportSet
) -> None:
    """A retrained start begins anew; runs that do not say their weights count for the name."""
    with_starts(store)
    choices = [("small-proto", "adapt"), ("small-maml", "adapt"), ("from scratch", None)]

    def shares() -> list[float | None]:
        odds = past_tasks(store, choices)
        found = 1 / (1 + np.exp(-np.nanmean(odds, axis=0))) if len(odds) else []
        return [None if np.isnan(one) else round(float(one), 2) for one in found]

    def record(start: str, accuracy: float, tags: dict[str, str], name: str = "other") -> None:
        config = {"start": start, **Tuning().config()}
        with store.run(DatasetRef(name), "finetune", config, tags=tags) as run:
            run.result(accuracy=accuracy)

    outcome = finetune(store, support, "small-proto", tuning=Tuning())
    said = show(store, str(outcome.run_id))
    assert said["tags"] == {TAG: store.start("small-proto").weights_sha256}
    assert TAG not in said["config"]
    old = tags_of(store.start("small-proto"))
    for start, tags in (("small-proto", old), ("small-maml", {}), ("from scratch", {})):
        record(start, 0.9, tags)
    assert len(past_tasks(store, choices)) == 2
    learner = ProtoNet(Conv4(0, filters=8))
    said = {"kind": "images", "input_shape": (1, 28, 28)}
    register(store, learner, learner.init(1), name="small-proto", **said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing
        assert shares() == [None, pytest.approx(0.9, abs=0.01), pytest.approx(0.9, abs=0.01)]
    assert len(past_tasks(store, choices)) == 1
    view, _ = past(store, "small-proto", support)
    assert view.n_cells == 0
    record("small-proto", 0.6, tags_of(store.start("small-proto")))  # beside 0.9 in one cell
    assert shares()[0] == pytest.approx(0.6, abs=0.01)
    record("small-proto", 0.8, {})
    assert shares()[0] == pytest.approx(0.7, abs=0.01)
    register(store, learner, learner.init(0), name="small-proto", **said)  # the first weights again
    assert len(past_tasks(store, choices)) == 2


def test_near_duplicates_are_no_other_tasks_at_the_first_question(
    store: MetaStore, mixed: pd.DataFrame
) -> None:
    """A table that grows by some rows a day is one task, whoever asks about it first."""
    tunings = (Tuning("gradient", 5), Tuning("gradient", 10))

    def day(rows: int) -> SupportSet:
        task = read_support(mixed[:rows], "tall", name=f"day {rows}")
        return replace(task, source_id="openml:31")

    def other(i: int) -> SupportSet:
        rows = np.random.default_rng(i).standard_normal((30 + 9 * i, 3 + i)) * (i + 1)
        return read_support((rows, ["a", "b", "c"] * (10 + 3 * i)), name=f"other {i}")

    def record(task: SupportSet, n: int = 2) -> None:
        for i, tuning in enumerate(tunings[:n]):
            config = {"start": "from scratch", **tuning.config()}
            with store.run(task.dataset(), "finetune", config) as run:
                run.result(accuracy=0.5 + 0.1 * i)

    for rows in (20, 24, 28, 32):
        record(day(rows))
    wanted = Wanted("from scratch", SCRATCH, ("gradient",))
    for _ in range(2):
        assert "by default" in advised(store, day(40), wanted)[0].why
    assert len(past_tasks(store, [("from scratch", None)], day(38))) == 0
    for i in range(2):
        record(other(i))
    record(day(40), 1)
    # Of three tasks one is this: two others are too few.
    assert "by default" in advised(store, day(40), wanted)[0].why
    record(other(2))
    assert "3 other tasks" in advised(store, day(40), wanted)[0].why
    assert len(past_tasks(store, [("from scratch", None)], day(39))) == 3
