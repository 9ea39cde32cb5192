"""Support sets: the few labelled images or rows that a user has of a task of their own.

The cells stay as they came. What a start takes, images of one side or numbers on one scale, is
made of them in `recommenders.start_inputs`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError
from metastore.types import DatasetRef
from recommenders.image_files import (
    STACK_AXES,
    SUFFIXES,
    Pixels,
    image_paths,
    read_image,
    read_npz,
)

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from metastore.tabular import Table

Kind = Literal["images", "table"]
Labels = NDArray[np.int64]

UNKNOWN = -1
"""The label of a row whose class nobody said."""
_PROBABLY_NUMBERS = 20


@dataclass(frozen=True, eq=False)
class SupportSet:
    """Labelled examples; or queries of the same classes, labelled where a class is known.

    Args:
        name: what people call it.
        kind: "images" or "table".
        classes: names of the classes, sorted.
        labels: number of the class of each row `(n,)`; -1 where it is not known.
        images: bytes `(height, width, 1 or 3)`, each of its own size; empty for a table.
        frame: columns without the target `(n, n_columns)`; None for images.
        target: name of the target column; "class" for images.
        values: the classes as they stood in the target column.
        rows: a name of each row, such as the image's file; empty where rows have none.
        source_id: where a table came from, such as `openml:31`.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    labels: Labels
    images: tuple[Pixels, ...] = ()
    frame: DataFrame | None = None
    target: str = "class"
    values: tuple[Any, ...] = ()
    rows: tuple[str, ...] = ()
    source_id: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> SupportSet:
        """Return the same set with some of its rows, in that order, and all of its classes.

        Args:
            rows: row numbers, or booleans `(n,)`.
        """
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return replace(
            self,
            labels=self.labels[chosen],
            images=tuple(self.images[i] for i in chosen) if self.images else (),
            frame=None if self.frame is None else self.frame.iloc[chosen].reset_index(drop=True),
            rows=tuple(self.rows[i] for i in chosen) if self.rows else (),
        )

    @property
    def counts(self) -> Labels:
        """Rows of each class `(n_classes,)`."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.classes))

    @property
    def fingerprint(self) -> str:
        """A hash of the content: images with their classes, or cells; not of names or order.

        A table's is that of `metastore.fingerprint`, so that the store knows it again.
        """
        return self.dataset().fingerprint

    def dataset(self) -> DatasetRef:
        """Return what runs name this set by in a store."""
        if self.kind == "table":
            from metastore.datasets import describe  # noqa: PLC0415 - pandas, for tables alone

            return describe(self.table())[0]
        each = sorted(
            hashlib.blake2b(
                f"{image.shape}|{self._class_of(label)}|".encode() + image.tobytes(),
                digest_size=16,
            ).digest()
            for image, label in zip(self.images, self.labels, strict=True)
        )
        digest = hashlib.blake2b(b"".join(each), digest_size=16).hexdigest()
        name = self.name or f"images-{digest[:8]}"
        return DatasetRef(name, self.target, "", f"im1-{digest}", n_rows=len(self))

    def table(self) -> Table:
        """Return a table's cells with their target, as the store describes them.

        Raises:
            InvalidInputError: if these are images.
        """
        from metastore.tabular import Table  # noqa: PLC0415 - pandas, for tables alone

        if self.frame is None:
            raise InvalidInputError(f"{self.name or 'this set'} holds images, not a table")
        return Table(self.frame, self._target(), self.name, self.source_id)

    def _target(self) -> Series[Any]:
        import pandas as pd  # noqa: PLC0415 - for tables alone

        values = [self.values[label] if label >= 0 else None for label in self.labels]
        return pd.Series(values, name=self.target)

    def _class_of(self, label: int) -> str:
        return self.classes[label] if label >= 0 else ""


def read_support(source: Any, target: Any = None, *, name: str = "") -> SupportSet:
    """Return the labelled examples of a source.

    Args:
        source: a folder with one folder of images a class; an npz file with bytes `images` and
            `labels`, or with `images` stacked by class `(n_classes, n_each, height, width)`; a
            table in a file or in any shape that `metastore.tabular.as_table` takes; or a pair
            (images, labels) of bytes `(n, height, width[, 1 or 3])`, or a list of images.
        target: of a table: name of the column to predict, or its values.
        name: what to call it; by default the name of the file or the folder.

    Raises:
        InvalidInputError: if nothing can be made of it, a label is missing, or there are fewer
            than two classes.
        MissingDependencyError: if images need Pillow and it is not installed.

    >>> support = read_support(([[1.0], [2.0], [9.0]], ["low", "low", "high"]))
    >>> support.classes, support.labels.tolist(), support.counts.tolist()
    (('high', 'low'), [1, 1, 0], [1, 2])
    """
    if isinstance(source, SupportSet):
        return _checked(replace(source, name=name or source.name))
    path = _path(source)
    if path is not None and path.is_dir():
        support = _folder(path)
    elif path is not None and path.suffix.lower() == ".npz":
        support = _npz(path)
    elif _holds_images(source):
        support = _labelled("", _images(source[0]), source[1])
    else:
        support = _table(source, target, path)
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
    if isinstance(source, SupportSet):
        found = source
    elif like.kind == "images":
        found = _image_query(source, like)
    else:
        found = _table_query(source, like, target)
    if found.kind != like.kind:
        raise _other_kind(like)
    if len(found) == 0:
        raise InvalidInputError("the query is empty: expected at least one row or image")
    return found if found.classes == like.classes else _relabelled(found, like)


def _path(source: Any) -> Path | None:
    return Path(source) if isinstance(source, str | Path) else None


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


def _folder(folder: Path) -> SupportSet:
    files = image_paths(folder)
    if any(path.parent == folder for path in files):
        raise InvalidInputError(
            f"{folder} holds images itself: put those of each class into a folder of its own"
        )
    names = [path.parent.relative_to(folder).as_posix() for path in files]
    support = _labelled(folder.resolve().name, tuple(map(read_image, files)), names)
    return replace(support, rows=tuple(path.relative_to(folder).as_posix() for path in files))


def _npz(path: Path) -> SupportSet:
    images, labels = read_npz(path)
    if labels is not None:
        return _labelled(path.stem, _images(images), labels)
    if images.ndim != STACK_AXES:
        raise InvalidInputError(
            f"{path}: expected an array 'labels' beside 'images', or images stacked by class "
            f"(n_classes, n_each, height, width); got images {images.shape} alone"
        )
    stacked = images.reshape(-1, *images.shape[2:])
    names = [f"{i:05d}" for i in range(len(images)) for _ in range(images.shape[1])]
    return _labelled(path.stem, _images(stacked), names)


def _holds_images(source: Any) -> bool:
    """Whether a pair's first part, or an array, is a stack or a list of images."""
    first = source[0] if isinstance(source, tuple) and len(source) == 2 else source
    if isinstance(first, np.ndarray):
        return first.ndim in (3, STACK_AXES)
    return (
        isinstance(first, list | tuple)
        and len(first) > 0
        and all(isinstance(one, np.ndarray) and one.ndim in (2, 3) for one in first)
    )


def _images(images: Any) -> tuple[Pixels, ...]:
    """Return each image as `(height, width, 1 or 3)`; channels may come first in a stack."""
    return tuple(_image(np.asarray(one)) for one in images)


def _image(one: NDArray[Any]) -> Pixels:
    if one.dtype != np.uint8:
        raise InvalidInputError(
            f"images must be bytes (uint8) from 0 to 255, got {one.dtype}; scale them, for "
            "example (255 * x / x.max()).astype('uint8')"
        )
    if one.ndim == 2:
        one = one[:, :, None]
    if one.ndim == 3 and one.shape[2] not in (1, 3) and one.shape[0] in (1, 3):
        one = one.transpose(1, 2, 0)
    if one.ndim != 3 or one.shape[2] not in (1, 3) or 0 in one.shape:
        raise InvalidInputError(
            f"an image is (height, width) or (height, width, 1 or 3), got {one.shape}"
        )
    return np.ascontiguousarray(one)


def _labelled(name: str, images: tuple[Pixels, ...], labels: Any) -> SupportSet:
    given = np.asarray(labels)
    if given.shape != (len(images),):
        raise InvalidInputError(
            f"expected a label an image, got {len(images)} images and labels {given.shape}"
        )
    values, codes = np.unique(given, return_inverse=True)
    classes = tuple(map(_name, values.tolist()))
    return SupportSet(name, "images", classes, codes.astype(np.int64), images)


def _table(source: Any, target: Any, path: Path | None) -> SupportSet:
    import pandas as pd  # noqa: PLC0415 - for tables alone

    from metastore.tabular import as_table  # noqa: PLC0415

    table = as_table(source, target)
    if table.target is None:
        where = f" of {path}" if path else ""
        shown = ", ".join(map(str, table.features.columns[-8:]))
        raise InvalidInputError(
            f"which column{where} is to be predicted? Say --target NAME, or target=...; the last "
            f"columns are: {shown}"
        )
    gaps = int(table.target.isna().sum())
    if gaps:
        raise InvalidInputError(
            f"{gaps} of {len(table.target)} rows have no {table.target.name!r}: label them, or "
            "leave them out"
        )
    values = sorted(pd.unique(table.target), key=lambda one: (isinstance(one, str), one))
    classes = tuple(map(_name, values))
    _refuse_numbers(table, classes)
    number = {value: i for i, value in enumerate(values)}
    labels = np.array([number[value] for value in table.target], dtype=np.int64)
    return SupportSet(
        table.name,
        "table",
        classes,
        labels,
        frame=table.features,
        target=str(table.target.name),
        values=tuple(values),
        source_id=table.source_id,
    )


def _refuse_numbers(table: Table, classes: tuple[str, ...]) -> None:
    """Refuse a target of numbers rather than of classes."""
    import pandas as pd  # noqa: PLC0415 - for tables alone

    target = table.target
    if target is None or not pd.api.types.is_numeric_dtype(target.dtype):
        return
    distinct = len(set(classes))
    fractions = distinct > 2 and any("." in name or "e" in name for name in classes)
    if fractions or (distinct > _PROBABLY_NUMBERS and 2 * distinct > len(target)):
        raise InvalidInputError(
            f"the target {target.name!r} holds {distinct} different numbers, and starts predict "
            "classes; name another column, or cut it into classes"
        )


def _name(value: Any) -> str:
    """Return a class's name: `1` for 1.0 as for 1.

    >>> _name(1.0), _name(0.5), _name("a")
    ('1', '0.5', 'a')
    """
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)


def _image_query(source: Any, like: SupportSet) -> SupportSet:
    path = _path(source)
    if path is not None and path.is_dir():
        return _query_folder(path, like)
    if path is not None and path.suffix.lower() in SUFFIXES:
        if not path.exists():
            raise InvalidInputError(f"no file {str(path)!r}: check the path")
        return _unlabelled(path.stem, (read_image(path),), like, (path.name,))
    if path is not None and path.suffix.lower() == ".npz":
        images, labels = read_npz(path)
        if labels is None and images.ndim == STACK_AXES and not _channelled(images):
            return _npz(path)
        found = _images(images)
        return (
            _unlabelled(path.stem, found, like)
            if labels is None
            else _labelled(path.stem, found, labels)
        )
    if not _holds_images(source):
        raise _other_kind(like)
    if isinstance(source, tuple) and len(source) == 2 and np.ndim(source[1]) == 1:
        return _labelled("", _images(source[0]), source[1])
    return _unlabelled("", _images(source), like)


def _channelled(images: NDArray[Any]) -> bool:
    """Whether four axes are those of images with channels rather than of stacks by class."""
    return images.shape[1] in (1, 3) or images.shape[3] in (1, 3)


def _query_folder(folder: Path, like: SupportSet) -> SupportSet:
    files = image_paths(folder)
    number = {name: i for i, name in enumerate(like.classes)}
    places = [path.parent.relative_to(folder).as_posix() for path in files]
    labels = np.array([number.get(place, UNKNOWN) for place in places], dtype=np.int64)
    rows = tuple(path.relative_to(folder).as_posix() for path in files)
    images = tuple(map(read_image, files))
    return SupportSet(folder.resolve().name, "images", like.classes, labels, images, rows=rows)


def _unlabelled(
    name: str, images: tuple[Pixels, ...], like: SupportSet, rows: tuple[str, ...] = ()
) -> SupportSet:
    labels = np.full(len(images), UNKNOWN, dtype=np.int64)
    return SupportSet(name, "images", like.classes, labels, images, rows=rows)


def _table_query(source: Any, like: SupportSet, target: Any) -> SupportSet:
    from metastore.tabular import as_table  # noqa: PLC0415 - pandas, for tables alone

    path = _path(source)
    if _holds_images(source) or (
        path is not None and (path.is_dir() or path.suffix.lower() in (*SUFFIXES, ".npz"))
    ):
        raise _other_kind(like)
    table = as_table(source)
    if table.target is None and target is not None:
        table = as_table(source, target)
    elif table.target is None and like.target in table.features.columns:
        table = as_table(table, None)
        known = table.features[like.target]
        table = replace(table, features=table.features.drop(columns=like.target), target=known)
    number = {_name(name): i for i, name in enumerate(like.classes)}
    labels = np.full(len(table.features), UNKNOWN, dtype=np.int64)
    if table.target is not None:
        labels[:] = [number.get(_name(value), UNKNOWN) for value in table.target]
    return replace(
        like,
        name=table.name,
        labels=labels,
        frame=_columns(table.features, like),
        rows=(),
        source_id=table.source_id,
    )


def _columns(frame: DataFrame, like: SupportSet) -> DataFrame:
    """Return the columns that the support set has, in its order."""
    wanted = [] if like.frame is None else list(like.frame.columns)
    numbered = list(frame.columns) == [f"x{i}" for i in range(frame.shape[1])]
    if numbered and frame.shape[1] == len(wanted):
        return frame.set_axis(wanted, axis=1)
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise InvalidInputError(
            f"the query lacks {len(missing)} of the {len(wanted)} columns that the model was "
            f"fitted on: {', '.join(map(repr, missing[:5]))}; its own are: "
            f"{', '.join(map(str, frame.columns[:8]))}"
        )
    return frame[wanted]


def _relabelled(found: SupportSet, like: SupportSet) -> SupportSet:
    number = {name: i for i, name in enumerate(like.classes)}
    moved = np.array([number.get(name, UNKNOWN) for name in found.classes], dtype=np.int64)
    labels = np.where(found.labels >= 0, moved[found.labels], UNKNOWN)
    return replace(found, classes=like.classes, values=like.values, labels=labels)


def _other_kind(like: SupportSet) -> InvalidInputError:
    kind = "images" if like.kind == "images" else "rows of a table"
    wanted = (
        "a folder of images, an image file, an npz file, or an array of bytes"
        if like.kind == "images"
        else "a table file, a DataFrame or an array (n, n_columns)"
    )
    return InvalidInputError(
        f"the model was fitted on {kind}, and the query is of another kind: expected {wanted}"
    )
