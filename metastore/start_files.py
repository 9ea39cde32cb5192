"""A start as one file, to send to somebody else's store."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from metastore.errors import InvalidInputError
from metastore.start_checks import accuracies_of, spec_of
from metastore.starts import Start, StartSpec, details_of
from metastore.weights import decoded, fetch

FORMAT = "headstart-start-1"

_SPEC, _WEIGHTS = "start.json", "weights.safetensors"
_MOST_SPEC_BYTES = 16 * 1024 * 1024


def write_file(start: Start, file: Path) -> None:
    """Write a start as one file: a zip, not compressed, of what it says and its weights.

    Raises:
        InvalidInputError: if the weights are missing or damaged, or the file is there already.
    """
    data = fetch(start.weights_path, start.weights_sha256, start.name)
    said = {
        "format": FORMAT,
        "method": start.method,
        "learner": dict(start.learner),
        "trained_on": start.trained_on,
        "weights_sha256": start.weights_sha256,
        "details": details_of(start),
    }
    try:
        with zipfile.ZipFile(file, "x", zipfile.ZIP_STORED) as archive:
            archive.writestr(_SPEC, json.dumps(said, ensure_ascii=False, indent=1))
            archive.writestr(_WEIGHTS, data)
    except FileExistsError as error:
        raise InvalidInputError(f"{file} is there already; name another file") from error
    except OSError as error:
        raise InvalidInputError(f"cannot write {file}: {error}") from error


def read_file(file: Path) -> tuple[StartSpec, bytes]:
    """Return what an exported start says, and its weights, checked.

    Raises:
        InvalidInputError: if the file is no exported start, or is damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for one in archive.infolist():
                if one.compress_type != zipfile.ZIP_STORED:
                    raise InvalidInputError(f"{file} is compressed; an exported start is not")
            if archive.getinfo(_SPEC).file_size > _MOST_SPEC_BYTES:
                raise InvalidInputError(f"{file} is no exported start: {_SPEC} is too large")
            said = json.loads(archive.read(_SPEC))
            data = archive.read(_WEIGHTS)
        if said["format"] != FORMAT:
            raise InvalidInputError(
                f"{file} is of format {said['format']!r}, this Headstart reads {FORMAT!r}; "
                "upgrade it: pip install --upgrade headstart"
            )
        fields = dict(said["details"])
        fields |= {name: said[name] for name in ("method", "learner", "trained_on")}
        name, digest = fields.pop("name"), said["weights_sha256"]
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            f"{file} is no exported start ({error}); make one with: headstart start export NAME "
            "FILE"
        ) from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise InvalidInputError(f"{file} is damaged: its weights do not hash to what it says")
    decoded(data, str(file))
    return _spec(file, name, fields), data


def _spec(file: Path, name: Any, fields: dict[str, Any]) -> StartSpec:
    """Return what a file says of its start, checked."""
    try:
        return spec_of(name, fields | {"accuracies": accuracies_of(fields.get("accuracies", ()))})
    except InvalidInputError as error:
        raise InvalidInputError(f"{file}: {error}") from error
