"""From the registry's rows to learners with their weights, and from training into the registry.

The bridge between the two ground floors: the store keeps descriptions and arrays, `learners`
builds networks and takes tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learners.checkpoint import about, restore
from learners.description import build, build_network, describe, names_network
from learners.errors import CheckpointError, LearnerError
from learners.learner import Learner, State
from learners.networks import ModuleNetwork, under_net
from learners.own_module import normalises_rows
from learners.protonet import ProtoNet
from learners.set_encoder import SetEncoder
from metastore.errors import InvalidInputError
from metastore.start_checks import fault
from metastore.starts import MODULE, Start
from metastore.store import MetaStore
from recommenders.starts.names import checked_name


@dataclass(frozen=True)
class LoadedStart:
    """A start with its weights in memory.

    Args:
        start: the registry's row.
        learner: the method and the network. Weights of no meta-learner (a state_dict, a module)
            become prototypical networks over what they embed.
        state: what to adapt from.
        tasks: embeddings `(n_tasks, d)` of tasks that it was trained on; None if not kept.
    """

    start: Start
    learner: Learner
    state: State = field(repr=False)
    tasks: Tensor | None = field(default=None, repr=False)


def needs_module(start: Start) -> bool:
    """Whether a start can be loaded only beside its user's own module."""
    return not start.learner or start.learner.get("type") == MODULE


def load_start(
    start: Start, *, module: nn.Module | None = None, device: torch.device | str = "cpu"
) -> LoadedStart:
    """Return a start ready to adapt.

    Args:
        start: of the registry.
        module: the user's own module where the start's weights are those of one; a copy of it
            is filled with them and put into evaluation mode.
        device: where the tensors go.

    Raises:
        InvalidInputError: if weights and description do not fit each other, the file is damaged,
            or the start is a user's own module and none is given.
    """
    if reason := fault(start):
        raise InvalidInputError(f"start {start.name!r} cannot be used: {reason}")
    arrays = {name: torch.from_numpy(value) for name, value in start.state().items()}
    try:
        learner, state = _fitted(start, arrays, module)
    except (CheckpointError, LearnerError) as error:
        raise InvalidInputError(f"start {start.name!r} cannot be built: {error}") from error
    tasks = start.tasks()
    return LoadedStart(
        start,
        learner,
        {name: value.to(device) for name, value in state.items()},
        None if tasks is None else torch.from_numpy(tasks),
    )


def register(store: MetaStore, learner: Learner, state: State, *, name: str, **said: Any) -> Start:
    """Put a trained learner into the registry.

    Args:
        store: where to.
        learner: the method and its network.
        state: what meta-training gave, finished.
        name: what to call it.
        said: other fields of `metastore.starts.StartSpec`, and `tasks`.

    Raises:
        InvalidInputError: as `MetaStore.add_start`.
    """
    most = learner.most_ways if learner.classification else 0
    return store.add_start(
        state, name=checked_name(name), **{"learner": describe(learner), "n_way": most} | said
    )


def register_checkpoint(store: MetaStore, checkpoint: Path, *, name: str, **said: Any) -> Start:
    """Put what `headstart learn` trained into the registry.

    Args:
        store: where to.
        checkpoint: the JSON file; it says the method, the source and the scale.
        name: what to call it.
        said: other fields of `metastore.starts.StartSpec`, and `tasks`; they win.

    Raises:
        InvalidInputError: if the checkpoint cannot be read.
    """
    try:
        learner, state = restore(checkpoint)
        known = about(checkpoint)
    except (CheckpointError, LearnerError) as error:
        raise InvalidInputError(str(error)) from error
    return register(store, learner, state, name=name, **_told(known) | _any_columns(learner) | said)


def _any_columns(learner: Learner) -> dict[str, Any]:
    """Return what holds of a learner that takes any columns and scales them by itself."""
    if not isinstance(learner, SetEncoder):
        return {}
    return {"kind": "tables", "input_shape": (), "normalisation": {}}


def _told(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a start from what `headstart learn` wrote about its source."""
    shape = tuple(known.get("input_shape", (1,)))
    classes = known.get("classes", known.get("groups", {})).get("train", [])
    more = {name: known[name] for name in ("columns", "background") if name in known}
    return {
        "method": str(known.get("method", "pretrained")),
        "kind": "images" if len(shape) == 3 else "rows",
        "input_shape": shape,
        "normalisation": {"scale": known.get("scale")} | more,
        "trained_on": tuple(f"{known.get('source', '')}:{one}" for one in classes)
        or (str(known.get("source", "")),),
    }


def _fitted(start: Start, arrays: State, module: nn.Module | None) -> tuple[Learner, State]:
    """Return the learner of a start and its state, checked against each other."""
    if needs_module(start):
        return _of_module(start, arrays, module)
    if names_network(start.learner):
        learner: Learner = ProtoNet(build_network(dict(start.learner)))
        arrays = under_net(arrays)
    else:
        learner = build(dict(start.learner))
    expected = {name: value.shape for name, value in learner.init(0).items()}
    found = {name: value.shape for name, value in arrays.items()}
    wrong = {name for name, shape in expected.items() if found.get(name) != shape}
    if wrong:
        raise InvalidInputError(
            f"start {start.name!r}: its weights do not fit its network; {sorted(wrong)[0]!r} "
            f"should be {_shape(expected, wrong)}, found {_shape(found, wrong)}"
        )
    rest = {name: value for name, value in arrays.items() if name not in expected}
    return learner, {name: arrays[name] for name in expected} | rest


def _shape(shapes: Mapping[str, Any], wrong: set[str]) -> Any:
    shape = shapes.get(sorted(wrong)[0])
    return "absent" if shape is None else tuple(shape)


def _of_module(start: Start, arrays: State, module: nn.Module | None) -> tuple[Learner, State]:
    if not isinstance(module, nn.Module):
        raise InvalidInputError(_no_module(start, module))
    filled = copy.deepcopy(module)
    try:
        filled.load_state_dict(arrays)
    except RuntimeError as error:
        raise InvalidInputError(
            f"start {start.name!r}: its weights are not this module's: {error}"
        ) from error
    _try(start, filled.eval())
    learner = ProtoNet(ModuleNetwork(filled, normalises_rows(filled)))
    return learner, learner.init(0)


def _no_module(start: Start, given: Any) -> str:
    """Return what to say where something else came than a user's own module."""
    name = start.name
    whose = (
        f"is a module of class {start.learner.get('class')!r} of your own, and no code is kept"
        if start.learner
        else "is weights without a word on their network, and no code is kept"
    )
    found = "" if given is None else f", not {given!r:.80}"
    if isinstance(given, type):
        found = f", not its class: {given.__name__}(...)"
    return (
        f"start {name!r} {whose} in a store; pass the torch module{found}: "
        f"modules={{{name!r}: module}}, as in finetune(store, support, {name!r}, "
        f"modules={{{name!r}: module}}), where module has the layers that were trained"
    )


@torch.no_grad()
def _try(start: Start, module: nn.Module) -> None:
    """Refuse a user's own module that does not make a row of numbers of each input."""
    if not start.input_shape:
        return
    shape, there = (2, *start.input_shape), next(module.parameters(), torch.zeros(()))
    try:
        found = module(torch.zeros(shape, device=there.device))
    except Exception as error:  # the user's own code
        raise InvalidInputError(
            f"start {start.name!r}: its module fails on inputs {shape}, two of the start's "
            f"input_shape {start.input_shape}: {type(error).__name__}: {str(error)[:200]}; add "
            "the start again with the input_shape that the module takes"
        ) from error
    made = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != 2:
        raise InvalidInputError(
            f"start {start.name!r}: its module makes {made} of inputs {shape}; expected one "
            "tensor (2, d), a row of numbers for each input: end a feature map with "
            "torch.nn.Flatten(), or return the embeddings alone"
        )
