"""What a start takes of a support set: whether the two fit, and tensors that it can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError
from recommenders.image_sizes import light_background, stacked
from recommenders.starts.support_set import SupportSet
from recommenders.starts.table_columns import TableColumns, fit_columns, kind_of

if TYPE_CHECKING:
    from pandas import DataFrame

    from learners.episode import Examples
    from metastore.starts import Start

SIDE = 28
"""Height and width of images where no start says otherwise."""


def misfit(start: Start, support: SupportSet) -> str:
    """Return why a start does not take a support set, in one sentence; "" where it does.

    More classes than the start was trained with are no reason: another head is fitted then.
    """
    if start.kind == "surrogate" or start.n_way == 0:
        return "it predicts numbers, and the support set has classes"
    if (start.kind == "images") != (support.kind == "images"):
        takes = "images" if start.kind == "images" else "rows of a table"
        return f"it takes {takes}, and the support set holds {_plural(support)}"
    if start.kind == "images":
        shape = start.input_shape
        if not shape:
            return _shapeless(start, "(1, 28, 28)")
        if len(shape) != 3 or shape[0] not in (1, 3) or shape[1] != shape[2]:
            return (
                f"its inputs are said to have shape {shape}, and images become (1 or 3, side, "
                "side): register it with that input_shape"
            )
    if start.kind == "rows":
        return _row_misfit(start, support)
    return _scale_misfit(start)


def _shapeless(start: Start, example: str) -> str:
    return (
        "nothing says what shape its inputs have: add it again with its input_shape, such as "
        f"store.add_start(weights, name={start.name!r}, kind={start.kind!r}, "
        f"input_shape={example})"
    )


def _plural(support: SupportSet) -> str:
    return "images" if support.kind == "images" else "rows of a table"


def _row_misfit(start: Start, support: SupportSet) -> str:
    frame = support.frame
    if not start.input_shape:
        return _shapeless(start, f"({0 if frame is None else frame.shape[1]},)")
    if len(start.input_shape) != 1:
        return (
            f"its inputs are said to have shape {start.input_shape}, and rows have (columns,): "
            "register it with that input_shape"
        )
    if frame is None or start.input_shape != (frame.shape[1],):
        have = 0 if frame is None else frame.shape[1]
        return f"it takes rows of {start.input_shape[0]} columns, and the support set has {have}"
    if reason := _other_names(_names(start), frame):
        return reason
    text = [str(name) for name in frame.columns if kind_of(frame[name]) != "number"]
    if text:
        return f"it takes columns of numbers, and {', '.join(text[:5])} hold something else"
    return _scale_misfit(start)


def _names(start: Start) -> tuple[str, ...]:
    """Return the columns that a start of rows was trained on, in order; () where unknown."""
    names = start.normalisation.get("columns")
    if not isinstance(names, list | tuple) or (len(names),) != start.input_shape:
        return ()
    return tuple(map(str, names))


def _nameless(frame: DataFrame) -> bool:
    """Whether the columns are called as those of an array are."""
    return list(frame.columns) == [f"x{i}" for i in range(frame.shape[1])]


def _other_names(names: tuple[str, ...], frame: DataFrame) -> str:
    """Return which columns of a start a table lacks, and what it has instead; "" for none."""
    lacking = [name for name in names if name not in frame.columns]
    if not lacking or _nameless(frame):
        return ""
    others = [str(name) for name in frame.columns if name not in names]
    return (
        f"it takes the columns that it was trained on, and the support set lacks "
        f"{', '.join(map(repr, lacking[:5]))} and has {', '.join(map(repr, others[:5]))} instead; "
        "rename them if they mean the same"
    )


def _scale_misfit(start: Start) -> str:
    scale = start.normalisation.get("scale")
    known = scale is None or isinstance(scale, Mapping) or "255" in str(scale)
    return "" if known else f"how its inputs are scaled is not understood: {scale!r}"


@dataclass(frozen=True, eq=False)
class Preparation:
    """How rows of a support set, and of its queries, become inputs of a start.

    Args:
        kind: "images" or "table".
        shape: of one input: `(channels, side, side)`, or `(d,)`.
        mean: taken from each channel or column after images are divided by 255; empty for none.
        deviation: what the rest is divided by; empty for none.
        inverted: whether images are turned light for dark.
        columns: how a table becomes numbers; None for images, and for a start that takes
            its own columns.
        notes: what was done to the inputs, in words.
        names: of a start with columns of its own: their names in its order; empty where it is not
            known or the table has none, and they are taken as they stand.
    """

    kind: str
    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    inverted: bool = False
    columns: TableColumns | None = None
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def array(self, support: SupportSet) -> NDArray[np.float32]:
        """Return the inputs `(n, *shape)` of a set; needs no torch.

        Raises:
            InvalidInputError: if the set is of another kind, or its columns do not fit.
        """
        if self.kind == "images":
            if support.kind != "images":
                raise InvalidInputError("expected images, got rows of a table")
            values = stacked(support.images, self.shape[0], self.shape[1]) / np.float32(255)
            values = 1 - values if self.inverted else values
        elif support.frame is None:
            raise InvalidInputError("expected rows of a table, got images")
        elif self.columns is not None:
            return self.columns.apply(support.frame)
        else:
            frame = support.frame[list(self.names)] if self.names else support.frame
            values = frame.to_numpy(dtype=np.float32, na_value=np.nan)
        return self._scaled(values)

    def tensors(self, support: SupportSet) -> Examples:
        """Return inputs, labels (-1 where unknown) and a mask of a set; needs torch."""
        import torch  # noqa: PLC0415 - slow to import

        from learners.episode import Examples  # noqa: PLC0415

        x = torch.from_numpy(np.ascontiguousarray(self.array(support)))
        y = torch.from_numpy(support.labels.astype(np.int64))
        return Examples(x, y, torch.ones(len(support), dtype=torch.bool))

    def turned(self) -> Preparation:
        """Return the same with images turned light for dark.

        Raises:
            InvalidInputError: if it is of a table.
        """
        if self.kind != "images":
            raise InvalidInputError("only images can be turned light for dark, this is a table")
        return replace(self, inverted=not self.inverted)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that `from_json` reads."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "mean": list(self.mean),
            "deviation": list(self.deviation),
            "inverted": self.inverted,
            "columns": None if self.columns is None else self.columns.to_json(),
            "notes": list(self.notes),
            "names": list(self.names),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Preparation:
        """Return what `to_json` wrote; nothing is unpickled.

        Raises:
            InvalidInputError: if an entry is missing or damaged.
        """
        try:
            columns = kept["columns"]
            return cls(
                str(kept["kind"]),
                tuple(map(int, kept["shape"])),
                tuple(map(float, kept["mean"])),
                tuple(map(float, kept["deviation"])),
                bool(kept["inverted"]),
                None if columns is None else TableColumns.from_json(columns),
                tuple(map(str, kept["notes"])),
                tuple(map(str, kept.get("names", ()))),
            )
        except InvalidInputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"how the inputs were prepared cannot be read ({error!r}); fit and save the "
                "model again"
            ) from error

    def _scaled(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.mean:
            tail = (1, 1) if self.kind == "images" else ()
            values = values - np.array(self.mean, dtype=np.float32).reshape(-1, *tail)
            values = values / np.array(self.deviation, dtype=np.float32).reshape(-1, *tail)
        # After scaling, 0 is the mean: what a gap is worth to a start with columns of its own.
        return np.where(np.isfinite(values), values, np.float32(0)).astype(np.float32)


def prepare(start: Start | None, support: SupportSet) -> Preparation:
    """Return how a support set becomes inputs of a start.

    Args:
        start: where the inputs go; None for 28 by 28 pixels, in grey where all images are
            grey, and for tables as numbers on one scale.
        support: the labelled examples; tables are scaled by them.

    Raises:
        InvalidInputError: if the two do not fit; it says why.
    """
    if start is not None and (reason := misfit(start, support)):
        raise InvalidInputError(f"{start.name!r} cannot be fine-tuned on this: {reason}")
    mean, deviation = _scale(start)
    if support.kind == "images":
        channels = max(image.shape[2] for image in support.images)
        shape = (channels, SIDE, SIDE) if start is None else start.input_shape
        notes = _image_notes(support, shape)
        return Preparation("images", shape, mean, deviation, notes=notes)
    if start is not None and start.kind == "rows":
        return _named(Preparation("table", start.input_shape, mean, deviation), start, support)
    frame = support.frame
    if frame is None:
        raise InvalidInputError("expected rows of a table, got images")
    columns = fit_columns(frame)
    width = columns.apply(frame[:1]).shape[1]
    return Preparation(
        "table", (width,), columns=columns, notes=_table_notes(frame, columns, width)
    )


def _named(made: Preparation, start: Start, support: SupportSet) -> Preparation:
    """Return the preparation with a start's columns by name; without names by position."""
    names, frame = _names(start), support.frame
    if not names or frame is None or set(names) == set(frame.columns):
        return replace(made, names=names)
    note = f"its columns, without names, are taken for {', '.join(names[:8])} in this order"
    return replace(made, notes=(note,))


def _scale(start: Start | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    scale = start.normalisation.get("scale") if start is not None else None
    if not isinstance(scale, Mapping):
        return (), ()
    return tuple(map(float, scale["mean"])), tuple(map(float, scale["deviation"]))


def _image_notes(support: SupportSet, shape: tuple[int, ...]) -> tuple[str, ...]:
    notes = []
    sizes = {image.shape[:2] for image in support.images}
    if sizes != {shape[1:]}:
        ordered = [f"{h} x {w}" for h, w in sorted(sizes)]
        some = " and ".join(ordered)
        if len(ordered) > 2:
            some = f"{len(ordered)} sizes from {ordered[0]} to {ordered[-1]}"
        notes.append(f"images of {some} pixels were resized to {shape[1]} x {shape[2]}")
        if any(h != w for h, w in sizes):
            notes.append("images that are not square were stretched")
    channels = {image.shape[2] for image in support.images}
    if 3 in channels and shape[0] == 1:
        notes.append("colours were turned to grey")
    if 1 in channels and shape[0] == 3:
        notes.append("grey was repeated as red, green and blue")
    background = "light" if light_background(support.images) else "dark"
    return (*notes, f"the background is {background}")


def _table_notes(frame: DataFrame, columns: TableColumns, width: int) -> tuple[str, ...]:
    n_categories = columns.kinds.count("category")
    dates = columns.kinds.count("date")
    parts = [f"{len(columns.names)} columns became {width} numbers"]
    if n_categories:
        parts.append(f"{n_categories} of them categories")
    if dates:
        parts.append(f"{dates} of them dates, as days since 1970")
    left_out = [str(name) for name in frame.columns if str(name) not in columns.names]
    named = ", ".join(left_out[:5])
    aside = f"left out, since every row has a text of its own there: {named}"
    return (", ".join(parts), *([aside] if left_out else []))
