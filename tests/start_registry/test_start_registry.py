"""The registry of starts: what goes in comes out, once, checked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import metastore  # noqa: E402
from learners.training import Trained  # noqa: E402
from metastore import MetaStore  # noqa: E402
from metastore.errors import InvalidInputError, UnknownNameError  # noqa: E402
from metastore.starts import Accuracy  # noqa: E402
from recommenders.starts.loading import load_start  # noqa: E402
from tests.processes import python  # noqa: E402
from tests.start_registry.helpers import add_digits  # noqa: E402

# What is kept here without a network or a shape is looked at, not used.
pytestmark = pytest.mark.filterwarnings("ignore:start .* cannot be used as it is")


def test_what_goes_in_comes_out(store: MetaStore, trained: Trained) -> None:
    tasks = np.arange(6, dtype=np.float32).reshape(2, 3)
    added = add_digits(store, trained, tasks=tasks)
    (found,) = metastore.open(store.paths.folder).starts()
    assert found == added
    assert (found.name, found.method, found.kind) == ("digits-protonet", "protonet", "images")
    assert (found.input_shape, found.n_way) == ((1, 8, 8), None)
    assert found.trained_on == ("digits:0", "digits:1")
    assert found.accuracies == (Accuracy(5, 1, 0.8, 0.02, 100),)
    assert (found.seconds, found.licence, found.source) == (3.5, "Apache-2.0", "trained in a test")
    loaded = load_start(found)
    assert loaded.learner == trained.learner
    assert set(loaded.state) == set(trained.state)
    for name, value in trained.state.items():
        assert torch.equal(loaded.state[name], value), name
    assert loaded.tasks is not None
    assert np.array_equal(loaded.tasks.numpy(), tasks)


def test_a_start_is_found_by_name_and_by_the_beginning_of_its_id(
    store: MetaStore, trained: Trained
) -> None:
    added = add_digits(store, trained)
    assert store.start("digits-protonet") == added
    assert store.start(str(added.start_id)) == added
    assert store.start(added.start_id.hex[:6].upper()) == added
    with pytest.raises(UnknownNameError, match=r"no start 'nobody'; the store has: digits-proto"):
        store.start("nobody")


def test_the_same_start_twice_is_once_and_the_newest_of_a_name_counts(
    store: MetaStore, trained: Trained
) -> None:
    first = add_digits(store, trained)
    assert add_digits(store, trained) == first
    assert len(store.rows("SELECT * FROM initializations")) == 1
    second = add_digits(store, trained, source="told anew")
    assert store.starts() == [second]
    assert second.start_id != first.start_id
    assert second.weights_path == first.weights_path
    assert store.start(first.start_id.hex) == first
    third = add_digits(store, trained)
    assert store.starts() == [third]
    assert third.start_id == first.start_id


def test_processes_that_add_at_once_all_succeed(store: MetaStore) -> None:
    code = (
        "import sys, metastore, numpy as np\n"
        "store = metastore.open(sys.argv[1])\n"
        "for i in range(3):\n"
        "    weights = {'w': np.full(4, i, dtype=np.float32)}\n"
        "    store.add_start(weights, name=f'start-{i}')\n"
    )
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: python(code, store.paths.folder), range(3)))
    assert [one.returncode for one in done] == [0, 0, 0], done[0].stderr
    starts = store.starts()
    assert [start.name for start in starts] == ["start-0", "start-1", "start-2"]
    assert starts[2].state()["w"].tolist() == [2.0] * 4
    assert not store.unused_weights()


@pytest.mark.parametrize(
    ("weights", "said", "why"),
    [
        ({}, {}, "no tensor"),
        ({"w": torch.tensor([1.0, float("nan")])}, {}, "'w' holds NaN"),
        ({"w": "hello"}, {}, "'w' is str"),
        (7, {}, "expected a torch module"),
        ("absent.safetensors", {}, "cannot be read"),
        ({"w": torch.ones(2)}, {"name": "a b; DROP TABLE runs"}, "name is 1 to 100"),
        ({"w": torch.ones(2)}, {"kind": "sounds"}, "kind: expected one of"),
        ({"w": torch.ones(2)}, {"input_shape": (1, 2)}, "input_shape"),
        ({"w": torch.ones(2)}, {"colour": "red"}, "cannot be described"),
        ({"w": torch.ones(2)}, {"seconds": float("nan")}, "JSON values"),
        ({"w": torch.ones(2)}, {"trained_on": "digits"}, "list of names"),
        ({"w": torch.ones(2)}, {"input_shape": 784}, "input_shape: expected a list, got 784"),
        ({"w": torch.ones(2)}, {"input_shape": "1,28,28"}, "input_shape: expected a list, got '1"),
        ({"w": torch.ones(2)}, {"accuracies": [Accuracy(5, 1, float("nan"), 0, 2)]}, "finite"),
    ],
)
def test_what_is_no_start_is_refused_and_leaves_no_row(
    store: MetaStore, weights: object, said: dict[str, object], why: str
) -> None:
    with pytest.raises(InvalidInputError, match=why):
        store.add_start(weights, **{"name": "one"} | said)
    assert not store.starts()


def test_a_text_file_is_no_weights(store: MetaStore, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_text("not weights")
    with pytest.raises(InvalidInputError, match="no safetensors file"):
        store.add_start(tmp_path / "w.safetensors", name="text")


def test_the_registry_needs_no_torch(store: MetaStore) -> None:
    code = (
        "import sys, metastore, numpy as np\n"
        "store = metastore.open(sys.argv[1])\n"
        "store.add_start({'w': np.ones(3)}, name='one')\n"
        "assert store.start('one').state()['w'].sum() == 3\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = python(code, store.paths.folder)
    assert done.returncode == 0, done.stderr
