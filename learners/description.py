"""A learner written as JSON and read back, so that a checkpoint says what it is of.

Only the classes of this package listed in `_CLASSES` are ever built; nothing is unpickled and
no name from a file is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from learners.cnp import ConditionalNeuralProcess
from learners.deep_kernel import DeepKernel, ScaleFreeDeepKernel
from learners.errors import CheckpointError, LearnerError
from learners.hypernetwork import Hypernetwork
from learners.inner_loop import GradientLearner, InnerLoop
from learners.learned_optimizer import LearnedOptimizer
from learners.learner import Learner
from learners.list_ranking import ListNet
from learners.mann import LRUACell, Mann
from learners.matching import Matching
from learners.meta_lstm import MetaLSTM
from learners.networks import MLP, Conv4, Flatten, Network
from learners.ntm import NTMCell
from learners.protonet import ProtoNet
from learners.relation import Relation
from learners.reptile import Reptile
from learners.set_encoder import SetEncoder
from learners.settled import Settled
from learners.shifted import Shifted
from learners.siamese import Siamese
from learners.snail import Snail

_CLASSES: dict[str, type] = {
    one.__name__: one
    for one in (
        *(Conv4, Flatten, InnerLoop, LRUACell, MLP, NTMCell, Settled, Shifted),
        *(DeepKernel, GradientLearner, Matching, ProtoNet, Relation, Reptile, Siamese),
        *(ConditionalNeuralProcess, Hypernetwork, LearnedOptimizer, Mann, MetaLSTM, Snail),
        *(ScaleFreeDeepKernel, ListNet, SetEncoder),
    )
}

_NETWORKS = (Conv4, MLP)

Description = dict[str, Any]


def describe(learner: Learner) -> Description:
    """Return a learner as nested dicts of JSON values, each with its class under `type`.

    A user's own module is described by its class name and the shapes of its parameters: enough
    to check that a checkpoint belongs to it, not to build it.
    """
    described: Description = _to_json(learner)
    return described


def buildable() -> set[str]:
    """Return the names of the learner classes that a description can name."""
    return {name for name, one in _CLASSES.items() if issubclass(one, Learner)}


def build(description: Description) -> Learner:
    """Return the learner of a description.

    Raises:
        CheckpointError: if it names a class or an argument that this version does not have.
    """
    built: Learner = _built(description, Learner, "a learner")
    return built


def names_network(description: Mapping[str, Any]) -> bool:
    """Whether a description is of a bare network rather than of a learner."""
    return description.get("type") in {one.__name__ for one in _NETWORKS}


def build_network(description: Description) -> Network:
    """Return the network of a description, such as `{"type": "Conv4", "n_out": 0}`.

    Raises:
        CheckpointError: if it names a class or an argument that this version does not have.
    """
    built: Network = _built(description, _NETWORKS, "a network")
    return built


def _built(description: Description, kind: type | tuple[type, ...], what: str) -> Any:
    built = _from_json(description)
    if not isinstance(built, kind):
        raise CheckpointError(f"expected the description of {what}, got {description!r:.80}")
    return built


def _to_json(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_to_json(entry) for entry in value]
    if type(value) in _CLASSES.values() and is_dataclass(value):
        entries = {one.name: _to_json(getattr(value, one.name)) for one in fields(value)}
        return {"type": type(value).__name__, **entries}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    module = getattr(value, "module", None)
    if module is not None:
        shapes = {name: list(part.shape) for name, part in module.named_parameters()}
        return {"type": "module", "class": type(module).__qualname__, "parameters": shapes}
    raise LearnerError(f"{type(value).__name__} cannot be described in a checkpoint")


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_from_json(entry) for entry in value)
    if not isinstance(value, dict):
        return value
    if value.get("type") == "module":
        raise CheckpointError(
            f"it is of a user's own module, {value.get('class')!r}, and a description does not "
            "keep its code. Pass the learner itself to `load`"
        )
    if value.get("type") not in _CLASSES:
        raise CheckpointError(
            f"cannot build a {value.get('type')!r} from its description: this version builds "
            f"{sorted(_CLASSES)}. Pass the learner itself to `load`"
        )
    arguments = {name: _from_json(entry) for name, entry in value.items() if name != "type"}
    try:
        return _CLASSES[value["type"]](**arguments)
    except (TypeError, LearnerError) as error:
        raise CheckpointError(
            f"the description of {value['type']} does not fit this version: {error}"
        ) from error
