"""Learned optimizers on networks of many coordinates: bounded memory, the same gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from learners import optimizer_learner
from learners.execution import Execution
from learners.learned_optimizer import LearnedOptimizer
from learners.meta_lstm import MetaLSTM
from learners.networks import MLP, Conv4
from tests.learners.contract import in_double
from tests.learners.differences import random_state
from tests.processes import python

NET = MLP((784, 4, 3))
LEARNERS = {
    "meta_lstm": MetaLSTM(NET, steps=3, hidden=4),
    "one segment": LearnedOptimizer(NET, steps=3, unroll=3, hidden=4, learned_start=True),
    "segments": LearnedOptimizer(NET, steps=5, unroll=2, hidden=4),
    "convolutions": MetaLSTM(Conv4(3, filters=4, strided=True), steps=2, hidden=4),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_steps_that_are_taken_again_give_the_same_gradient(
    name: str, glyph_episodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, episodes = LEARNERS[name], in_double(glyph_episodes)
    state = random_state(learner)
    assert learner.chunk(episodes, Execution()) == len(episodes)
    expected, losses = learner.meta_gradient(state, episodes, learner.phase(0), Execution(chunk=0))
    again: list[int] = []
    advance = type(learner).advance
    monkeypatch.setattr(type(learner), "advance", lambda *args: again.append(1) or advance(*args))
    monkeypatch.setattr(optimizer_learner, "MOST_KEPT", 1)
    assert learner.chunk(episodes, Execution()) == 1
    found, same = learner.meta_gradient(state, episodes, learner.phase(0), Execution())
    assert len(again) > len(episodes) * learner.steps  # some were taken twice
    torch.testing.assert_close(same, losses, rtol=1e-9, atol=1e-12)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-7, atol=1e-10)


def test_a_published_network_is_not_run_for_a_whole_batch_at_once(glyph_episodes) -> None:
    for learner in (MetaLSTM(Conv4(3, strided=True)), LearnedOptimizer(Conv4(3, strided=True))):
        assert learner.chunk(glyph_episodes, Execution()) == 1
        assert learner.chunk(glyph_episodes, Execution(chunk=2)) == 2


PEAK = """
import torch
from learners import optimizer_learner
from learners.execution import Execution
from learners.{module} import {learner}
from learners.networks import MLP
from learners.samplers import ClassSampler, Shape
torch.set_num_threads(1)
optimizer_learner.MOST_KEPT = 2**26
def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
learner = {learner}(MLP((784, 64, 5)), steps=6)
episodes = ClassSampler(torch.rand(6, 2, 784), Shape(5, 1, 1)).sample(0, 8)
before = peak()
learner.meta_gradient(learner.init(0), episodes, learner.phase(0), Execution())
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read there")
@pytest.mark.parametrize(("learner", "most"), [("MetaLSTM", 300), ("LearnedOptimizer", 600)])
def test_memory_does_not_grow_with_the_batch(learner: str, most: int) -> None:
    """Megabytes of eight episodes of six steps on 50,565 coordinates."""
    module = {"MetaLSTM": "meta_lstm", "LearnedOptimizer": "learned_optimizer"}[learner]
    # Freed memory goes back at once: else the peak is of what the allocator keeps.
    returned = {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = python(PEAK.format(module=module, learner=learner), environment=returned)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1000 * most
