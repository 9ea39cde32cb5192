"""One step of learn2learn, higher, torchopt and easyfsl, for `benchmarks.few_shot.speed`.

Only their algorithms are imported: what their packages import beside those (gym, torchvision and
their data sets) is stood in for, since none of it is run. A peer that is not installed is left
out and named in the result. learn2learn 0.2.0 installs from its source after its generated C files
are deleted (`python setup.py build_ext --inplace`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from learners.episode import Episodes
from learners.learner import State

Way = Callable[[], State]

_UNUSED = {
    "learn2learn": ("learn2learn.gym", "learn2learn.text", "learn2learn.vision"),
    "easyfsl": ("torchvision", "torchvision.models", "torchvision.models.resnet"),
}


def peer(name: str) -> Any:
    """Return a peer's package, or None where it is not installed."""
    for part in _UNUSED.get(name, ()):
        sys.modules.setdefault(part, MagicMock())
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def versions(names: list[str]) -> dict[str, str]:
    """Return what versions ran; a peer without metadata says its own."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            package = sys.modules.get(name)
            found[name] = str(getattr(package, "__version__", "not installed"))
    return found


def maml_ways(
    module: nn.Module, steps: int, rate: float, episodes: Episodes, criterion: nn.Module
) -> dict[str, Way]:
    """Return a meta-gradient of second-order MAML by each peer that is installed."""
    makers = {"higher": _higher, "learn2learn": _learn2learn, "torchopt": _torchopt}
    return {
        name: make(package, module, (steps, rate), episodes, criterion)
        for name, make in makers.items()
        if (package := peer(name)) is not None
    }


def proto_ways(module: nn.Module, episodes: Episodes) -> dict[str, Way]:
    """Return a gradient of prototypical networks by each peer that is installed.

    easyfsl scores by distance where the paper has its square, so that its gradient is another.
    """
    ways = {}
    if (learn2learn := peer("learn2learn")) is not None:
        ways["learn2learn"] = _l2l_prototypes(learn2learn, module, episodes)
    if peer("easyfsl") is not None:
        methods = importlib.import_module("easyfsl.methods")
        ways["easyfsl"] = _easyfsl_prototypes(methods, module, episodes)
    return ways


def _last(module: nn.Module) -> State:
    """Return the gradient of the head's weights as ours has it, `(n_in, n_out)`."""
    return {"last": list(module.parameters())[-2].grad.T.clone()}


def _pairs(episodes: Episodes) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    s, q = episodes.support, episodes.query
    return [(s.x[i], s.y[i], q.x[i], q.y[i]) for i in range(len(episodes))]


def _higher(
    higher: Any, module: nn.Module, loop: tuple[int, float], episodes: Episodes, criterion: Any
) -> Way:
    steps, rate = loop
    inner = torch.optim.SGD(module.parameters(), lr=rate)

    def run() -> State:
        module.zero_grad()
        for x, y, xq, yq in _pairs(episodes):
            with higher.innerloop_ctx(module, inner, copy_initial_weights=False) as (fast, step):
                for _ in range(steps):
                    step.step(criterion(fast(x), y))
                (criterion(fast(xq), yq) / len(episodes)).backward()
        return _last(module)

    return run


def _learn2learn(
    learn2learn: Any, module: nn.Module, loop: tuple[int, float], episodes: Episodes, criterion: Any
) -> Way:
    steps, rate = loop
    maml = learn2learn.algorithms.MAML(module, lr=rate, first_order=False)

    def run() -> State:
        module.zero_grad()
        for x, y, xq, yq in _pairs(episodes):
            fast = maml.clone()
            for _ in range(steps):
                fast.adapt(criterion(fast(x), y))
            (criterion(fast(xq), yq) / len(episodes)).backward()
        return _last(module)

    return run


def _torchopt(
    torchopt: Any, module: nn.Module, loop: tuple[int, float], episodes: Episodes, criterion: Any
) -> Way:
    steps, rate = loop

    @contextmanager
    def inner() -> Any:
        """Give the module back as it was, as torchopt's examples do around every episode."""
        optimizer = torchopt.MetaSGD(module, lr=rate)
        before = torchopt.extract_state_dict(module, by="reference", detach_buffers=True)
        state = torchopt.extract_state_dict(optimizer, by="reference")
        try:
            yield optimizer
        finally:
            torchopt.recover_state_dict(module, before)
            torchopt.recover_state_dict(optimizer, state)

    def run() -> State:
        module.zero_grad()
        for x, y, xq, yq in _pairs(episodes):
            with inner() as optimizer:
                for _ in range(steps):
                    optimizer.step(criterion(module(x), y))
                loss = criterion(module(xq), yq) / len(episodes)
            loss.backward()
        return _last(module)

    return run


def _l2l_prototypes(learn2learn: Any, module: nn.Module, episodes: Episodes) -> Way:
    classifier = learn2learn.nn.PrototypicalClassifier

    def run() -> State:
        module.zero_grad()
        for x, y, xq, yq in _pairs(episodes):
            z = module(torch.cat([x, xq]))
            scores = classifier(z[: len(x)], y)(z[len(x) :])
            (nn.functional.cross_entropy(scores, yq) / len(episodes)).backward()
        return {"last": module[0].weight.grad.clone()}

    return run


def _easyfsl_prototypes(methods: Any, module: nn.Module, episodes: Episodes) -> Way:
    method = methods.PrototypicalNetworks(module)

    def run() -> State:
        module.zero_grad()
        for x, y, xq, yq in _pairs(episodes):
            method.process_support_set(x, y)
            loss = nn.functional.cross_entropy(method(xq), yq) / len(episodes)
            loss.backward()
        return {"last": module[0].weight.grad.clone()}

    return run
