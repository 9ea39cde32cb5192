"""Reptile against plain descent and Adam, and on support sets of different size."""

from __future__ import annotations

import torch

from learners.episode import Episodes, Examples, pad
from learners.execution import Execution
from learners.reptile import Reptile
from tests.learners.gradient_learners import WAVE, as_module


def test_reptile_trains_on_support_sets_of_different_size(waves) -> None:
    """A minibatch of padding alone has no loss, and a longer neighbour none of its business."""
    learner = Reptile(WAVE, batch=4, rate=0.02, regression=True, steps=4)
    sets = [Examples(*(part[i, :n] for part in waves.support)) for i, n in enumerate((3, 6, 10))]
    uneven = Episodes(pad(sets), waves.query, 0)
    state = learner.init(0)
    found, losses = learner.meta_gradient(state, uneven, learner.phase(0), Execution())
    total = {name: torch.zeros_like(value) for name, value in state.items()}
    for i, one in enumerate(sets):
        alone = Episodes(pad([one]), waves[i : i + 1].query, 0)
        gradient, loss = learner.meta_gradient(state, alone, learner.phase(0), Execution())
        torch.testing.assert_close(losses[i : i + 1], loss)
        total = {name: value + gradient[name] / 3 for name, value in total.items()}
    for name, value in found.items():
        torch.testing.assert_close(value, total[name], rtol=1e-4, atol=1e-6)


def test_reptile_gradient_is_the_way_back_from_plain_descent(waves) -> None:
    """theta - mean phi, with phi from SGD on the whole support set."""
    learner = Reptile(WAVE, steps=2, rate=0.05, batch=0, adam=False, regression=True)
    state = learner.init(0)
    found, _ = learner.meta_gradient(state, waves, learner.phase(0), Execution())
    total = {name: torch.zeros_like(value) for name, value in state.items()}
    for i in range(len(waves)):
        module = as_module({name: value.double() for name, value in state.items()}).float()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
        for _ in range(2):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(module(waves.support.x[i]), waves.support.y[i]).backward()
            optimizer.step()
        for layer, name in zip(module[::2], ("layer0", "layer1", "head"), strict=True):
            total[f"net.{name}.weight"] += state[f"net.{name}.weight"] - layer.weight.T.detach()
            total[f"net.{name}.bias"] += state[f"net.{name}.bias"] - layer.bias.detach()
    for name, value in found.items():
        torch.testing.assert_close(value, total[name] / len(waves), rtol=1e-4, atol=1e-6)


def test_reptiles_inner_adam_is_adam_without_momentum(waves) -> None:
    learner = Reptile(WAVE, rate=0.01, batch=4, regression=True, prediction_steps=5)
    state = learner.init(0)
    support = Examples(*(part[0] for part in waves.support))
    fast = learner.adapt(state, support).context
    module = as_module({name: value.double() for name, value in state.items()}).float()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01, betas=(0.0, 0.999))
    for step in range(5):
        part = learner._minibatch(support, step)
        assert len(part.x) == 4
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(part.x), part.y).backward()
        optimizer.step()
    torch.testing.assert_close(fast["fast.head.bias"][0], module[4].bias.detach())
    torch.testing.assert_close(fast["fast.layer0.weight"][0], module[0].weight.T.detach())
