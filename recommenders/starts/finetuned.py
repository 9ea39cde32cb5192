"""A fine-tuned model that is kept: `predict`, `predict_proba`, `save` and `load`.

A model is a folder. `model.json` says what it is and names the others by their hashes:
`tensors.safetensors` for what torch needs and `classifier.skops` for what scikit-learn needs;
those of a vote have the number of their part before their names.
Everything is read strictly, only classes of this package and types that `kept_estimators`
lists are built, and nothing is unpickled. No row of the support set is kept, but for what a
learner that compares has to compare with: embeddings, or inputs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError, MissingDependencyError
from recommenders.image_files import Whites
from recommenders.starts.fitted import Fitted, Probabilities, Vote
from recommenders.starts.inputs import Preparation
from recommenders.starts.kept_estimators import read, written
from recommenders.starts.model_folder import (
    CLASSIFIER,
    MODEL,
    SCHEMA,
    TENSORS,
    check_free,
    content,
    description,
    drop_others,
    write,
)
from recommenders.starts.plain_classifiers import PlainModel
from recommenders.starts.support_set import SupportSet
from recommenders.starts.support_sets import read_query
from recommenders.starts.tuning import Tuning

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A model of one task, ready to predict.

    Args:
        fitted: the model, and how rows become its inputs.
        like: the support set without its rows: kind, classes, columns.
        about: JSON values on where it came from and how good it is.
    """

    fitted: Fitted
    like: SupportSet
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns of `predict_proba`."""
        return self.fitted.classes

    def predict_proba(self, query: Any) -> Probabilities:
        """Return the probability of each class `(n, n_classes)`.

        Args:
            query: what `recommenders.starts.support_sets.read_query` takes.

        Raises:
            InvalidInputError: if the query is of another kind, or lacks columns.
        """
        return self.fitted.probabilities(self.read(query))

    def predict(self, query: Any) -> NDArray[Any]:
        """Return the most probable class of each row `(n,)`, as it stood among the labels."""
        values: NDArray[Any] = _array(self.like.values or self.classes)
        found: NDArray[Any] = values[self.predict_proba(query).argmax(1)]
        return found

    def read(self, query: Any) -> SupportSet:
        """Return a query as a set of this model's kind, columns and classes."""
        return read_query(query, self.like)

    def save(self, folder: str | Path) -> Path:
        """Write the model into a folder, which is made; one that was there is replaced.

        Raises:
            InvalidInputError: if the folder holds something else.
        """
        place = check_free(folder)
        place.mkdir(parents=True, exist_ok=True)
        said, files = _parts(self.fitted)
        for name, data in files.items():
            write(place / name, data)
        whole = {
            "schema": SCHEMA,
            **said,
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
            "like": _described(self.like),
            "about": dict(self.about),
        }
        write(place / MODEL, json.dumps(whole, indent=1).encode())
        drop_others(place, files)
        return place


def load(folder: str | Path, *, module: nn.Module | None = None) -> FineTuned:
    """Return the model that `FineTuned.save` wrote into a folder.

    Args:
        folder: where it is.
        module: the user's own torch module, where the model is one.

    Raises:
        InvalidInputError: if it is missing, damaged, or of a later version.
        MissingDependencyError: if torch or skops is needed and not installed.
    """
    place = Path(folder)
    kept = description(place)
    try:
        files = {name: content(place, name, digest) for name, digest in kept["files"].items()}
        like = _like(kept["like"])
        return FineTuned(_fitted(kept, like.classes, files, module), like, kept["about"])
    except InvalidInputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidInputError(
            f"{place / MODEL} is damaged: {error!r}; fine-tune and save again"
        ) from error


def skeleton(support: SupportSet) -> SupportSet:
    """Return a support set without its rows."""
    return replace(support.take([]), rows=())


def _array(values: Sequence[Any]) -> NDArray[Any]:
    """Return values as an array `(n,)` in which each keeps its type."""
    if len({type(value) for value in values}) == 1 and np.ndim(values[0]) == 0:
        return np.array(values)
    found = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        found[i] = value
    return found


def _parts(fitted: Fitted) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what JSON says of a fitted model, and the files beside it."""
    said: dict[str, Any] = {
        "name": fitted.name,
        "tuning": None if fitted.tuning is None else fitted.tuning.config(),
        "rule": fitted.rule,
        "notes": list(fitted.notes),
        "preparation": fitted.preparation.to_json(),
        "temperature": fitted.temperature,
    }
    if isinstance(fitted.model, Vote):
        return _parts_of_vote(said, fitted.model)
    if isinstance(fitted.model, PlainModel):
        return said | {"model": {"type": "classifier"}}, {
            CLASSIFIER: written(fitted.model.estimator)
        }
    from recommenders.starts.neural_files import tensors_of  # noqa: PLC0415 - torch

    model, data = tensors_of(fitted.model)
    return said | {"model": model}, {TENSORS: data}


def _parts_of_vote(said: dict[str, Any], voting: Vote) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the same of a vote: the files of each part have its number before their names."""
    parts: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for number, part in enumerate(voting.parts):
        about, its_own = _parts(part)
        parts.append(about)
        files |= {f"{number}-{name}": data for name, data in its_own.items()}
    return said | {"model": {"type": "vote", "parts": parts}}, files


def _fitted(
    kept: Mapping[str, Any],
    classes: tuple[str, ...],
    files: Mapping[str, bytes],
    module: nn.Module | None,
) -> Fitted:
    tuning, temperature = kept["tuning"], float(kept["temperature"])
    if not 0 < temperature < math.inf:
        raise ValueError(f"a temperature is above 0, got {temperature}")
    fitted = Fitted(
        str(kept["name"]),
        _model(kept, classes, files, module),
        Preparation.from_json(kept["preparation"]),
        classes,
        None if tuning is None else Tuning.of(tuning),
        rule=str(kept["rule"]),
        notes=tuple(map(str, kept["notes"])),
        temperature=temperature,
    )
    _check_answer(fitted)
    return fitted


def _check_answer(fitted: Fitted) -> None:
    """Ask a model about one input of zeros: its parts fit each other, or they are damaged.

    Raises:
        ValueError: if it has no answer, or not one of so many classes.
    """
    model, n_classes = fitted.model, len(fitted.classes)
    if isinstance(model, Vote):  # each of its parts was asked
        return
    try:
        found = model.log_odds(np.zeros((1, *fitted.preparation.shape), dtype=np.float32))
    except Exception as error:  # what does not fit raises errors of many libraries
        raise ValueError(f"{fitted.name!r} cannot answer: {str(error)[:200]}") from error
    known = getattr(getattr(model, "estimator", None), "classes_", range(n_classes))
    if found.shape != (1, n_classes) or list(known) != list(range(n_classes)):
        raise ValueError(f"{fitted.name!r} answers for other classes than {fitted.classes}")


def _model(
    kept: Mapping[str, Any],
    classes: tuple[str, ...],
    files: Mapping[str, bytes],
    module: nn.Module | None,
) -> Any:
    n_classes = len(classes)
    if kept["model"]["type"] == "vote":
        parts = []
        for number, part in enumerate(kept["model"]["parts"]):
            first = f"{number}-"
            its_own = {n.removeprefix(first): d for n, d in files.items() if n.startswith(first)}
            parts.append(_fitted(part, classes, its_own, module))
        return Vote(tuple(parts))
    if kept["model"]["type"] == "classifier":
        return PlainModel(read(files[CLASSIFIER], f"the classifier {kept['name']!r}"), n_classes)
    try:
        from recommenders.starts.neural_files import model_of  # noqa: PLC0415 - torch
    except ImportError as error:
        raise MissingDependencyError(
            f"this model needs torch, and {error.name} is not there: pip install "
            "'headstart[learners]'"
        ) from error
    return model_of(kept["model"], files[TENSORS], n_classes, module)


def _described(like: SupportSet) -> dict[str, Any]:
    values = [value.item() if hasattr(value, "item") else value for value in like.values]
    plain = all(isinstance(value, bool | int | float | str) for value in values)
    return {
        "name": like.name,
        "kind": like.kind,
        "classes": list(like.classes),
        "target": like.target,
        "values": values if plain else [],
        "whites": list(like.whites),
        "columns": None if like.frame is None else [str(name) for name in like.frame.columns],
    }


def _like(kept: Mapping[str, Any]) -> SupportSet:
    frame = None
    if kept["columns"] is not None:
        import pandas as pd  # noqa: PLC0415 - for tables alone

        frame = pd.DataFrame(columns=kept["columns"])
    classes, values = tuple(map(str, kept["classes"])), tuple(kept["values"])
    if len(set(classes)) != len(classes) or len(values) not in (0, len(classes)):
        raise ValueError(f"the classes {classes} do not fit the values {values}")
    return SupportSet(
        str(kept["name"]),
        kept["kind"],
        classes,
        np.empty(0, dtype=np.int64),
        frame=frame,
        target=str(kept["target"]),
        values=values,
        whites=Whites(*map(float, kept.get("whites", ()))),
    )
