"""The folder that a kept model is: its files, what may be overwritten, and what is damaged."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from string import digits
from typing import Any

from metastore.errors import InvalidInputError

SCHEMA = 1
MODEL, TENSORS, CLASSIFIER = "model.json", "tensors.safetensors", "classifier.skops"
_ENTRIES = {"schema", "name", "model", "preparation", "files", "like", "about"}


def check_free(folder: str | Path) -> Path:
    """Return a folder that a model can be written into.

    Raises:
        InvalidInputError: if it holds something else than a model.
    """
    place = Path(folder)
    if place.is_file() or (place.is_dir() and any(place.iterdir()) and not _is_model(place)):
        raise InvalidInputError(f"{place} holds something else: choose another folder")
    return place


def description(place: Path) -> dict[str, Any]:
    """Return what `model.json` says.

    Raises:
        InvalidInputError: if it is missing, damaged, or of a later version.
    """
    try:
        kept = json.loads((place / MODEL).read_bytes())
    except FileNotFoundError as error:
        raise InvalidInputError(
            f"no model in {place}: expected the folder that `headstart finetune --out` wrote"
        ) from error
    except (ValueError, OSError) as error:
        raise InvalidInputError(f"{place / MODEL} is damaged: {error}") from error
    if isinstance(kept, dict) and isinstance(kept.get("schema"), int) and kept["schema"] > SCHEMA:
        raise InvalidInputError(
            f"{place} was written by a later version (schema {kept['schema']}, this reads "
            f"{SCHEMA}); upgrade headstart"
        )
    if not _describes(kept):
        raise InvalidInputError(f"{place / MODEL} is damaged: it is no description of a model")
    found: dict[str, Any] = kept
    return found


def content(place: Path, name: str, digest: str) -> bytes:
    """Return the bytes of one of a model's files; a name leads nowhere but into its folder.

    Raises:
        InvalidInputError: if it is missing or damaged, or no file that a model has.
    """
    if not _ours(name):
        raise InvalidInputError(f"a model has no file {name!r}; it is damaged")
    path = place / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"the model lacks {path}: {error}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise InvalidInputError(
            f"{path} is damaged: its hash is not the one that the model was saved with"
        )
    return data


def write(path: Path, data: bytes) -> None:
    """Write a file and then rename it into place, so that a crash leaves the old one."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def drop_others(place: Path, kept: Collection[str]) -> None:
    """Delete the files of a model that was here before."""
    for path in place.iterdir():
        if _ours(path.name) and path.name not in kept:
            path.unlink()


def _ours(name: str) -> bool:
    return name.lstrip(digits).removeprefix("-") in (TENSORS, CLASSIFIER)


def _is_model(place: Path) -> bool:
    try:
        return _describes(json.loads((place / MODEL).read_bytes()))
    except (ValueError, OSError):
        return False


def _describes(kept: Any) -> bool:
    """Whether JSON values are the description of a model: other programs write model.json, too."""
    return isinstance(kept, dict) and isinstance(kept.get("schema"), int) and set(kept) >= _ENTRIES
