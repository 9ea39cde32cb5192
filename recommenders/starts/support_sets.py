"""Reads support sets and queries of the same classes, from whatever a user has them in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from metastore.errors import InvalidInputError
from recommenders.starts.number_targets import refuse_numbers
from recommenders.starts.support_images import (
    folder_support,
    holds_images,
    images_query,
    npz_support,
    pair_support,
)
from recommenders.starts.support_set import UNKNOWN, SupportSet, other_kind, without_tensors
from recommenders.starts.support_tables import is_openml, table_query, table_support

__all__ = ["UNKNOWN", "SupportSet", "read_query", "read_support"]


def read_support(source: Any, target: Any = None, *, name: str = "") -> SupportSet:
    """Return the labelled examples of a source.

    Args:
        source: a folder with one folder of images a class; an npz file with bytes `images` and
            `labels`, or with `images` stacked by class `(n_classes, n_each, height, width)`; a
            table in a file or in any shape that `metastore.tabular.as_table` takes; or a pair
            (images, labels) of bytes `(n, height, width[, 1 or 3])`, or a list of images.
            Tensors of torch are read as arrays are.
        target: of a table: name of the column to predict, or its values.
        name: what to call it; by default the name of the file or the folder.

    Raises:
        InvalidInputError: if nothing can be made of it, a label is missing, there are fewer than
            two classes, or what is to be predicted are numbers rather than classes.
        MissingDependencyError: if images need Pillow and it is not installed.

    >>> support = read_support(([[1.0], [2.0], [9.0]], ["low", "low", "high"]))
    >>> support.classes, support.labels.tolist(), support.counts.tolist()
    (('high', 'low'), [1, 1, 0], [1, 2])
    """
    source, target = without_tensors(source), without_tensors(target)
    if isinstance(source, SupportSet):
        return _checked(replace(source, name=name or source.name))
    path = _there(source)
    pictured = path is not None and (path.is_dir() or path.suffix.lower() == ".npz")
    paired = isinstance(source, tuple) and len(source) == 2 and holds_images(source)
    if not (pictured or paired):
        support = table_support(source, target)
    elif target is not None:
        raise InvalidInputError(
            f"a target is a column of a table, and {path or 'this'} holds images, whose classes "
            "are their folders or labels; leave the target out"
        )
    elif path is None:
        support = pair_support(source)
    else:
        support = folder_support(path) if path.is_dir() else npz_support(path)
    refuse_numbers(support)
    return _checked(replace(support, name=name or support.name))


def read_query(source: Any, like: SupportSet, target: Any = None) -> SupportSet:
    """Return rows to predict, of the kind and the classes of a support set.

    Args:
        source: as for `read_support`; but images may lie in one folder without classes or in
            one file, an npz file and a pair need no labels, and a table needs no target.
        like: the support set.
        target: of a table: the column to compare predictions with; by default the support's.

    Returns:
        The queries; the label is -1 where no class was given, or one that the support lacks.

    Raises:
        InvalidInputError: if it is of another kind, or lacks columns.
    """
    source, target = without_tensors(source), without_tensors(target)
    _there(source)
    if isinstance(source, SupportSet):
        found = source
    elif like.kind == "images":
        found = images_query(source, like)
    else:
        found = table_query(source, like, target)
    if found.kind != like.kind:
        raise other_kind(like)
    if len(found) == 0:
        raise InvalidInputError("the query is empty: expected at least one row or image")
    return found if found.classes == like.classes else _relabelled(found, like)


def _there(source: Any) -> Path | None:
    """Return what a path points to; None where the source is none, or an OpenML id."""
    if not isinstance(source, str | Path) or is_openml(source):
        return None
    path = Path(source)
    if not path.exists():
        what = "file" if path.suffix else "file or folder"
        raise InvalidInputError(
            f"no {what} {str(path)!r}: check the path; expected a folder of images by "
            "class, an npz file, or a table (openml:ID for an OpenML dataset)"
        )
    return path


def _checked(support: SupportSet) -> SupportSet:
    """Refuse what cannot be learned from; drop classes without a row."""
    if (support.labels < 0).any():
        raise InvalidInputError(
            f"{int((support.labels < 0).sum())} of {len(support)} rows have no class: a support "
            "set is labelled throughout; label them, or leave them out"
        )
    there = np.flatnonzero(support.counts)
    if len(there) < 2:
        found = f"one, {support.classes[there[0]]!r}" if len(there) else "none"
        raise InvalidInputError(
            f"a support set needs two classes or more, and there is {found}; add examples of "
            "another class"
        )
    if len(there) == len(support.classes):
        return support
    return replace(
        support,
        classes=tuple(support.classes[i] for i in there),
        values=tuple(support.values[i] for i in there) if support.values else (),
        labels=np.searchsorted(there, support.labels).astype(np.int64),
    )


def _relabelled(found: SupportSet, like: SupportSet) -> SupportSet:
    number = {name: i for i, name in enumerate(like.classes)}
    moved = np.array([number.get(name, UNKNOWN) for name in found.classes], dtype=np.int64)
    labels = np.where(found.labels >= 0, moved[found.labels], UNKNOWN)
    return replace(found, classes=like.classes, values=like.values, labels=labels)
