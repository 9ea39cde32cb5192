"""What training leaves beside a checkpoint: one file of tensors, however it was ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from learners.checkpoint import Snapshot, load, save
from learners.networks import MLP
from learners.protonet import ProtoNet

LEARNER = ProtoNet(MLP((3, 2)))


@pytest.mark.parametrize("name", ["run.json", "run[1].json"])
def test_one_file_of_tensors_is_kept_whatever_the_name(name: str, tmp_path: Path) -> None:
    for seed in range(3):
        save(tmp_path / name, LEARNER, Snapshot(LEARNER.init(seed)))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    found = load(tmp_path / name, LEARNER).state
    assert all(torch.equal(found[key], value) for key, value in LEARNER.init(2).items())


def test_half_a_file_of_a_killed_process_is_cleared_and_a_fresh_one_is_not(tmp_path: Path) -> None:
    names = (".run.0123456789abcdef.safetensors.77.tmp", ".run.json.77.tmp")
    dead = [tmp_path / name for name in names]
    alive, other = tmp_path / ".run.json.78.tmp", tmp_path / ".runs.json.77.tmp"
    for file in (*dead, alive, other):
        file.write_bytes(b"half")
    for file in (*dead, other):
        os.utime(file, (time.time() - 3600,) * 2)
    save(tmp_path / "run.json", LEARNER, Snapshot(LEARNER.init(0)))
    assert not any(file.exists() for file in dead)
    assert alive.exists() and other.exists()


SAVING = """
import sys, torch
from pathlib import Path
from learners.checkpoint import Snapshot, save
from tests.learners.test_checkpoint_leftovers import LEARNER
for i in range(30):
    state = {k: v + i + float(sys.argv[2]) for k, v in LEARNER.init(0).items()}
    save(Path(sys.argv[1]), LEARNER, Snapshot(state, iteration=i))
"""


def test_processes_that_write_the_same_checkpoint_do_not_harm_each_other(tmp_path: Path) -> None:
    """Whoever reads meanwhile gets what one of them wrote, whole."""
    path = tmp_path / "run.json"
    save(path, LEARNER, Snapshot(LEARNER.init(0)))
    writing = [
        subprocess.Popen([sys.executable, "-c", SAVING, str(path), number], stderr=subprocess.PIPE)
        for number in ("0.25", "0.5")
    ]
    try:
        while any(one.poll() is None for one in writing):
            load(path, LEARNER)
    finally:
        said = [one.communicate()[1].decode() for one in writing]
    assert said == ["", ""]
    assert load(path, LEARNER).iteration == 29
