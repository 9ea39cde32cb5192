"""Starts: initializations that fine-tuning begins from, and what is said of them.

What a network is, is said by a description in JSON that `learners` can build: no code is kept and
none is loaded. The weights are a file beside the store (`metastore.weights`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from metastore.errors import InvalidInputError
from metastore.weights import Arrays, array_of, decoded, encoded, fetch

KINDS = ("images", "rows", "tables", "surrogate")

MODULE = "module"
"""The `type` of a description that says only whose module the weights are of."""

_STATE = "state/"
_TASKS = "tasks/embeddings"


@dataclass(frozen=True)
class Accuracy:
    """How a start did on held-out episodes of one shape.

    Args:
        n_way: classes of an episode; 0 for regression.
        k_shot: support examples a class, in regression in all.
        value: mean accuracy as a share; in regression the mean squared error.
        half_width: of the 95% interval.
        n_episodes: how many.
    """

    n_way: int
    k_shot: int
    value: float
    half_width: float
    n_episodes: int


@dataclass(frozen=True)
class StartSpec:
    """What is said of a start, beside its weights.

    Args:
        name: letters, digits, `_`, `.`, `+` and `-`; the newest of a name counts.
        method: a key of the catalogue of learners, or "pretrained" for weights of other origin.
        learner: description of the learner or network, as `learners.description.describe` gives.
        kind: "images"; "rows" of fixed columns; "tables" of any columns; "surrogate".
        input_shape: `(channels, side, side)`, `(d,)`, or `()` for any.
        n_way: the most classes; None for any number, 0 for regression.
        normalisation: how inputs were scaled, as JSON values.
        trained_on: names of what it was trained on.
        accuracies: on held-out episodes.
        seconds: what training it took; None if that is not known.
        licence: of the weights.
        source: a note on where they came from.
    """

    name: str
    method: str = "pretrained"
    learner: Mapping[str, Any] = field(default_factory=dict, hash=False)
    kind: str = "images"
    input_shape: tuple[int, ...] = ()
    n_way: int | None = None
    normalisation: Mapping[str, Any] = field(default_factory=dict, hash=False)
    trained_on: tuple[str, ...] = ()
    accuracies: tuple[Accuracy, ...] = ()
    seconds: float | None = None
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class Start(StartSpec):
    """A start in the store.

    Args:
        start_id: a hash of its content.
        weights_sha256: of its file.
        weights_path: of its file.
        recorded_at: when it was first added, in UTC.
    """

    start_id: UUID = field(kw_only=True)
    weights_sha256: str = field(kw_only=True)
    weights_path: Path = field(kw_only=True)
    recorded_at: datetime = field(kw_only=True)

    def state(self) -> Arrays:
        """Return the weights by name, their hash checked.

        Raises:
            InvalidInputError: if the file is missing or damaged.
        """
        return {
            name.removeprefix(_STATE): value
            for name, value in self._tensors().items()
            if name.startswith(_STATE)
        }

    def tasks(self) -> Any:
        """Return the embeddings `(n_tasks, d)` of tasks it was trained on, or None.

        Raises:
            InvalidInputError: if the file is missing or damaged.
        """
        return self._tensors().get(_TASKS)

    def _tensors(self) -> Arrays:
        data = fetch(self.weights_path, self.weights_sha256, self.name)
        return decoded(data, f"the weights of start {self.name!r}")


def weights_of(weights: Any, tasks: Any = None) -> bytes:
    """Return the file of a start's tensors.

    Args:
        weights: a torch module, its `state_dict()`, a mapping of names to arrays, or the path of
            a safetensors file.
        tasks: embeddings `(n_tasks, d)` of what was trained on; None for none.

    Raises:
        InvalidInputError: if that is no set of finite tensors.
    """
    if isinstance(weights, (str, Path)):
        path = Path(weights)
        try:
            weights = decoded(path.read_bytes(), str(path))
        except OSError as error:
            raise InvalidInputError(f"weights: {path} cannot be read: {error}") from error
    elif hasattr(weights, "state_dict"):
        weights = weights.state_dict()
    if not isinstance(weights, Mapping):
        raise InvalidInputError(
            "weights: expected a torch module, a state_dict, a mapping of arrays or the path of "
            f"a safetensors file, got {type(weights).__name__}"
        )
    if not weights:
        raise InvalidInputError("weights: there is no tensor in them; give a trained network's")
    named = {f"{_STATE}{name}": array_of(str(name), value) for name, value in weights.items()}
    if tasks is not None:
        named[_TASKS] = array_of("tasks", tasks)
    return encoded(named)


def described(weights: Any) -> dict[str, Any]:
    """Return what can be said of a torch module without building it; nothing of other weights."""
    if not hasattr(weights, "state_dict"):
        return {}
    shapes = {str(name): list(value.shape) for name, value in weights.state_dict().items()}
    return {"type": MODULE, "class": type(weights).__qualname__, "parameters": shapes}


def details_of(spec: StartSpec) -> dict[str, Any]:
    """Return what has no column of its own in the store, as JSON values."""
    return {
        "name": spec.name,
        "kind": spec.kind,
        "input_shape": [int(size) for size in spec.input_shape],
        "n_way": spec.n_way,
        "normalisation": dict(spec.normalisation),
        "accuracies": [dict(vars(one)) for one in spec.accuracies],
        "seconds": spec.seconds,
        "licence": spec.licence,
        "source": spec.source,
    }


def json_text(values: Any) -> str:
    """Return JSON with sorted keys.

    Raises:
        InvalidInputError: if a value has no JSON form, or is NaN or infinite.
    """
    try:
        return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"a start is described by JSON values (text, finite numbers, lists, dicts): {error}"
        ) from error
