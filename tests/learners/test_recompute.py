from __future__ import annotations

from pathlib import Path

import pytest
import torch

from learners.anil import anil
from learners.errors import LearnerError
from learners.execution import Execution
from learners.fomaml import fomaml
from learners.inner_loop import GradientLearner, InnerLoop
from learners.maml import maml
from learners.maml_plus_plus import Annealing, maml_plus_plus
from learners.meta_sgd import meta_sgd
from learners.networks import MLP, Conv4
from learners.settled import Settled
from learners.sinusoid import SinusoidSampler
from tests.learners.contract import fresh, in_double
from tests.processes import python

NET = Conv4(3, filters=4, strided=True)
WAVE = MLP((1, 8, 8, 1))

LEARNERS = {
    "maml": maml(NET, steps=3, rate=0.1),
    "fomaml": fomaml(NET, steps=3, rate=0.1),
    # These embed once where nothing is recomputed.
    "anil": anil(NET, steps=2, rate=0.1),
    "anil, transductive": anil(NET, steps=2, rate=0.1, query_statistics=True),
    "anil, settled": anil(Settled(NET), steps=2, rate=0.1),
    "anil, first order": GradientLearner(
        NET, InnerLoop(2, 0.1, adapts=("head",), first_order=True)
    ),
    "maml++": maml_plus_plus(NET, steps=3, annealing=Annealing(50, 0)),
    "meta_sgd on waves": meta_sgd(WAVE, steps=4, rate=0.01, regression=True),
}


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("name", LEARNERS)
def test_the_gradient_is_that_with_everything_kept(name, chunk, waves, glyph_episodes) -> None:
    learner = LEARNERS[name]
    episodes = in_double(glyph_episodes if learner.classification else waves)
    state = fresh(learner)
    for iteration in (0, 1000):
        phase = learner.phase(iteration)
        expected, losses = learner.meta_gradient(state, episodes, phase, Execution())
        found, same = learner.meta_gradient(
            state, episodes, phase, Execution(chunk=chunk, recompute=True)
        )
        torch.testing.assert_close(same, losses, rtol=1e-6, atol=1e-9)
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-9)


PEAK = """
import sys, torch
from learners.execution import Execution
from learners.maml import maml
from learners.networks import MLP
from learners.sinusoid import SinusoidSampler
torch.set_num_threads(1)
# The peak that getrusage tells is inherited from the process that started this one.
def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
steps, recompute = int(sys.argv[1]), sys.argv[2] == "recompute"
learner = maml(MLP((1, 64, 64, 1)), steps=steps, rate=0.001, regression=True)
episodes = SinusoidSampler(k_shot=3000).sample(0, 1)
before = peak()
learner.meta_gradient(learner.init(0), episodes, learner.phase(0), Execution(recompute=recompute))
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read there")
def test_memory_grows_with_the_parameters_of_each_step_alone() -> None:
    """Kilobytes that 16 inner steps take more than 4."""

    def peak(steps: int, how: str) -> int:
        # Freed memory goes back at once: else the peak is of what the allocator keeps.
        returned = {"MALLOC_MMAP_THRESHOLD_": "65536"}
        done = python(PEAK, steps, how, environment=returned)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    plain, again = (peak(16, how) - peak(4, how) for how in ("plain", "recompute"))
    assert again < plain / 4


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    learner = maml(WAVE, steps=1, rate=0.011, regression=True)  # nobody compiled it before
    episodes = SinusoidSampler().sample(0, 2)
    with pytest.raises(LearnerError, match=r"C\+\+ compiler on a CPU.*no no-such-compiler here"):
        learner.meta_gradient(learner.init(0), episodes, learner.phase(0), Execution(compiled=True))


def test_it_is_not_to_be_had_compiled() -> None:
    with pytest.raises(LearnerError, match="choose one"):
        Execution(recompute=True, compiled=True)
