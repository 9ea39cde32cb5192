"""All that is stored of a start can be read: in the list, and one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import metastore
from metastore import MetaStore
from metastore.starts import Accuracy, Start
from tests.commands import RunIt
from tests.starts import planted

SHOWN = [Accuracy(way, shot, 0.5 + way / 100, 0.02, 100) for way in (2, 5, 20) for shot in (1, 5)]
SAID: dict[str, Any] = {
    "method": "protonet",
    "learner": {"type": "ProtoNet", "network": {"type": "MLP", "sizes": [4, 8]}},
    "kind": "rows",
    "input_shape": (4,),
    "normalisation": {"scale": {"mean": [0.5] * 4, "deviation": [1.0] * 4}},
    "trained_on": ("digits:0", "digits:1"),
    "seconds": 12.5,
    "licence": "Apache-2.0",
    "source": "trained in a test",
}


def added(store: MetaStore, name: str = "letters") -> Start:
    return store.add_start({"w": np.ones(2)}, name=name, accuracies=SHOWN, **SAID)


def test_a_start_is_shown_with_all_that_is_stored(headstart: RunIt, tmp_path: Path) -> None:
    start = added(metastore.open(tmp_path / "headstart-store"))
    for asked in ("letters", str(start.start_id), start.start_id.hex[:6]):
        found = headstart("show", asked, "--json").json
        for name, value in SAID.items():
            assert found[name] == (list(value) if isinstance(value, tuple) else value), name
        assert found["accuracies"] == [vars(one) for one in SHOWN]
        assert (found["start"], found["id"]) == ("letters", str(start.start_id))
        assert found["weights_sha256"] == start.weights_sha256
        assert found["cannot_be_used"] is None
    text = headstart("show", "letters").out
    for word in ("trained in a test", "12.5", "digits:0 digits:1", "mean", "MLP", "accuracies"):
        assert word in text
    assert "trained in a test" in headstart("show", "letters", "--csv").out


def test_a_start_that_is_called_as_a_dataset_stands_beside_it(
    headstart: RunIt, small_store: Path
) -> None:
    added(metastore.open(small_store), "iris")
    found = headstart("show", "iris", "--json").json
    assert found["dataset"] == "iris"
    assert found["start"]["seconds"] == 12.5
    assert "trained in a test" in headstart("show", "iris").out
    assert "start" not in headstart("show", "wine", "--json").json
    said = headstart("show", "letrs")
    assert said.status == 2
    added(metastore.open(small_store), "letters")
    assert "did you mean 'letters'" in headstart("show", "letrs").err


def test_the_list_has_cost_source_and_every_shape_where_programs_read_it(
    headstart: RunIt, tmp_path: Path
) -> None:
    added(metastore.open(tmp_path / "headstart-store"))
    (row,) = headstart("starts", "--json").json
    assert (row["seconds"], row["source"]) == (12.5, "trained in a test")
    assert row["validation"].count("classes") == len(SHOWN)
    table = headstart("starts").out
    assert "trained in a test" not in table
    assert table.count("classes,") == 4


def test_a_start_that_cannot_be_used_is_shown_with_why(headstart: RunIt, tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "headstart-store")
    planted(store, {"w": np.ones(2)}, name="one", accuracies=(Accuracy(5, 1, 97.0, 0.5, 100),))
    found = headstart("show", "one", "--json").json
    assert "did you mean 0.97" in found["cannot_be_used"]
    assert "did you mean 0.97" in headstart("show", "one").out
    assert "cannot be used" in headstart("starts").out
