"""What the zoo is trained on: data bundled with scikit-learn, and a user's folders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.samplers import quarter_turns
from learners.wide_tables import Table
from metastore.errors import InvalidInputError
from recommenders.image_folders import image_folder, npz_classes
from recommenders.starts.names import slug

SIDE = 28
HELD_OUT_DIGITS = (3, 6, 9)
"""Digits that bundled starts are measured on and not trained on."""

HELD_OUT = 5
"""One class, or one table, in so many is held out to measure by, where there are enough."""

_MOST_CLASSES = 30
_BUNDLED = ("iris", "wine", "breast_cancer", "digits", "diabetes")
BUNDLED_IMAGES, BUNDLED_TABLES = BUNDLED_NAMES = ("digits", "bundled")
"""What starts on bundled data are named after; a user's folder of that name gets another."""
_TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".arff")


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images by class, bytes `(n, channels, side, side)`, to train on and to measure by.

    Args:
        name: of the data.
        train: by class name.
        held_out: of other classes.
    """

    name: str
    train: Mapping[str, Tensor] = field(repr=False)
    held_out: Mapping[str, Tensor] = field(repr=False)

    @property
    def digest(self) -> str:
        """Hash of names, shapes and pixels: another one means another training."""
        parts = [*self.train.items(), *self.held_out.items()]
        return _digest((name, one.numpy()) for name, one in parts)


@dataclass(frozen=True, eq=False)
class TableData:
    """Tables with class numbers, to train on and to measure by.

    Args:
        train: inputs and class numbers by table name.
        held_out: of other tables.
    """

    train: Mapping[str, Table] = field(repr=False)
    held_out: Mapping[str, Table] = field(repr=False)

    @property
    def digest(self) -> str:
        """Hash of names and cells."""
        parts = [*self.train.items(), *self.held_out.items()]
        return _digest((name, one.numpy()) for name, table in parts for one in table)


def bundled_digits() -> ImageData:
    """Return scikit-learn's handwritten digits at 28 x 28, turned by quarters into more classes."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - slow to import

    found = load_digits()
    pixels = torch.from_numpy(found.images.astype(np.float32))[:, None] * (255 / 16)
    large = nnf.interpolate(pixels, (SIDE, SIDE), mode="bilinear").round().clamp(0, 255)
    images, labels = large.to(torch.uint8), torch.from_numpy(found.target)

    def turned(digits: list[int]) -> dict[str, Tensor]:
        return {
            f"{digit} turned {90 * turns}": quarter_turns(images[labels == digit][None])[turns]
            for digit in digits
            for turns in range(4)
        }

    train = [digit for digit in range(10) if digit not in HELD_OUT_DIGITS]
    return ImageData(BUNDLED_IMAGES, turned(train), turned(list(HELD_OUT_DIGITS)))


def user_images(path: Path) -> ImageData:
    """Return the images of a folder by class, or of an npz file, some classes held out.

    Raises:
        InvalidInputError: if they cannot be read, or there are fewer than ten classes of seven.
    """
    classes = npz_classes(path) if path.suffix == ".npz" else image_folder(path, SIDE)
    classes = {name: one for name, one in sorted(classes.items()) if len(one) >= 7}
    if len(classes) < 10:
        raise InvalidInputError(
            f"{path} has {len(classes)} classes with seven images or more; a start needs ten: "
            "five to train on and five to be measured on"
        )
    order = sorted(classes, key=_mark)
    kept = max(5, len(order) // HELD_OUT)
    whole = path.resolve()
    return ImageData(
        slug(whole.stem if path.suffix == ".npz" else whole.name, BUNDLED_NAMES),
        {name: classes[name] for name in order[kept:]},
        {name: classes[name] for name in order[:kept]},
    )


def bundled_tables() -> dict[str, Table]:
    """Return the tables that come with scikit-learn; a target of numbers is cut into thirds."""
    from sklearn import datasets  # noqa: PLC0415 - slow to import

    found = {}
    for name in _BUNDLED:
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        found[name] = _table(np.asarray(x, dtype=np.float64), np.asarray(y))
    return {name: table for name, table in found.items() if table is not None}


def user_tables(folder: Path) -> dict[str, Table]:
    """Return the tables of a folder that have classes to predict.

    The target is the column named "target", or else the last one. Text becomes numbers in
    alphabetical order, a gap the column's median.

    Raises:
        InvalidInputError: if there is no such table, or a file cannot be read.
    """
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in _TABLE_SUFFIXES)
    found = {path.stem: _read(path) for path in files}
    kept = {name: table for name, table in found.items() if table is not None}
    if not kept:
        raise InvalidInputError(
            f"no table to learn from in {folder}: expected files such as {_TABLE_SUFFIXES[0]} or "
            ".parquet whose target (a column named target, or the last one) has two classes of "
            "ten rows or more"
        )
    return kept


def split_tables(tables: Mapping[str, Table]) -> TableData:
    """Return tables to train on and, where there are ten or more, some to measure by."""
    order = sorted(tables, key=_mark)
    kept = len(order) // HELD_OUT if len(order) >= 2 * HELD_OUT else 0
    return TableData(
        {name: tables[name] for name in order[kept:]}, {name: tables[name] for name in order[:kept]}
    )


def _read(path: Path) -> Table | None:
    from metastore.table_files import read_frame  # noqa: PLC0415 - pandas, for tables alone

    frame = read_frame(path)
    target = "target" if "target" in frame.columns else frame.columns[-1]
    frame = frame[frame[target].notna()]
    columns = [_numbers(frame[name]) for name in frame.columns if name != target]
    if not columns:
        return None
    return _table(np.stack(columns, axis=1), frame[target].to_numpy())


def _numbers(column: Any) -> np.ndarray:
    if column.dtype.kind in "biuf":
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        codes = column.astype("category").cat.codes.to_numpy().astype(np.float64)
        values = np.where(codes < 0, np.nan, codes)
    known = values[np.isfinite(values)]
    return np.where(np.isfinite(values), values, np.median(known) if len(known) else 0.0)


def _table(x: np.ndarray, target: np.ndarray) -> Table | None:
    """Return inputs on one footing and the classes of ten rows or more; None where there are few.

    A learner standardises by the support set itself, so the footing changes nothing for it but
    that single precision holds the numbers.
    """
    distinct, labels = np.unique(target.astype(str), return_inverse=True)
    if len(distinct) > _MOST_CLASSES:
        if target.dtype.kind not in "iuf":
            return None
        cuts = np.quantile(target.astype(np.float64), [1 / 3, 2 / 3])
        labels = np.searchsorted(cuts, target.astype(np.float64))
    return drawable(x, labels, 10)


def drawable(x: np.ndarray, labels: np.ndarray, least: int) -> Table | None:
    """Return the rows of classes that can be drawn from, on a footing of mean 0 and deviation 1.

    Args:
        x: inputs `(n, d)`, finite.
        labels: class numbers `(n,)`.
        least: rows that a class needs.

    Returns:
        Inputs and class numbers counted from 0; None with fewer than two such classes.
    """
    usable = np.flatnonzero(np.bincount(labels) >= least)
    if len(usable) < 2:
        return None
    rows = np.isin(labels, usable)
    x, labels = x[rows], np.searchsorted(usable, labels[rows])
    deviation = x.std(0)
    x = (x - x.mean(0)) / np.where(deviation > 0, deviation, 1.0)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels)


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _digest(parts: Any) -> str:
    digest = hashlib.sha256()
    for name, values in parts:
        digest.update(f"{name}|{values.shape}|{values.dtype}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]
