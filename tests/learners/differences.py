"""Meta-gradients against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from learners.episode import Episodes
from learners.execution import Execution
from learners.learner import Learner, State


def mean_loss(learner: Learner, episodes: Episodes) -> Callable[[State], float]:
    def value(state: State) -> float:
        phase = learner.phase(0)
        return float(learner.meta_gradient(state, episodes, phase, Execution())[1].mean())

    return value


def check_gradient(
    learner: Learner, state: State, episodes: Episodes, *, entries: int = 2, step: float = 1e-6
) -> None:
    """Compare some entries of every tensor of the state, the largest gradients among them."""
    gradient, _ = learner.meta_gradient(state, episodes, learner.phase(0), Execution())
    check_entries(gradient, state, mean_loss(learner, episodes), entries=entries, step=step)


def check_entries(
    gradient: State,
    state: State,
    loss: Callable[[State], float],
    *,
    entries: int = 2,
    step: float = 1e-6,
) -> None:
    checked = 0
    for name, value in state.items():
        largest = gradient[name].flatten().abs().topk(min(entries, value.numel())).indices
        for i in largest.tolist():
            ends = []
            for move in (step, -step):
                moved = {k: v.clone() for k, v in state.items()}
                moved[name].view(-1)[i] += move
                ends.append(loss(moved))
            expected = (ends[0] - ends[1]) / (2 * step)
            found = float(gradient[name].flatten()[i])
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-7), name
            checked += abs(found) > 1e-7
    assert checked > len(state) / 2, "most gradients are zero: the check says nothing"


def random_state(learner: Learner, seed: int = 0) -> State:
    """Return a state without zeros or ones: biases and start values vary, too."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value.double() + 0.1 * torch.randn(value.shape, generator=generator).double()
        for name, value in learner.init(seed).items()
    }
