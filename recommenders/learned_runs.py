"""The runs that something was meta-trained on, kept beside it, and how far others differ.

Runs are compared as the network sees them, encoded, and not by hash: the encoding is inferred from
all configs, and a new one that is a little larger than any before moves all points a little.

Notation: n runs of a dataset, d columns of an encoded config.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from learners.errors import CheckpointError
from metastore.view import FloatArray

PastRuns = Sequence[tuple[FloatArray, FloatArray]]
"""Points `(n, d)` and scores `(n,)`, larger-is-better, of each past dataset."""

Rows = Mapping[str, FloatArray]
"""`(n, d + 1)` points and scores of each dataset, by name."""

SAME = 0.02
"""A run is another one if it is as near in every column; a hyperparameter spans 1, as scores do.
One dataset more or less moves the points of openml_pimp's tables by less than 1e-4."""

_PREFIX = "runs/"


def rows_of(past: PastRuns, datasets: Sequence[str]) -> dict[str, FloatArray]:
    """Return points and scores side by side; level and scale of a dataset's scores don't count.

    Args:
        past: points `(n, d)` and scores `(n,)` of each dataset.
        datasets: their names.
    """
    found = {}
    for name, (points, scores) in zip(datasets, past, strict=True):
        spread = float(np.ptp(scores)) or 1.0
        found[name] = np.column_stack([points, (scores - scores.min()) / spread])
    return found


def difference(kept: Rows, now: Rows) -> float:
    """Return the share, 0 to 1, by which runs differ from those that something learned from.

    Of each dataset of today's it is the share of runs that were not there before, or of those
    that are not there any more, whichever is larger; then the mean over datasets, which count the
    same in meta-training. It is 1 if a whole dataset is gone: whoever is asked about a dataset
    leaves it out, and must not get what was learned from it.

    >>> first, other = np.array([[0.1, 1.0], [0.9, 0.0]]), np.array([[0.5, 1.0], [0.9, 0.0]])
    >>> difference({"a": first}, {"a": first + 1e-3, "b": other})
    0.5
    >>> difference({"a": first}, {"a": other}), difference({"a": first}, {"b": first})
    (0.5, 1.0)
    """
    if not set(kept) <= set(now):
        return 1.0
    shares = [_different(kept[name], rows) if name in kept else 1.0 for name, rows in now.items()]
    return float(np.mean(shares))


def _different(one: FloatArray, other: FloatArray) -> float:
    if one.shape[1] != other.shape[1]:
        return 1.0
    return max(_missing(one, other), _missing(other, one))


def _missing(among: FloatArray, rows: FloatArray) -> float:
    """Return the share of rows that are not among others."""
    from scipy.spatial import KDTree  # noqa: PLC0415 - slow, and only a refresh needs it

    far, _ = KDTree(among).query(rows, p=np.inf, distance_upper_bound=SAME)
    return float(np.isinf(far).mean())


def runs_file(path: Path) -> Path:
    """Return the file, beside a checkpoint, of the runs that it learned from."""
    return path.with_name(f"{path.stem}.runs.safetensors")


def keep(path: Path, rows: Rows) -> None:
    """Write the runs that a checkpoint learned from beside it, unless they are there.

    Without them nothing is begun from it, so that a disk that takes none is no error.
    """
    file = runs_file(path)
    if file.exists():
        return
    half = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        half.write_bytes(
            save({_PREFIX + name: row.astype(np.float16) for name, row in rows.items()})
        )
        half.replace(file)


def kept_with(path: Path) -> dict[str, FloatArray]:
    """Return the runs that a checkpoint learned from.

    Raises:
        CheckpointError: if they are not there or damaged.
    """
    file = runs_file(path)
    try:
        found = load(file.read_bytes())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file.name} cannot be read: {error}") from error
    rows = {name.removeprefix(_PREFIX): row.astype(np.float64) for name, row in found.items()}
    if not all(row.ndim == 2 and len(row) and np.isfinite(row).all() for row in rows.values()):
        raise CheckpointError(f"{file.name} is damaged: expected tables of finite numbers")
    return rows
