"""Checkpoints: tensors in safetensors, everything else in a JSON file beside them.

The JSON file is the checkpoint; it names its tensor file by content hash. Tensors are written
first and the JSON file is renamed into place last, so that a crash leaves the old checkpoint
or the new one, never a mixture. Files are read strictly and nothing is unpickled.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of

from learners.description import build, describe
from learners.episode import Episodes, Examples
from learners.errors import CheckpointError, LearnerError
from learners.evaluation import Score
from learners.learner import Learner, State

SCHEMA = 1
_ABANDONED = 600.0
"""Seconds after which nobody is still writing a file."""


@dataclass(frozen=True)
class Report:
    """One line of a learning curve.

    Args:
        iteration: meta-iterations done.
        seconds: wall-clock seconds of training, over all calls of a resumed run.
        loss: mean meta-training loss since the last report.
        validation: accuracy or mean squared error on the validation sampler; None without one.
        cpu_seconds: processor seconds of this process likewise, all its threads together; where
            other work shares the machine they tell what training cost. None in a curve that was
            written before they were measured.
    """

    iteration: int
    seconds: float
    loss: float
    validation: Score | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """All that a run needs to go on.

    Args:
        state: the state in training.
        moments: the outer optimizer's tensors.
        best: the best validated state, finished; empty before a validation.
        best_score: its score.
        iteration: meta-iterations done; with the seeds it fixes every later draw.
        stale: validations since the best one.
        seconds: wall-clock seconds of training.
        history: the learning curve.
        cpu_seconds: processor seconds of training.
        finished: when training ended without a validation: what finishing added to the state, or
            changed in it.
    """

    state: State = field(repr=False)
    moments: State = field(default_factory=dict, repr=False)
    best: State = field(default_factory=dict, repr=False)
    best_score: Score | None = None
    iteration: int = 0
    stale: int = 0
    seconds: float = 0.0
    history: tuple[Report, ...] = ()
    cpu_seconds: float = 0.0
    finished: State = field(default_factory=dict, repr=False)


_PARTS = ("state", "moments", "best", "finished")


def save(
    path: Path, learner: Learner, snapshot: Snapshot, about: Mapping[str, Any] | None = None
) -> None:
    """Write a checkpoint, replacing the one that was there at once.

    Args:
        path: of the JSON file; the tensors go beside it.
        learner: whose state it is.
        snapshot: what to keep.
        about: JSON values to keep beside it.
    """
    tensors = {
        f"{part}/{name}": value.detach().cpu().contiguous()
        for part in _PARTS
        for name, value in getattr(snapshot, part).items()
    }
    data = bytes_of(tensors)
    digest = hashlib.sha256(data).hexdigest()
    # Of run.json and run.old each has tensors of its own.
    stem = path.stem if path.suffix == ".json" else path.name
    file = path.with_name(f"{stem}.{digest[:16]}.safetensors")
    _write(file, data)
    replaced = _tensors_named(path)
    sidecar = {
        "schema": SCHEMA,
        "learner": describe(learner),
        "tensors": file.name,
        "sha256": digest,
        "torch": torch.__version__,
        "iteration": snapshot.iteration,
        "stale": snapshot.stale,
        "seconds": snapshot.seconds,
        "cpu_seconds": snapshot.cpu_seconds,
        "best_score": snapshot.best_score and asdict(snapshot.best_score),
        "history": [asdict(report) for report in snapshot.history],
        "about": dict(about or {}),
    }
    _write(path, json.dumps(sidecar, indent=1).encode())
    stem = glob.escape(stem)
    for old in path.parent.glob(f"{stem}.*.safetensors"):
        is_ours = len(old.name) == len(file.name) and old.name != file.name
        # What nothing names yet may be about to be named by another process that trains the same.
        if is_ours and ".nonfinite-" not in old.name and (old.name == replaced or _left(old)):
            old.unlink(missing_ok=True)
    # A process that was killed while it wrote left its half of a file; a living one is quicker.
    for half in path.parent.glob(f".{stem}.*.tmp"):
        if _left(half):
            half.unlink(missing_ok=True)


def _tensors_named(path: Path) -> str:
    """Return the file of tensors that a checkpoint names, empty if there is none to be read."""
    try:
        return Path(str(_sidecar(path)["tensors"])).name
    except CheckpointError:
        return ""


def _left(file: Path) -> bool:
    """Whether nobody is still at work on a file."""
    try:
        return time.time() - file.stat().st_mtime > _ABANDONED
    except FileNotFoundError:
        return False


def check_writable(path: Path, learner: Learner) -> None:
    """Check before hours of training that a learner can be kept at a path.

    Raises:
        LearnerError: if the folder cannot be written to, or the learner holds what no description
            has.
    """
    describe(learner)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise LearnerError(
            f"no checkpoint can be written to {path.parent}: {error}; give another path"
        ) from error


def load(path: Path, learner: Learner) -> Snapshot:
    """Return the snapshot in a checkpoint of this very learner.

    Raises:
        CheckpointError: if a file is missing, damaged or of another version, or the
            checkpoint is of another learner.
    """
    sidecar = _sidecar(path)
    if sidecar["learner"] != json.loads(json.dumps(describe(learner))):
        raise CheckpointError(
            f"{path.name} holds another learner: expected {describe(learner)}, found "
            f"{sidecar['learner']}. Train under another path, or pass that learner"
        )
    snapshot = _whole(path, sidecar)
    expected = {name: value.shape for name, value in learner.init(0).items()}
    found = {name: value.shape for name, value in snapshot.state.items()}
    if expected != found:
        wrong = sorted(set(expected.items()) ^ set(found.items()))
        raise CheckpointError(f"{path.name}: names or shapes of the state differ: {wrong[:4]}")
    # Files sort names; sums over a state in another order would end in other bits.
    state = {name: snapshot.state[name] for name in expected}
    best = {name: snapshot.best[name] for name in expected if name in snapshot.best}
    return replace(snapshot, state=state, best=best | snapshot.best)


def restore(path: Path) -> tuple[Learner, State]:
    """Return a checkpoint's learner and the state to predict with.

    That is the best validated one, else the last one: finished, unless training was killed.

    Raises:
        CheckpointError: as `load`, or if the learner holds a user's own module.
    """
    learner = build(_sidecar(path)["learner"])
    snapshot = load(path, learner)
    return learner, snapshot.best or {**snapshot.state, **snapshot.finished}


def about(path: Path) -> dict[str, Any]:
    """Return the JSON values that were kept beside a checkpoint.

    Raises:
        CheckpointError: as `load`.
    """
    kept: dict[str, Any] = _sidecar(path).get("about", {})
    return kept


def save_episode(path: Path, state: State, episodes: Episodes) -> None:
    """Write a state and the episodes that made its loss non-finite, for replay."""
    sets = {"support": episodes.support, "query": episodes.query}
    parts = {
        f"{name}/{key}": value.cpu().contiguous()
        for name, examples in sets.items()
        for key, value in examples._asdict().items()
    }
    parts |= {f"state/{name}": value.detach().cpu() for name, value in state.items()}
    _write(path, bytes_of(parts, metadata={"n_way": str(episodes.n_way)}))


def load_episode(path: Path) -> tuple[State, Episodes]:
    """Return the state and the episodes of a file that a non-finite loss left.

    Whoever trained replays them by
    `learner.meta_gradient(state, episodes, learner.phase(iteration), Execution())`.

    Raises:
        CheckpointError: if it is no such file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            n_way = int((file.metadata() or {})["n_way"])
            parts = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        support, query = (
            Examples(*(parts.pop(f"{name}/{key}") for key in Examples._fields))
            for name in ("support", "query")
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} holds no episodes that a non-finite loss left: {error!r}"
        ) from error
    state = {name.removeprefix("state/"): value for name, value in parts.items()}
    return state, Episodes(support, query, n_way)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


_KEYS = {"schema", "learner", "tensors", "sha256", "iteration", "stale", "seconds"}


def _sidecar(path: Path) -> dict[str, Any]:
    try:
        sidecar = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path.name} is not a readable checkpoint: {error}") from error
    if not isinstance(sidecar, dict) or sidecar.get("schema") != SCHEMA:
        found = sidecar.get("schema") if isinstance(sidecar, dict) else None
        raise CheckpointError(
            f"{path.name}: this version reads checkpoints of schema {SCHEMA}, found {found!r}"
        )
    missing = (_KEYS | {"best_score", "history"}) - set(sidecar)
    if missing:
        raise CheckpointError(f"{path.name} is damaged: it lacks {sorted(missing)}")
    return sidecar


def _whole(path: Path, sidecar: dict[str, Any]) -> Snapshot:
    """Return the snapshot, a newer one where another process writes the checkpoint meanwhile."""
    while True:
        try:
            return _snapshot(path, sidecar)
        except CheckpointError:
            newer = _sidecar(path)
            if newer["tensors"] == sidecar["tensors"]:
                raise
            sidecar = newer


def _snapshot(path: Path, sidecar: dict[str, Any]) -> Snapshot:
    file = path.with_name(Path(str(sidecar["tensors"])).name)
    try:
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != sidecar["sha256"]:
            raise CheckpointError(
                f"{file.name} is damaged: its SHA-256 is not the one that {path.name} records"
            )
        tensors = tensors_of(data)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file.name} cannot be read: {error}") from error
    parts: dict[str, State] = {part: {} for part in _PARTS}
    for name, value in tensors.items():
        part, _, key = name.partition("/")
        parts[part][key] = value
    best = sidecar["best_score"]
    try:
        return Snapshot(
            **parts,
            best_score=None if best is None else Score(**best),
            iteration=_count(sidecar["iteration"]),
            stale=_count(sidecar["stale"]),
            seconds=0.0 + sidecar["seconds"],
            history=tuple(_report(row) for row in sidecar["history"]),
            cpu_seconds=0.0 + sidecar.get("cpu_seconds", 0.0),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path.name} is damaged: {error!r} in what it records") from error


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"expected a count, got {value!r}")
    return value


def _report(row: dict[str, Any]) -> Report:
    score = row["validation"]
    measured = row["iteration"], row["seconds"], row["loss"]
    return Report(*measured, score and Score(**score), row.get("cpu_seconds"))
