"""Small learners that adapt by gradients, and states without zeros or ones."""

from __future__ import annotations

import torch

from learners.anil import anil
from learners.fomaml import fomaml
from learners.maml import maml
from learners.meta_sgd import meta_sgd
from learners.networks import MLP, Conv4
from learners.reptile import Reptile

SMALL = Conv4(3, filters=4, strided=True)
WAVE = MLP((1, 8, 8, 1), "tanh")
WAVE_LEARNERS = {
    "maml": maml(WAVE, rate=0.01, steps=2, regression=True),
    "fomaml": fomaml(WAVE, rate=0.01, regression=True),
    "anil": anil(WAVE, rate=0.01, regression=True),
    "meta_sgd": meta_sgd(WAVE, rate=0.01, regression=True),
    "reptile": Reptile(WAVE, batch=0, adam=False, rate=0.02, regression=True, prediction_steps=4),
}


def random_state(learner, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value.double() + 0.05 * torch.randn(value.shape, generator=generator).double()
        for name, value in learner.init(seed).items()
    }


def as_module(state) -> torch.nn.Sequential:
    """Return WAVE as an ordinary module in float64 with the parameters of a state."""
    module = torch.nn.Sequential(
        torch.nn.Linear(1, 8),
        torch.nn.Tanh(),
        torch.nn.Linear(8, 8),
        torch.nn.Tanh(),
        torch.nn.Linear(8, 1),
    ).double()
    with torch.no_grad():
        for layer, name in zip(module[::2], ("layer0", "layer1", "head"), strict=True):
            layer.weight.copy_(state[f"net.{name}.weight"].T)
            layer.bias.copy_(state[f"net.{name}.bias"])
    return module
