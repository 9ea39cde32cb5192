"""Runs that are plain already are taken as they are, others are made plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metastore.errors import InvalidInputError
from metastore.records import checked
from metastore.types import DatasetRef, MetricValue, RunRecord

DATASET = DatasetRef("iris")


def test_a_plain_run_is_not_copied() -> None:
    record = RunRecord(DATASET, "svm", {"C": 1.0}, (MetricValue("accuracy", 0.5),), seed=3)
    assert checked(record).record is record


@pytest.mark.parametrize("value", [np.int64(3), np.float32(3), 3, np.float64(3)])
def test_a_metric_becomes_a_float_though_it_equals_one(value: Any) -> None:
    record = RunRecord(DATASET, "svm", {}, (MetricValue("loss", value),))
    (found,) = checked(record).record.values
    assert (type(found.value), found.value) == (float, 3.0)


def test_numpy_fields_and_tags_become_plain() -> None:
    seed: Any = np.int64(3)
    seconds: Any = np.float32(2)
    tags: Any = {"n": 4}
    record = RunRecord(DATASET, "svm", {}, seed=seed, seconds=seconds, tags=tags)
    found = checked(record).record
    assert (type(found.seed), type(found.seconds), found.tags) == (int, float, {"n": "4"})


def test_the_config_is_the_one_that_was_given() -> None:
    config = {"C": 1.0}
    storable = checked(RunRecord(DATASET, "svm", config))
    config["C"] = 2.0
    assert storable.config == '{"C":1.0}'


@pytest.mark.parametrize("name", ["", " ", "a\0b", "x" * 1001, "\ud800", 3])
def test_a_metric_without_a_proper_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidInputError, match="metric"):
        checked(RunRecord(DATASET, "svm", {}, (MetricValue(name, 1.0),)))


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"seconds": -0.5}, "seconds: expected the run's duration, 0 or more, got -0.5"),
        ({"started_at": 1.7e12}, "started_at: expected seconds since 1970, got 1700000000000"),
    ],
)
def test_a_time_that_no_run_can_have_is_refused(times: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        checked(RunRecord(DATASET, "svm", {}, **times))  # type: ignore[arg-type]
