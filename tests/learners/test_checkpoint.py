"""Checkpoints: what is written is read, a cut run goes on from it, what is damaged is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from learners.checkpoint import Snapshot, load, restore, save
from learners.errors import CheckpointError, LearnerError
from learners.maml import maml
from learners.networks import MLP, ModuleNetwork
from learners.sinusoid import SinusoidSampler
from learners.training import Budget, meta_train
from tests.learners.quick_training import LEARNER, QUICK, SAMPLER


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_run_cut_at_a_checkpoint_ends_in_the_same_bits(tmp_path: Path, schedule: str) -> None:
    class Cut(Exception):  # noqa: N818 - stands for a kill
        pass

    class Fragile(SinusoidSampler):
        def sample(self, index: int, n_episodes: int):
            if index == 13:
                raise Cut
            return super().sample(index, n_episodes)

    settings = replace(QUICK, schedule=schedule, checkpoint=tmp_path / "run.json")
    whole = meta_train(
        LEARNER, SAMPLER, Budget(20), replace(settings, checkpoint=None), SinusoidSampler(seed=9)
    )
    with pytest.raises(Cut):
        meta_train(LEARNER, Fragile(), Budget(20), settings, SinusoidSampler(seed=9))
    assert load(tmp_path / "run.json", LEARNER).iteration == 10
    resumed = meta_train(LEARNER, SAMPLER, Budget(20), settings, SinusoidSampler(seed=9))
    assert resumed.iterations == 20
    assert all(torch.equal(whole.state[name], resumed.state[name]) for name in whole.state)
    assert [row.validation for row in whole.history] == [row.validation for row in resumed.history]
    assert [row.loss for row in whole.history] == [row.loss for row in resumed.history]


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "run.json"
        save(path, LEARNER, Snapshot(LEARNER.init(0), iteration=7))
        return path

    def change(self, path: Path, **entries) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    def test_what_is_written_is_read(self, path: Path) -> None:
        learner, state = restore(path)
        assert learner == LEARNER
        assert all(torch.equal(value, state[name]) for name, value in LEARNER.init(0).items())

    def test_a_newer_checkpoint_replaces_the_old_one_whole(self, path: Path) -> None:
        save(path, LEARNER, Snapshot(LEARNER.init(1), iteration=8))
        assert load(path, LEARNER).iteration == 8
        assert len(list(path.parent.glob("*.safetensors"))) == 1
        assert not list(path.parent.glob("*.tmp"))

    def test_a_flipped_bit_is_noticed(self, path: Path) -> None:
        file = next(path.parent.glob("*.safetensors"))
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(bytes(data))
        with pytest.raises(CheckpointError, match="is damaged: its SHA-256"):
            load(path, LEARNER)

    def test_missing_tensors_are_named(self, path: Path) -> None:
        next(path.parent.glob("*.safetensors")).unlink()
        with pytest.raises(CheckpointError, match="cannot be read"):
            load(path, LEARNER)

    def test_another_schema_is_refused(self, path: Path) -> None:
        self.change(path, schema=99)
        with pytest.raises(CheckpointError, match="schema 1, found 99"):
            load(path, LEARNER)

    def test_text_that_is_no_checkpoint_is_refused(self, path: Path) -> None:
        path.write_text("{")
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            load(path, LEARNER)
        path.write_text('{"schema": 1}')
        with pytest.raises(CheckpointError, match="it lacks"):
            load(path, LEARNER)

    def test_another_learner_is_refused(self, path: Path) -> None:
        with pytest.raises(CheckpointError, match="holds another learner"):
            load(path, maml(MLP((1, 9, 1)), rate=0.01, regression=True))

    def test_a_class_that_is_not_ours_is_never_built(self, path: Path) -> None:
        self.change(path, learner={"type": "os.system", "command": "true"})
        with pytest.raises(CheckpointError, match="cannot build"):
            restore(path)

    def test_a_path_in_the_sidecar_cannot_leave_the_folder(self, path: Path) -> None:
        file = next(path.parent.glob("*.safetensors"))
        outside = path.parent.parent / file.name
        file.rename(outside)
        self.change(path, tensors=f"../{file.name}")
        with pytest.raises(CheckpointError, match="cannot be read"):
            load(path, LEARNER)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"tensors": None},
            {"best_score": {"mean": 1.0}},
            {"best_score": "good"},
            {"history": None},
            {"history": [{}]},
            {"iteration": "seven"},
            {"iteration": -1},
            {"stale": None},
            {"seconds": "long"},
        ],
    )
    def test_what_a_damaged_sidecar_records_is_refused(self, path: Path, wrong) -> None:
        self.change(path, **wrong)
        with pytest.raises(CheckpointError):
            load(path, LEARNER)

    def test_two_names_that_differ_in_their_ending_keep_tensors_of_their_own(
        self, path: Path
    ) -> None:
        other = path.with_suffix(".old")
        save(other, LEARNER, Snapshot(LEARNER.init(1), iteration=8))
        assert load(path, LEARNER).iteration == 7
        assert load(other, LEARNER).iteration == 8

    def test_a_users_module_is_kept_by_its_shapes(self, tmp_path: Path) -> None:
        module = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        learner = maml(ModuleNetwork(module), rate=0.01, regression=True)
        settings = replace(QUICK, checkpoint=tmp_path / "own.json")
        trained = meta_train(learner, SAMPLER, Budget(5), settings)
        loaded = load(tmp_path / "own.json", learner)
        assert torch.equal(loaded.state["net.0.weight"], trained.state["net.0.weight"])
        with pytest.raises(CheckpointError, match="Pass the learner itself"):
            restore(tmp_path / "own.json")


def test_processor_seconds_go_on_where_a_run_was_cut(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=tmp_path / "run.json")
    first = meta_train(LEARNER, SAMPLER, Budget(5), settings).history[-1].cpu_seconds
    both = meta_train(LEARNER, SAMPLER, Budget(10), settings).history
    spent = [row.cpu_seconds for row in both]
    assert first is not None and spent[0] == first and 0 < spent[0] < spent[1]
    sidecar = json.loads((tmp_path / "run.json").read_text())
    assert sidecar["cpu_seconds"] >= spent[1]


def test_a_checkpoint_from_before_processor_seconds_is_read(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=tmp_path / "run.json")
    meta_train(LEARNER, SAMPLER, Budget(5), settings)
    sidecar = json.loads((tmp_path / "run.json").read_text())
    del sidecar["cpu_seconds"]
    for row in sidecar["history"]:
        del row["cpu_seconds"]
    (tmp_path / "run.json").write_text(json.dumps(sidecar))
    old = load(tmp_path / "run.json", LEARNER)
    assert old.cpu_seconds == 0.0 and old.history[0].cpu_seconds is None


def test_what_cannot_be_kept_is_told_before_the_first_iteration(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Own:
        normalises: bool = False

        def init(self, generator):
            return {"w": torch.ones(1, 1)}

        def __call__(self, params, x, mask):
            return x @ params["w"]

    class Never:
        def sample(self, index: int, n_episodes: int):
            raise AssertionError("training began")

    (tmp_path / "file").write_text("a file")
    for learner, path, why in (
        (maml(Own(), regression=True), tmp_path / "run.json", "Own cannot be described"),
        (LEARNER, tmp_path / "file" / "run.json", "no checkpoint can be written"),
    ):
        with pytest.raises(LearnerError, match=why):
            meta_train(learner, Never(), Budget(3), replace(QUICK, checkpoint=path))
    with pytest.raises(LearnerError, match="about holds JSON values"):
        replace(QUICK, about={"scale": torch.ones(1)})


def test_a_checkpoint_may_be_named_by_text(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=str(tmp_path / "run.json"))
    trained = meta_train(LEARNER, SAMPLER, Budget(2), settings)
    assert torch.equal(
        restore(tmp_path / "run.json")[1]["net.head.bias"], trained.state["net.head.bias"]
    )
