"""Several episodes at once and on several workers: the same numbers."""

from __future__ import annotations

import pytest
import torch

from learners import inner_loop
from learners.errors import LearnerError
from learners.execution import Execution
from learners.fomaml import fomaml
from learners.inner_loop import GradientLearner
from learners.maml import maml
from learners.maml_plus_plus import Annealing, maml_plus_plus
from learners.meta_sgd import meta_sgd
from learners.networks import Conv4
from tests.learners.contract import in_double
from tests.learners.gradient_learners import SMALL, WAVE_LEARNERS, random_state

CONVOLUTIONAL = {
    "maml": maml(SMALL, steps=2, rate=0.1),
    "transductive maml": maml(SMALL, steps=2, rate=0.1, query_statistics=True),
    "fomaml": fomaml(SMALL, steps=2, rate=0.1),
    "meta_sgd": meta_sgd(SMALL),
    "maml++": maml_plus_plus(SMALL, steps=2, annealing=Annealing(10)),
    "pooled maml": maml(Conv4(3, filters=4), steps=2, rate=0.1),
}


@pytest.mark.parametrize("pixels", [0, 2**13], ids=["queries one by one", "queries at once"])
@pytest.mark.parametrize("learner", CONVOLUTIONAL.values(), ids=CONVOLUTIONAL)
def test_several_episodes_at_once_equal_vmap(learner, pixels, glyph_episodes, monkeypatch) -> None:
    """Functions with derivatives of their own against `torch.func`, in float64."""
    monkeypatch.setattr(inner_loop, "_PIXELS", pixels)
    episodes, state, phase = in_double(glyph_episodes), random_state(learner), learner.phase(2)
    found = learner.meta_gradient(state, episodes, phase, Execution(chunk=0))
    monkeypatch.setattr(GradientLearner, "several", lambda *_: False)
    expected = learner.meta_gradient(state, episodes, phase, Execution(chunk=0))
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)


def test_workers_change_no_bit(glyph_episodes) -> None:
    learner = CONVOLUTIONAL["maml"]
    state, phase = learner.init(0), learner.phase(0)
    one, other = (
        learner.meta_gradient(state, glyph_episodes, phase, Execution(chunk=1, workers=workers))
        for workers in (1, 3)
    )
    assert torch.equal(one[1], other[1])
    assert all(torch.equal(one[0][name], other[0][name]) for name in state)


def test_workers_are_the_threads_that_torch_had(glyph_episodes) -> None:
    convolutional, plain = CONVOLUTIONAL["maml"], WAVE_LEARNERS["maml"]
    before, execution = torch.get_num_threads(), Execution()
    torch.set_num_threads(2)
    try:
        with execution.prepared():
            assert torch.get_num_threads() == 1
            assert convolutional.workers(execution) == 2
            assert convolutional.workers(Execution(workers=1)) == 1
            assert convolutional.workers(Execution(workers=3, compiled=True)) == 1
            assert plain.workers(execution) == 1
        assert convolutional.workers(execution) == 1
    finally:
        torch.set_num_threads(before)


def test_no_workers_at_all_are_refused() -> None:
    with pytest.raises(LearnerError, match="workers is 1 or more"):
        Execution(workers=0)


def test_what_fails_in_a_worker_is_raised(glyph_episodes) -> None:
    learner = CONVOLUTIONAL["maml"]
    state = {name: v for name, v in learner.init(0).items() if name != "net.head.bias"}
    with pytest.raises(KeyError, match=r"head\.bias"):
        learner.meta_gradient(
            state, glyph_episodes, learner.phase(0), Execution(chunk=1, workers=2)
        )
