"""Files of weights: damaged ones are refused, they travel, and go only on request."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import metastore
from learners.training import Trained
from metastore import MetaStore
from metastore.errors import InvalidInputError
from recommenders.starts.finetuned import load
from recommenders.starts.finetuning import finetune
from recommenders.starts.loading import load_start
from tests.commands import RunIt
from tests.start_registry.helpers import add_digits
from tests.starts import digits as drawn

# What is kept here without a network or a shape is looked at, not used.
pytestmark = pytest.mark.filterwarnings("ignore:start .* cannot be used as it is")


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damaged_weights_are_refused(store: MetaStore, trained: Trained, harm: str) -> None:
    path = add_digits(store, trained).weights_path
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
    added = add_digits(store, trained)
    store.export_start(added.name, tmp_path / "one.start")
    path = added.weights_path
    good = path.read_bytes()
    harmed = {"flip": good[:-5] + bytes([good[-5] ^ 1]) + good[-4:], "cut": good[:-100]}
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(harmed.get(harm, good + b"more"))
    mended = store.import_start(tmp_path / "one.start") if again == "import" else None
    assert (mended or add_digits(store, trained)) == added
    assert path.read_bytes() == good
    assert load_start(store.start(added.name)).learner == trained.learner


def test_weights_that_are_there_are_not_written_again(store: MetaStore, trained: Trained) -> None:
    path = add_digits(store, trained).weights_path
    os.utime(path, (1, 1))
    inode = path.stat().st_ino
    add_digits(store, trained)
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > 1  # young again


def test_an_exported_start_is_the_same_start_elsewhere(
    store: MetaStore, trained: Trained, tmp_path: Path
) -> None:
    added = add_digits(store, trained, tasks=np.ones((2, 3), dtype=np.float32))
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
    add_digits(store, trained)
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
    path = add_digits(store, trained).weights_path
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
    own = add_digits(store, trained)
    model = finetune(store, drawn(2), own.name, record=False).model
    kept = model.save(tmp_path / "model")
    add_digits(store, replace(trained, state={n: v + 1 for n, v in trained.state.items()}))
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
    assert add_digits(store, trained).state()  # as the error says
