"""Losses and gradients that are not finite stop training, and can be looked at again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from learners.checkpoint import load_episode
from learners.errors import CheckpointError, NonFiniteLossError
from learners.execution import Execution
from learners.inner_loop import GradientLearner
from learners.maml import maml
from learners.networks import MLP
from learners.samplers import ClassSampler, Shape
from learners.training import Budget, meta_train
from tests.learners.quick_training import LEARNER, QUICK, SAMPLER


def test_a_non_finite_loss_stops_with_the_episode_saved(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=tmp_path / "run.json")
    learner = maml(MLP((1, 8, 1)), rate=1e30, steps=3, regression=True)
    with pytest.raises(NonFiniteLossError, match="meta-iteration 0: the loss of episode") as caught:
        meta_train(learner, SAMPLER, Budget(5), settings)
    tensors = load_file(caught.value.episode_file)
    assert tensors["support/x"].shape == (1, 10, 1)
    assert "state/net.head.weight" in tensors


def test_what_made_a_loss_non_finite_can_be_replayed(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=tmp_path / "run.json")
    for learner, sampler in (
        (maml(MLP((1, 8, 1)), rate=1e30, steps=3, regression=True), SAMPLER),
        (
            maml(MLP((4, 8, 2)), rate=1e38, steps=3),
            ClassSampler(torch.rand(3, 4, 4), Shape(2, 1, 2)),
        ),
    ):
        with pytest.raises(NonFiniteLossError) as caught:
            meta_train(learner, sampler, Budget(5), settings)
        state, episodes = load_episode(caught.value.episode_file)
        losses = learner.meta_gradient(state, episodes, learner.phase(0), Execution())[1]
        assert len(losses) == 1 and not torch.isfinite(losses).any()
    for name in ("run.json", "none.safetensors"):
        (tmp_path / "run.json").write_text("{}")
        with pytest.raises(CheckpointError, match="holds no episodes"):
            load_episode(tmp_path / name)


def test_a_non_finite_gradient_stops_before_it_reaches_the_state() -> None:
    @dataclass(frozen=True)
    class Steep(GradientLearner):
        def meta_gradient(self, *arguments):
            gradient, losses = super().meta_gradient(*arguments)
            return {name: value * torch.inf for name, value in gradient.items()}, losses

    learner = Steep(LEARNER.network, LEARNER.loop, regression=True)
    with pytest.raises(NonFiniteLossError, match="the meta-gradient is NaN"):
        meta_train(learner, SAMPLER, Budget(5), QUICK)
