"""A support set: the few labelled images or rows that a user has of a task of their own.

The cells stay as they came. What a start takes, images of one side or numbers on one scale, is
made of them in `recommenders.starts.inputs`; sets are read in `recommenders.starts.support_sets`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError
from metastore.types import DatasetRef
from recommenders.image_files import UNKNOWN_WHITES, Pixels, Whites

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from metastore.tabular import Table

Kind = Literal["images", "table"]
Labels = NDArray[np.int64]

UNKNOWN = -1
"""The label of a row whose class nobody said."""


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
        values: the classes as they stood in the target column, or as labels of images.
        rows: a name of each row, such as the image's file; empty where rows have none.
        source_id: where a table came from, such as `openml:31`.
        whites: what is white in images whose files hold no bytes, so that queries are as bright.
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
    whites: Whites = UNKNOWN_WHITES

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


def without_tensors(given: Any) -> Any:
    """Return what was given with torch's tensors, in lists and pairs too, as NumPy's arrays.

    Where nobody has imported torch there are none, and it is not imported for this.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return given
    if isinstance(given, torch.Tensor):
        # NumPy has no bfloat16.
        there = given.float() if given.dtype == torch.bfloat16 else given
        return there.numpy(force=True)
    if type(given) in (list, tuple) and any(_holds_tensors(one, torch) for one in given):
        parts = [without_tensors(one) for one in given]
        plain = [
            one.item() if isinstance(one, np.ndarray) and not one.ndim else one for one in parts
        ]
        return type(given)(plain)
    return given


def _holds_tensors(one: Any, torch: Any) -> bool:
    nested = type(one) in (list, tuple)
    return isinstance(one, torch.Tensor) or (
        nested and any(isinstance(part, torch.Tensor) for part in one)
    )


def class_name(value: Any) -> str:
    """Return a class's name: `1` for 1.0 as for 1.

    >>> class_name(1.0), class_name(0.5), class_name("a")
    ('1', '0.5', 'a')
    """
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)


def coded(labels: Iterable[Any]) -> tuple[tuple[str, ...], tuple[Any, ...], Labels]:
    """Return names of classes, their values, and the number of each label's class `(n,)`.

    Numbers come first, in their order, then text. Labels of one name are one class, as 1 and "1"
    are; a label that is missing has number -1.

    >>> names, values, numbers = coded([1, "b", None, 1.0, "1"])
    >>> names, values, numbers.tolist()
    (('1', 'b'), (1, 'b'), [0, 1, -1, 0, 0])
    """
    given = list(labels)
    names = [None if _missing(one) else class_name(one) for one in given]
    first: dict[str, Any] = {}
    for name, value in zip(names, given, strict=True):
        if name is not None:
            first.setdefault(name, value)
    values = sorted(first.values(), key=_order)
    classes = tuple(map(class_name, values))
    number: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    numbers = [number.get(name, UNKNOWN) for name in names]
    return classes, tuple(values), np.array(numbers, dtype=np.int64)


def _missing(value: Any) -> bool:
    # NaN and NaT differ from themselves; whether pandas' NA does is NA.
    same = value == value  # noqa: PLR0124
    return value is None or not (isinstance(same, bool | np.bool_) and same)


def _order(value: Any) -> tuple[int, float, str]:
    if isinstance(value, bool | int | float | np.bool_ | np.number):
        return 0, float(value), ""
    return 1 + isinstance(value, str), 0.0, class_name(value)


def other_kind(like: SupportSet) -> InvalidInputError:
    """Return the error for a query that is not of the support set's kind."""
    kind = "images" if like.kind == "images" else "rows of a table"
    wanted = (
        "a folder of images, an image file, an npz file, or an array of bytes"
        if like.kind == "images"
        else "a table file, a DataFrame or an array (n, n_columns)"
    )
    return InvalidInputError(
        f"the model was fitted on {kind}, and the query is of another kind: expected {wanted}"
    )
