"""What may be said of a start: nonsense is refused field by field, added or imported."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metastore
from metastore import MetaStore
from metastore.errors import InvalidInputError
from metastore.starts import Accuracy
from recommenders.starts.choice import AUTO
from recommenders.starts.fitted import VOTE
from recommenders.starts.rows import registry_rows
from tests.commands import RunIt
from tests.starts import planted

pytestmark = pytest.mark.filterwarnings("ignore:start .* cannot be used as it is")

LEARNER = {"type": "MLP", "sizes": [4, 8]}
WEIGHTS = {"w": np.ones(2, dtype=np.float32)}
SHOWN = {"n_way": 5, "k_shot": 1, "value": 0.8, "half_width": 0.02, "n_episodes": 100}

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"accuracies": [SHOWN | {"value": 97.0}]}, r"share between 0 and 1, got 97.0: .*0\.97\?"),
    ({"accuracies": [SHOWN | {"value": 7.5}]}, r"got 7.5: did you mean 0\.075\?"),
    ({"accuracies": [SHOWN | {"value": 1e9}]}, r"between 0 and 1, got 1000000000\.0$"),
    ({"accuracies": [SHOWN | {"value": -0.1}]}, "value: expected a finite number of 0 or more"),
    ({"accuracies": [SHOWN | {"value": "x"}]}, "value: expected a finite .* got 'x'"),
    ({"accuracies": [SHOWN | {"value": True}]}, "value: expected a finite .* got True"),
    ({"accuracies": [SHOWN | {"n_way": None}]}, "accuracies: n_way: expected .* got None"),
    ({"accuracies": [SHOWN | {"k_shot": 1.5}]}, "k_shot: expected a whole number .* got 1.5"),
    ({"accuracies": [SHOWN | {"n_way": 10**400}]}, "n_way: expected a whole number"),
    ({"accuracies": [SHOWN | {"half_width": "x"}]}, "half_width: expected a finite number"),
    ({"accuracies": [SHOWN | {"n_episodes": -3}]}, "n_episodes: expected a whole number"),
    ({"normalisation": [1]}, r"normalisation: expected a dict .* got \[1\]"),
    ({"input_shape": ["a"]}, r"input_shape: expected .* got \('a',\)"),
    ({"input_shape": [1, 2]}, "input_shape: expected"),
    ({"input_shape": [1, 28.5, 28.5]}, "input_shape: expected"),
    ({"input_shape": None}, "input_shape: expected a list, got None"),
    ({"n_way": "five"}, "n_way: expected a whole number .* got 'five'"),
    ({"n_way": True}, "n_way: expected a whole number .* got True"),
    ({"seconds": "long"}, "seconds: expected a finite number .* got 'long'"),
    ({"seconds": -1}, "seconds: expected a finite number .* got -1"),
    ({"learner": "x"}, "learner: expected a dict .* got 'x'"),
    ({"learner": {"sizes": [4]}}, "learner: expected the description .* 'type'"),
    ({"learner": {"type": ["MLP"]}}, "learner: expected the description .* 'type'"),
    ({"trained_on": [1, {"a": 2}]}, "trained_on: a name: expected text, got 1"),
    ({"trained_on": "digits"}, "trained_on: expected a list of names, got 'digits'"),
    ({"method": 7}, "method: expected text, got 7"),
    ({"licence": None}, "licence: expected text, got None"),
    ({"source": ["me"]}, "source: expected text"),
    ({"kind": ["images"]}, "kind: expected one of"),
    ({"name": AUTO}, "no start can be named 'auto'"),
    ({"name": VOTE}, "no start can be named 'vote'"),
    ({"name": 7}, "name is 1 to 100"),
]


def exported(store: MetaStore, file: Path, **changed: Any) -> Path:
    """Export a start and change what its file says."""
    good = file.with_name("good.start")
    store.add_start(
        WEIGHTS, name="one", learner=LEARNER, accuracies=[Accuracy(**SHOWN)], seconds=3.5,
        trained_on=["digits:0"], kind="rows", input_shape=(4,), normalisation={"scale": None},
    )  # fmt: skip
    store.export_start("one", good)
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(file, "w") as other:
        said = json.loads(archive.read("start.json"))
        for field, value in changed.items():
            (said if field in said else said["details"])[field] = value
        other.writestr("start.json", json.dumps(said))
        other.writestr("weights.safetensors", archive.read("weights.safetensors"))
    return file


@pytest.mark.parametrize(("field", "why"), WRONG)
def test_nonsense_is_refused_when_added(store: MetaStore, field: dict[str, Any], why: str) -> None:
    said = dict(field)
    if "accuracies" in said:
        said["accuracies"] = [Accuracy(**one) for one in said["accuracies"]]
    with pytest.raises(InvalidInputError, match=why):
        store.add_start(WEIGHTS, **{"name": "one"} | said)
    assert not store.starts()


@pytest.mark.parametrize(("field", "why"), WRONG)
def test_nonsense_is_refused_when_imported(
    store: MetaStore, field: dict[str, Any], why: str, tmp_path: Path
) -> None:
    file = exported(store, tmp_path / "changed.start", **field)
    other = metastore.open(tmp_path / "other")
    with pytest.raises(InvalidInputError, match=why) as refused:
        other.import_start(file)
    assert str(refused.value).startswith(str(file))
    assert not other.starts()


@pytest.mark.parametrize("accuracies", [[0.9], [SHOWN], "0.9", 0.9, {"value": 0.9}])
def test_what_is_no_accuracy_is_refused_when_added(store: MetaStore, accuracies: Any) -> None:
    with pytest.raises(InvalidInputError, match="accuracies: expected"):
        store.add_start(WEIGHTS, name="one", accuracies=accuracies)


@pytest.mark.parametrize("accuracies", ["x", ["x"], [0.9], [{"value": 0.9}], None, 1])
def test_what_is_no_accuracy_is_refused_when_imported(
    store: MetaStore, accuracies: Any, tmp_path: Path
) -> None:
    file = exported(store, tmp_path / "changed.start", accuracies=accuracies)
    with pytest.raises(InvalidInputError, match="accuracies: expected a list of Accuracy"):
        metastore.open(tmp_path / "other").import_start(file)


def test_a_command_says_which_field_of_a_file_is_wrong(
    store: MetaStore, headstart: RunIt, tmp_path: Path
) -> None:
    file = exported(store, tmp_path / "changed.start", normalisation=[1])
    said = headstart("start", "import", file, "--store", tmp_path / "other")
    assert said.status == 2
    assert "normalisation: expected a dict" in said.err


def test_numbers_of_numpy_are_numbers(store: MetaStore, tmp_path: Path) -> None:
    shown = Accuracy(np.int64(5), np.int32(1), np.float32(0.5), np.float64(0.25), np.int64(9))
    added = store.add_start(
        WEIGHTS, name="one", learner=LEARNER, accuracies=np.array([shown]), n_way=np.int64(5),
        seconds=np.float32(1.5), input_shape=np.array([1, 8, 8]),
    )  # fmt: skip
    assert added.accuracies == (Accuracy(5, 1, 0.5, 0.25, 9),)
    assert (added.n_way, added.seconds, added.input_shape) == (5, 1.5, (1, 8, 8))


def test_an_error_of_regression_is_no_share(store: MetaStore) -> None:
    added = store.add_start(WEIGHTS, name="one", accuracies=[Accuracy(0, 10, 97.0, 3.0, 100)])
    assert added.accuracies[0].value == 97.0


def test_a_start_that_was_exported_before_is_the_same_start(
    store: MetaStore, tmp_path: Path
) -> None:
    """Whole numbers stay whole: an id is a hash of what was said."""
    file = exported(store, tmp_path / "changed.start", seconds=3)
    first = planted(
        store, WEIGHTS, name="one", learner=LEARNER, accuracies=(Accuracy(**SHOWN),), seconds=3,
        trained_on=("digits:0",), kind="rows", input_shape=(4,), normalisation={"scale": None},
    )  # fmt: skip
    assert metastore.open(tmp_path / "other").import_start(file).start_id == first.start_id


def test_a_row_that_says_nonsense_is_listed_with_why(store: MetaStore) -> None:
    planted(store, WEIGHTS, name="one", accuracies=(Accuracy(5, 1, 97.0, 0.5, 100),))
    (row,) = registry_rows(store.starts())
    assert row["validation"].startswith("cannot be used: accuracies: value: expected a share")
