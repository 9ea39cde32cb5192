"""Models of torch as JSON and safetensors, and back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load as tensors_in
from safetensors.torch import save as bytes_of

from learners.description import build, describe
from learners.errors import CheckpointError, LearnerError
from learners.learner import Learner, State
from learners.networks import ModuleNetwork
from learners.own_module import normalises_rows
from learners.protonet import ProtoNet
from learners.shifted import Shifted
from metastore.errors import InvalidInputError
from metastore.starts import MODULE
from recommenders.starts.neural_models import LearnerModel, NetworkModel

if TYPE_CHECKING:
    from torch import nn


def tensors_of(model: Any) -> tuple[dict[str, Any], bytes]:
    """Return what JSON says of a model, and the file of its tensors.

    Raises:
        InvalidInputError: if it is no model of this package.
    """
    if isinstance(model, LearnerModel):
        said = {"type": "learner", "learner": describe(model.learner)}
        parts = {"state": model.state, "context": model.context}
    elif isinstance(model, NetworkModel):
        # A network is described as that of a learner: it is what descriptions are of.
        said = {
            "type": "network",
            "learner": describe(ProtoNet(model.network)),
            "head": model.head,
        }
        parts = {"params": model.params}
    else:
        raise InvalidInputError(f"a {type(model).__name__} cannot be kept")
    network = model.network if isinstance(model, NetworkModel) else _network(model.learner)
    if (own := _module(network)) is not None:
        parts["buffers"] = dict(own.named_buffers())
    named = {
        f"{part}/{name}": value.detach().cpu().contiguous().clone()
        for part, tensors in parts.items()
        for name, value in tensors.items()
    }
    return said, bytes_of(named)


def model_of(
    said: Mapping[str, Any], data: bytes, n_classes: int, module: nn.Module | None
) -> LearnerModel | NetworkModel:
    """Return the model of a description and its tensors.

    Raises:
        InvalidInputError: if they are damaged, or the user's own module is missing.
    """
    try:
        tensors = tensors_in(data)
        learner = _learner(said["learner"], module, _of(tensors, "buffers"))
    except (SafetensorError, CheckpointError, LearnerError) as error:
        raise InvalidInputError(f"the model cannot be built: {error}") from error
    if said["type"] == "learner":
        return LearnerModel(learner, _of(tensors, "state"), _of(tensors, "context"), n_classes)
    if said["type"] != "network":
        raise InvalidInputError(f"no model of type {said['type']!r} in this version")
    return NetworkModel(_network(learner), _of(tensors, "params"), str(said["head"]))


def _learner(description: Mapping[str, Any], module: nn.Module | None, buffers: State) -> Learner:
    network = description.get("network")
    shifted = isinstance(network, dict) and network.get("type") == Shifted.__name__
    network = network["network"] if shifted and isinstance(network, dict) else network
    if not isinstance(network, dict) or network.get("type") != MODULE:
        return build(dict(description))
    if module is None:
        raise InvalidInputError(
            f"the model is a module of class {network.get('class')!r} of your own, and no code "
            "is kept in a file: load(folder, module=...)"
        )
    placeholder = {"type": "Flatten"}
    learner = build({**description, "network": placeholder})
    filled = _filled(module, network, buffers)
    own = ModuleNetwork(filled, normalises_rows(filled))
    seeing = Shifted(own) if shifted else own
    return replace(learner, network=seeing)  # type: ignore[call-arg]


def _filled(module: nn.Module, described: Mapping[str, Any], buffers: State) -> nn.Module:
    """Return a copy of the user's module, in evaluation mode, with the buffers that were kept.

    Raises:
        InvalidInputError: if it is of another class or of other shapes.
    """
    own = copy.deepcopy(module).eval()
    if type(own).__qualname__ != described.get("class"):
        raise InvalidInputError(
            f"the model is a module of class {described.get('class')!r}, and the one given is a "
            f"{type(own).__qualname__!r}"
        )
    there = dict(own.named_buffers())
    expected = {name: tuple(shape) for name, shape in described["parameters"].items()}
    found = {name: tuple(value.shape) for name, value in own.named_parameters()}
    if buffers:  # a model of before they were kept has none
        expected |= {name: tuple(value.shape) for name, value in buffers.items()}
        found |= {name: tuple(value.shape) for name, value in there.items()}
    wrong = sorted(set(expected.items()) ^ set(found.items()))
    if wrong:
        name = wrong[0][0]
        raise InvalidInputError(
            f"the module given is not the model's: {name!r} should be "
            f"{expected.get(name, 'absent')}, found {found.get(name, 'nothing')}"
        )
    for name, value in buffers.items():
        there[name].copy_(value)
    return own


def _network(learner: Learner) -> Any:
    return getattr(learner, "network", None)


def _module(network: Any) -> nn.Module | None:
    """Return the user's module in a network; None where there is none."""
    inner = network.network if isinstance(network, Shifted) else network
    return inner.module if isinstance(inner, ModuleNetwork) else None


def _of(tensors: State, part: str) -> State:
    return {
        name.removeprefix(f"{part}/"): value
        for name, value in tensors.items()
        if name.startswith(f"{part}/")
    }
