"""Heads for as many classes as a task has, whatever a start was trained for.

A gradient learner's own head is kept for as many classes as it has or fewer. For more, every
class begins with the mean of its columns, as Ye and Chao, "How to Train Your MAML to Excel in
Few-Shot Classification", ICLR 2022, section 4, begin with one vector for all classes.

Any other network gets a linear head on its embeddings z. The squared distance to prototypes c is
linear in z but for a term that all classes share (Snell et al., NeurIPS 2017, equation 8):
    -|z - c_k|^2 / t = 2 c_k . z / t - |c_k|^2 / t + const,
which is where the head begins: fine-tuning starts from the prototypical network, at a temperature
t of 1 for one, and of the mean distance to the own prototype for networks trained otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from learners.inner_loop import GradientLearner
from learners.learner import Learner, State
from learners.losses import at_least_float32
from learners.networks import MLP, Conv4, Network, Params, normalising, without_net
from learners.protonet import ProtoNet, prototypes
from metastore.errors import InvalidInputError
from recommenders.starts.evidence import compares
from recommenders.starts.tuning import MODES

FIXED = (".mean", ".variance")
"""Endings of the names of statistics of normalisations, which are measured, not trained."""

_HEAD = "head."
CLASSES = "classes."
"""Prefix of a head on embeddings."""
_TINY = 1e-6


@dataclass(frozen=True)
class Tunable:
    """A network whose outputs are the classes of a task, and where it starts.

    Args:
        network: maps inputs to log-odds `(n, n_classes)`, or to embeddings where `params` holds
            a head `classes.*` on them.
        params: its parameters.
        head: prefix of the last layer's parameters.
    """

    network: Network
    params: Params
    head: str

    def __call__(self, params: Params, x: Tensor, mask: Tensor) -> Tensor:
        """Return log-odds `(n, n_classes)`."""
        return with_head(self.network, params, x, mask)


def with_head(network: Network, params: Params, x: Tensor, mask: Tensor) -> Tensor:
    """Return log-odds `(n, n_classes)` of a network, through a head `classes.*` if it has one."""
    # A user's own module takes its own parameters alone.
    own = {name: value for name, value in params.items() if not name.startswith(CLASSES)}
    out = at_least_float32(network(own, x, mask)).flatten(1)
    if f"{CLASSES}weight" not in params:
        return out
    return out @ params[f"{CLASSES}weight"] + params[f"{CLASSES}bias"]


def has_own_head(learner: Learner) -> bool:
    """Whether a learner's network ends in classes, rather than in embeddings to compare."""
    if isinstance(learner, GradientLearner):
        return True
    return hasattr(learner, "prediction_steps") and hasattr(learner, "network")


def modes_of(learner: Learner, n_classes: int) -> tuple[str, ...]:
    """Return the modes of `Tuning` that a learner has for so many classes.

    A memory has room for as many classes as it was trained with, and a learner without a network
    has no layers that gradient steps could move. A linear head is for those that compare.
    """
    room = learner.most_ways is None or n_classes <= learner.most_ways
    has = {
        "adapt": room,
        "linear": compares(learner),
        "gradient": hasattr(learner, "network"),
    }
    return tuple(mode for mode in MODES if has[mode])


def resized(learner: Learner, state: State, n_classes: int) -> tuple[Learner, State]:
    """Return a learner and its state with a head for at least `n_classes`.

    Step sizes that are learned for each weight of the head are treated as the weights are.
    """
    weight = state.get(f"net.{_HEAD}weight")
    if not has_own_head(learner) or weight is None or weight.shape[-1] >= n_classes:
        return learner, state
    width = weight.shape[-1]
    wide = {
        name: widened(value, width, n_classes) if f".{_HEAD}" in name else value
        for name, value in state.items()
    }
    network: Any = learner.network  # type: ignore[attr-defined]
    return replace(learner, network=_for_classes(network, n_classes)), wide  # type: ignore[call-arg]


def widened(value: Tensor, width: int, n_classes: int) -> Tensor:
    """Return a tensor whose last axis of `width` classes is one of `n_classes`.

    >>> widened(torch.tensor([[1.0, 3.0]]), 2, 3)
    tensor([[2., 2., 2.]])
    """
    if value.ndim == 0 or value.shape[-1] != width:
        return value
    return value.mean(-1, keepdim=True).expand(*value.shape[:-1], n_classes).clone()


def _for_classes(network: Network, n_classes: int) -> Network:
    if isinstance(network, Conv4):
        return replace(network, n_out=n_classes)
    if isinstance(network, MLP):
        return replace(network, sizes=(*network.sizes[:-1], n_classes))
    raise InvalidInputError(
        f"a {type(network).__name__} of your own has a head of its own width; give it "
        f"{n_classes} outputs, or register it without its last layer"
    )


def tunable(learner: Learner, state: State, x: Tensor, y: Tensor, n_classes: int) -> Tunable:
    """Return what gradient steps move, and where they begin.

    Args:
        learner: a start's, with a network.
        state: its state.
        x: inputs of the support set `(n, *shape)`, on the state's device.
        y: their classes `(n,)`.
        n_classes: classes of the task.

    Raises:
        InvalidInputError: if the learner has no network.
    """
    if not hasattr(learner, "network"):
        raise InvalidInputError(
            f"a {type(learner).__name__} adapts by its own rule alone: choose mode='adapt'"
        )
    if has_own_head(learner):
        return _own_head(learner, state, n_classes)
    network: Network = learner.network
    params = unmeasured(network, without_net(state))
    z = _embedded(network, params, x)
    mask = torch.ones(len(y), dtype=torch.bool, device=y.device)
    centres, present = prototypes(z, y, mask, n_classes)
    apart = (z - centres[y]).square().sum(1).mean()
    between = (centres - centres.mean(0)).square().sum(1).mean()
    # With one example a class nothing is away from its prototype: half the spread of those.
    spread = torch.maximum(apart, between / 2).clamp(min=_TINY)
    t = torch.ones_like(spread) if isinstance(learner, ProtoNet) else spread
    bias = -centres.square().sum(1) / t
    head = {
        f"{CLASSES}weight": (2 * centres.T / t).contiguous(),
        f"{CLASSES}bias": torch.where(present, bias, bias.min()),
    }
    return Tunable(network, params | head, CLASSES)


def unmeasured(network: Network, params: Params) -> Params:
    """Return parameters without the statistics of the data that a network was trained on.

    Its normalisations then use those of the support set, while gradient steps are taken and
    afterwards, as Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation",
    2016, have it. Where statistics stay fixed, a few steps of Adam lead astray.
    """
    if not normalising(network):
        return params
    return {name: value for name, value in params.items() if not name.endswith(FIXED)}


def _own_head(learner: Any, state: State, n_classes: int) -> Tunable:
    learner, state = resized(learner, state, n_classes)
    params = without_net(state)
    if isinstance(learner, GradientLearner):
        params = learner.parameters(state, learner.loop.steps - 1)
    params = unmeasured(learner.network, params)
    for name in (f"{_HEAD}weight", f"{_HEAD}bias"):
        if name in params:
            params[name] = params[name][..., :n_classes].contiguous()
    return Tunable(_for_classes(learner.network, n_classes), params, _HEAD)


@torch.no_grad()
def _embedded(network: Network, params: Params, x: Tensor) -> Tensor:
    mask = torch.ones(len(x), dtype=torch.bool, device=x.device)
    return at_least_float32(network(params, x, mask)).flatten(1)
