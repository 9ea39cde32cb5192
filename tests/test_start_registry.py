"""The registry of starts: what goes in comes out, once, checked, and in other stores too."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

import metastore  # noqa: E402
from learners.catalogue import catalogue  # noqa: E402
from learners.episode import examples  # noqa: E402
from learners.errors import LearnerError  # noqa: E402
from learners.networks import Conv4  # noqa: E402
from learners.protonet import ProtoNet  # noqa: E402
from learners.recipes import Inputs, recipe  # noqa: E402
from learners.samplers import Shape, UnevenClassSampler  # noqa: E402
from learners.training import Budget, Trained, Training, meta_train  # noqa: E402
from metastore import MetaStore  # noqa: E402
from metastore.errors import InvalidInputError, UnknownNameError  # noqa: E402
from metastore.starts import Accuracy  # noqa: E402
from recommenders.starts.finetuned import load  # noqa: E402
from recommenders.starts.finetuning import finetune  # noqa: E402
from recommenders.starts.loading import load_start, register  # noqa: E402
from recommenders.starts.training import TASKS, tasks_of  # noqa: E402
from tests.commands import RunIt  # noqa: E402
from tests.processes import python  # noqa: E402
from tests.starts import digits as drawn  # noqa: E402

# What is kept here without a network or a shape is looked at, not used.
pytestmark = pytest.mark.filterwarnings("ignore:start .* cannot be used as it is")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits() -> list[torch.Tensor]:
    """Scikit-learn's digits by class, as bytes `(n, 1, 8, 8)`."""
    data = load_digits()
    pixels = torch.from_numpy((data.images * 15.9).astype(np.uint8))[:, None]
    return [pixels[torch.from_numpy(data.target == label)] for label in range(10)]


@pytest.fixture(scope="module")
def trained(digits: list[torch.Tensor]) -> Trained:
    torch.set_num_threads(1)
    learner = ProtoNet(Conv4(0, 1, filters=8, side=8, n_pooled=2))
    sampler = UnevenClassSampler(digits[:7], Shape(5, 1, 5))
    return meta_train(learner, sampler, Budget(20), Training(meta_batch=2, rate=2e-3))


def _added(store: MetaStore, trained: Trained, **said: object) -> metastore.starts.Start:
    words = {
        "name": "digits-protonet",
        "method": "protonet",
        "input_shape": (1, 8, 8),
        "normalisation": {"scale": "bytes divided by 255"},
        "trained_on": ["digits:0", "digits:1"],
        "accuracies": [Accuracy(5, 1, 0.8, 0.02, 100)],
        "seconds": 3.5,
        "licence": "Apache-2.0",
        "source": "trained in a test",
    }
    return register(store, trained.learner, trained.state, **words | said)


def test_what_goes_in_comes_out(store: MetaStore, trained: Trained) -> None:
    tasks = np.arange(6, dtype=np.float32).reshape(2, 3)
    added = _added(store, trained, tasks=tasks)
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
    added = _added(store, trained)
    assert store.start("digits-protonet") == added
    assert store.start(str(added.start_id)) == added
    assert store.start(added.start_id.hex[:6].upper()) == added
    with pytest.raises(UnknownNameError, match=r"no start 'nobody'; the store has: digits-proto"):
        store.start("nobody")


def test_the_same_start_twice_is_once_and_the_newest_of_a_name_counts(
    store: MetaStore, trained: Trained
) -> None:
    first = _added(store, trained)
    assert _added(store, trained) == first
    assert len(store.rows("SELECT * FROM initializations")) == 1
    second = _added(store, trained, source="told anew")
    assert store.starts() == [second]
    assert second.start_id != first.start_id
    assert second.weights_path == first.weights_path
    assert store.start(first.start_id.hex) == first
    third = _added(store, trained)
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


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damaged_weights_are_refused(store: MetaStore, trained: Trained, harm: str) -> None:
    path = _added(store, trained).weights_path
    data = bytearray(path.read_bytes())
    if harm == "flip":
        data[-5] ^= 1
        path.write_bytes(data)
    elif harm == "cut":
        path.write_bytes(data[:-100])
    else:
        path.unlink()
    with pytest.raises(InvalidInputError, match=r"weights of start 'digits-protonet'.*[Ii]mport"):
        load_start(store.start("digits-protonet"))


@pytest.mark.parametrize("again", ["import", "add"])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone", "longer"])
def test_a_damaged_file_is_mended_as_its_error_says(
    store: MetaStore, trained: Trained, tmp_path: Path, harm: str, again: str
) -> None:
    added = _added(store, trained)
    store.export_start(added.name, tmp_path / "one.start")
    path = added.weights_path
    good = path.read_bytes()
    harmed = {"flip": good[:-5] + bytes([good[-5] ^ 1]) + good[-4:], "cut": good[:-100]}
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(harmed.get(harm, good + b"more"))
    mended = store.import_start(tmp_path / "one.start") if again == "import" else None
    assert (mended or _added(store, trained)) == added
    assert path.read_bytes() == good
    assert load_start(store.start(added.name)).learner == trained.learner


def test_weights_that_are_there_are_not_written_again(store: MetaStore, trained: Trained) -> None:
    path = _added(store, trained).weights_path
    os.utime(path, (1, 1))
    inode = path.stat().st_ino
    _added(store, trained)
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > 1  # young again


def test_an_exported_start_is_the_same_start_elsewhere(
    store: MetaStore, trained: Trained, tmp_path: Path
) -> None:
    added = _added(store, trained, tasks=np.ones((2, 3), dtype=np.float32))
    store.export_start("digits-protonet", tmp_path / "one.start")
    other = metastore.open(tmp_path / "other")
    found = other.import_start(tmp_path / "one.start")
    assert other.import_start(tmp_path / "one.start") == found
    assert found.start_id == added.start_id
    assert found.weights_path.read_bytes() == added.weights_path.read_bytes()
    assert found.weights_path != added.weights_path
    assert load_start(found).learner == trained.learner
    with pytest.raises(InvalidInputError, match="is there already"):
        store.export_start("digits-protonet", tmp_path / "one.start")


def test_a_file_that_is_no_exported_start_is_refused(
    store: MetaStore, trained: Trained, tmp_path: Path
) -> None:
    _added(store, trained)
    good = tmp_path / "good.start"
    store.export_start("digits-protonet", good)
    flipped = bytearray(good.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (tmp_path / "flipped").write_bytes(flipped)
    (tmp_path / "cut").write_bytes(good.read_bytes()[:2000])
    (tmp_path / "text").write_text("weights")
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(tmp_path / "packed", "w") as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(tmp_path / "newer", "w") as newer:
        said = archive.read("start.json").replace(b"headstart-start-1", b"headstart-start-9")
        newer.writestr("start.json", said)
        newer.writestr("weights.safetensors", archive.read("weights.safetensors"))
    other = metastore.open(tmp_path / "other")
    for name, why in (
        *(("flipped", "damaged|no exported start"), ("cut", "no exported start")),
        *(("text", "no exported start"), ("packed", "compressed"), ("newer", "upgrade")),
        ("absent", "no exported start"),
    ):
        with pytest.raises(InvalidInputError, match=why):
            other.import_start(tmp_path / name)
    assert not other.starts()


def test_files_of_weights_go_only_on_request_and_never_young_ones(
    store: MetaStore, trained: Trained
) -> None:
    path = _added(store, trained).weights_path
    old = path.with_name("0" * 64 + ".safetensors")
    young = path.with_name("1" * 64 + ".safetensors")
    for copy in (old, young):
        shutil.copy(path, copy)
    past = time.time() - 7200
    os.utime(old, (past, past))
    os.utime(path, (past, past))
    assert store.unused_weights() == [old]
    assert old.exists()
    assert store.unused_weights(delete=True) == [old]
    assert not old.exists()
    assert young.exists()
    assert load_start(store.start("digits-protonet")).learner == trained.learner


def test_weights_of_superseded_starts_go_on_request(
    store: MetaStore, trained: Trained, headstart: RunIt, tmp_path: Path
) -> None:
    names = {"one": 5, "other": 1}
    added = {
        name: [store.add_start({"w": np.full(9, i)}, name=name) for i in range(n)]
        for name, n in names.items()
    }
    shared = store.add_start({"w": np.full(9, 3)}, name="third")  # the weights of a former "one"
    own = _added(store, trained)
    model = finetune(store, drawn(2), own.name, record=False).model
    kept = model.save(tmp_path / "model")
    _added(store, replace(trained, state={n: v + 1 for n, v in trained.state.items()}))
    assert not store.unused_weights(superseded=True)  # all of them are young
    for path in store.paths.weights.iterdir():
        os.utime(path, (1, 1))
    assert not store.unused_weights()
    old = sorted(one.weights_path for one in (*added["one"][1:3], own))
    assert store.unused_weights(superseded=True) == old
    assert all(path.exists() for path in old)
    assert "0 unused files" in headstart("start", "clean", "-s", store.paths.folder).err
    said = headstart("start", "clean", "--superseded", "--delete", "-s", store.paths.folder)
    assert said.out.split() == [str(path) for path in old]
    assert "3 unused files of weights deleted" in said.err
    assert not any(path.exists() for path in old)
    assert shared.state()["w"].tolist() == [3] * 9
    assert store.start("one").state()["w"].tolist() == [4] * 9
    with pytest.raises(InvalidInputError, match="Import the start again, or add it anew"):
        store.start(str(own.start_id)).state()
    query = drawn(1, seed=1)[0]
    again = load(kept).predict_proba(query)
    assert np.allclose(again, model.predict_proba(query), atol=1e-6)
    assert _added(store, trained).state()  # as the error says


class Pretrained(torch.nn.Sequential):
    """A network as others train them: running statistics, dropout, float16 weights' kin."""

    def __init__(self) -> None:
        super().__init__(
            *(torch.nn.Conv2d(1, 6, 3), torch.nn.BatchNorm2d(6), torch.nn.ReLU()),
            *(torch.nn.Dropout(0.5), torch.nn.Flatten(), torch.nn.Linear(216, 12)),
        )


def test_a_users_own_module_is_filled_and_left_alone(
    store: MetaStore, digits: list[torch.Tensor]
) -> None:
    torch.manual_seed(0)
    module = Pretrained()
    pixels = torch.cat(digits[:3])[:60] / 255
    module(pixels)  # moves the running statistics
    added = store.add_start(module, name="own", input_shape=(1, 8, 8))
    assert added.learner["class"] == "Pretrained"
    assert added.method == "pretrained"
    fresh = Pretrained()
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    loaded = load_start(added, module=fresh)
    assert fresh.training
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
    support = examples(pixels[:6], torch.tensor([0, 0, 1, 1, 2, 2]))
    context = loaded.learner.adapt(loaded.state, support).context
    with torch.no_grad():
        wanted = module.eval()(pixels[:6])
    assert torch.allclose(context["z"][0], wanted, atol=1e-6)
    with pytest.raises(InvalidInputError, match=r"'Pretrained' of your own.*modules="):
        load_start(added)
    with pytest.raises(InvalidInputError, match="not this module's"):
        load_start(added, module=torch.nn.Linear(2, 2))


def test_a_state_dict_with_its_network_can_be_loaded(store: MetaStore, trained: Trained) -> None:
    network = {"type": "Conv4", "n_out": 0, "channels": 1, "filters": 8, "side": 8, "n_pooled": 2}
    weights = {name.removeprefix("net."): value for name, value in trained.state.items()}
    added = store.add_start(weights, name="bare", learner=network, input_shape=(1, 8, 8))
    loaded = load_start(added)
    assert loaded.learner == trained.learner
    assert set(loaded.state) == set(trained.state)
    wrong = store.add_start(weights, name="wrong", learner=network | {"filters": 16})
    with pytest.raises(InvalidInputError, match=r"do not fit its network.*should be \(16,\)"):
        load_start(wrong)
    unknown = store.add_start(weights, name="unknown", learner={"type": "Transformer"})
    with pytest.raises(InvalidInputError, match=r"cannot be built.*Transformer"):
        load_start(unknown)


def test_a_safetensors_file_and_bfloat16_keep_their_numbers(
    store: MetaStore, tmp_path: Path
) -> None:
    half = torch.tensor([[1.5, -2.25], [0.0, 3e38]], dtype=torch.bfloat16)
    save_file({"w": half, "n": torch.tensor(7)}, tmp_path / "w.safetensors")
    from_file = store.add_start(tmp_path / "w.safetensors", name="file").state()
    from_dict = store.add_start({"w": half, "n": torch.tensor(7)}, name="dict").state()
    for state in (from_file, from_dict):
        assert torch.equal(torch.from_numpy(state["w"]), half.float())
        assert state["n"].shape == ()
        assert state["n"] == 7


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


def test_every_recipe_can_be_registered_and_loaded(store: MetaStore) -> None:
    for method in ("maml", "meta_sgd", "reptile", "matching", "relation", "snail", "cnp"):
        learner = recipe(method, Inputs((1, 28, 28), 5, 1)).learner
        state = learner.init(0)
        loaded = load_start(register(store, learner, state, name=method, method=method))
        assert loaded.learner == learner
        assert all(torch.equal(loaded.state[name], value) for name, value in state.items())


@pytest.mark.parametrize("method", [one.key for one in catalogue()])
def test_every_classifier_keeps_what_its_training_tasks_look_like(
    digits: list[torch.Tensor], method: str
) -> None:
    framed = [torch.nn.functional.pad(images, (4, 4, 4, 4)) for images in digits[:7]]
    sampler = UnevenClassSampler(framed, Shape(4, 2, 3))
    try:
        learner = recipe(method, Inputs((1, 16, 16), 4, 2)).learner
        state = learner.init(0)
    except LearnerError as error:  # of rows alone
        pytest.skip(str(error))
    tasks = tasks_of(learner, state, sampler)
    assert tasks is not None
    assert tasks.shape[0] == TASKS
    assert np.isfinite(tasks).all()
    assert len({tuple(row) for row in tasks.round(9)}) > TASKS // 2
    assert np.array_equal(tasks, tasks_of(learner, state, sampler))


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
