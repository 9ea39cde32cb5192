"""Weights as safetensors files beside the store, each named by the SHA-256 of its bytes.

A file is written under another name, forced to the disk and renamed, so that a name that is there
holds all of its bytes. Two starts of the same weights share one file. Nothing is unpickled, and
torch is not needed: tensors are NumPy arrays here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metastore.errors import InvalidInputError, MissingDependencyError

Arrays = dict[str, np.ndarray[Any, Any]]

SUFFIX = ".safetensors"

YOUNG_SECONDS = 3600.0
"""A file this young may belong to a start that is just being added: it is not called unused."""

_BFLOAT16 = "BF16"


def array_of(name: str, value: Any) -> np.ndarray[Any, Any]:
    """Return a tensor, or what NumPy takes, as a contiguous array of its own.

    bfloat16 becomes float32, which holds the same numbers; NumPy has no type for it.

    Raises:
        InvalidInputError: if it is no tensor of finite numbers; it names it.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    array = np.array(value, order="C")
    if array.dtype.kind not in "fiub":
        raise InvalidInputError(
            f"weights: {name!r} is {type(value).__name__} of type {array.dtype}; expected a "
            "mapping of names to tensors of numbers, such as module.state_dict()"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidInputError(
            f"weights: {name!r} holds NaN or infinity, so the training that made it diverged; "
            "add an earlier checkpoint"
        )
    return array


def encoded(arrays: Arrays) -> bytes:
    """Return arrays as the bytes of a safetensors file.

    Raises:
        MissingDependencyError: if safetensors is not installed.
    """
    data: bytes = _safetensors("numpy").save(arrays)
    return data


def decoded(data: bytes, what: str) -> Arrays:
    """Return the arrays in the bytes of a safetensors file.

    Args:
        data: the bytes.
        what: how to call them in an error.

    Raises:
        InvalidInputError: if they are no safetensors file.
        MissingDependencyError: if safetensors is not installed.
    """
    library = _safetensors()
    try:
        parts = library.deserialize(data)
    except library.SafetensorError as error:
        raise InvalidInputError(f"{what} is no safetensors file: {error}") from error
    return {name: _from_bytes(name, part, what) for name, part in parts}


def keep(folder: Path, data: bytes) -> str:
    """Write weights into `folder` unless they are there whole, and return their SHA-256.

    Raises:
        OSError: if they cannot be written; nothing is left behind.
    """
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{digest}{SUFFIX}"
    if _holds(path, data):
        os.utime(path)  # young again: it is about to be named
        return digest
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{digest}.{os.getpid()}"
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    return digest


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file is there and holds these bytes: one that was damaged is to be replaced."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def fetch(path: Path, digest: str, name: str) -> bytes:
    """Return the bytes of a weights file after checking their hash.

    Args:
        path: of the file.
        digest: the SHA-256 that the store has for it.
        name: the start's name, for errors.

    Raises:
        InvalidInputError: if the file is missing, or holds other bytes than were stored.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"the weights of start {name!r} cannot be read: {error}. Import the start again, or "
            "add it anew"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise InvalidInputError(
            f"the weights of start {name!r} are damaged: {path.name} hashes to {found[:12]}..., "
            f"the store has {digest[:12]}.... Import the start again, or add it anew"
        )
    return data


def unused(folder: Path, used: Iterable[str]) -> list[Path]:
    """Return the files that no start names, sorted; those written within the hour are left out.

    Args:
        folder: of the weights.
        used: SHA-256 of the weights that starts name.
    """
    known = {f"{digest}{SUFFIX}" for digest in used}
    now = time.time()
    return sorted(
        path
        for path in folder.glob("*")
        if path.name not in known and now - path.stat().st_mtime > YOUNG_SECONDS
    )


def _from_bytes(name: str, part: Mapping[str, Any], what: str) -> np.ndarray[Any, Any]:
    data, shape, kind = part["data"], part["shape"], part["dtype"]
    if kind == _BFLOAT16:
        wide = np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    if kind not in _TYPES:
        raise InvalidInputError(
            f"{what}: tensor {name!r} is of type {kind}; expected one of "
            f"{', '.join([*_TYPES, _BFLOAT16])}"
        )
    return np.frombuffer(data, dtype=_TYPES[kind]).reshape(shape).copy()


_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2"},
    **{"I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"},
}


def _safetensors(part: str = "") -> Any:
    import importlib  # noqa: PLC0415 - a store without starts does without safetensors

    try:
        return importlib.import_module(f"safetensors.{part}" if part else "safetensors")
    except ImportError as error:
        raise MissingDependencyError(
            "weights are kept in safetensors files: pip install 'headstart[learners]'"
        ) from error
