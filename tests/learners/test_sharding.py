from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from learners.errors import LearnerError
from learners.execution import Execution
from learners.maml import maml
from learners.networks import MLP
from learners.sharding import Shard
from learners.sinusoid import SinusoidSampler
from learners.training import Budget, Training, meta_train
from tests.learners.contract import in_double
from tests.processes import ROOT

LEARNER = maml(MLP((1, 8, 1)), rate=0.01, regression=True)
SETTINGS = Training(meta_batch=5, validate_every=2, progress=False, rate=1e-2)

SCRIPT = """
import os, sys
from dataclasses import replace
from pathlib import Path
from safetensors.torch import save_file
from learners import training
from learners.sinusoid import SinusoidSampler
from learners.training import Budget, meta_train
from tests.learners.test_sharding import LEARNER, SETTINGS
out = Path(sys.argv[1])
save = training.save
def counted(*arguments):
    (out / f"saved{os.environ['RANK']}").touch()
    save(*arguments)
training.save = counted
settings = replace(SETTINGS, checkpoint=out / "run.json", watch=(
    lambda report: (out / f"seen{os.environ['RANK']}").write_text(str(report.iteration)),))
trained = meta_train(LEARNER, SinusoidSampler(), Budget(6, seconds=100), settings,
                     SinusoidSampler(seed=9))
save_file(trained.state, out / f"state{os.environ['RANK']}.safetensors")
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes under torchrun left behind."""
    folder = tmp_path_factory.mktemp("sharded")
    (folder / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(folder / "train.py"), str(folder)]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_learn_what_one_does(two_processes: Path) -> None:
    """Five episodes an iteration, so that the parts are uneven: 2 and 3."""
    alone = meta_train(
        LEARNER, SinusoidSampler(), Budget(6), SETTINGS, SinusoidSampler(seed=9)
    ).state
    start = LEARNER.init(0)
    found = load_file(two_processes / "state0.safetensors")
    for name, value in alone.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(found[name], start[name], rtol=1e-4, atol=1e-6)


def test_both_processes_end_with_the_same_bits_and_one_writes(two_processes: Path) -> None:
    states = [load_file(two_processes / f"state{rank}.safetensors") for rank in (0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert (two_processes / "seen0").read_text() == "6"
    assert not (two_processes / "seen1").exists()
    assert (two_processes / "saved0").exists()
    assert not (two_processes / "saved1").exists()


@pytest.mark.parametrize(("n", "world"), [(5, 2), (7, 3), (4, 4)])
def test_parts_make_the_whole_gradient(n: int, world: int) -> None:
    """What each process computes, weighted by its share, adds up to the whole batch's."""
    state = {name: value.double() for name, value in LEARNER.init(0).items()}
    batch = in_double(SinusoidSampler().sample(0, n))
    phase, how = LEARNER.phase(0), Execution()
    expected, losses = LEARNER.meta_gradient(state, batch, phase, how)
    parts = [Shard(rank, world).part(batch) for rank in range(world)]
    assert sum(map(len, parts)) == n
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    made = [LEARNER.meta_gradient(state, part, phase, how) for part in parts]
    torch.testing.assert_close(torch.cat([each for _, each in made]), losses)
    for name, value in expected.items():
        found = sum(len(p) / n * g[name] for p, (g, _) in zip(parts, made, strict=True))
        torch.testing.assert_close(found, value)


def test_alone_nothing_changes() -> None:
    gradient, losses = {"a": torch.ones(2)}, torch.zeros(3)
    assert Shard().whole(gradient, losses, 3) == (gradient, losses)
    assert Shard().agreed(True, "cpu")


def test_fewer_episodes_than_processes_are_refused() -> None:
    with pytest.raises(LearnerError, match="cannot be shared by 4 processes"):
        Shard(0, 4).part(SinusoidSampler().sample(0, 3))
