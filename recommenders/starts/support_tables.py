"""Tables with or without their target as support sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metastore.errors import InvalidInputError
from recommenders.image_files import SUFFIXES
from recommenders.starts.support_images import holds_images
from recommenders.starts.support_set import UNKNOWN, SupportSet, class_name, coded, other_kind

if TYPE_CHECKING:
    from pandas import DataFrame

    from metastore.tabular import Table


def table_support(source: Any, target: Any) -> SupportSet:
    """Return the rows of a table with the classes of its target."""
    from metastore.tabular import as_table  # noqa: PLC0415 - pandas, for tables alone

    table = as_table(source, target)
    if table.target is None:
        where = f" of {source}" if isinstance(source, str | Path) else ""
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
    classes, values, labels = coded(table.target)
    return SupportSet(
        table.name,
        "table",
        classes,
        labels,
        frame=table.features,
        target=str(table.target.name),
        values=values,
        source_id=table.source_id,
    )


def is_openml(source: str | Path) -> bool:
    """Whether a text names an OpenML dataset rather than a file.

    >>> is_openml("openml:31"), is_openml("iris.csv")
    (True, False)
    """
    return str(source).strip().lower().startswith("openml:")


def table_query(source: Any, like: SupportSet, target: Any) -> SupportSet:
    """Return rows to predict; see `recommenders.starts.support_sets.read_query`."""
    from metastore.tabular import as_table  # noqa: PLC0415 - pandas, for tables alone

    path = Path(source) if isinstance(source, str | Path) else None
    pictured = path is not None and (path.is_dir() or path.suffix.lower() in (*SUFFIXES, ".npz"))
    if pictured or holds_images(source):
        raise other_kind(like)
    table = _apart(as_table(source), like, target)
    number = {class_name(name): i for i, name in enumerate(like.classes)}
    labels = np.full(len(table.features), UNKNOWN, dtype=np.int64)
    if table.target is not None:
        labels[:] = [number.get(class_name(value), UNKNOWN) for value in table.target]
    return replace(
        like,
        name=table.name,
        labels=labels,
        frame=_columns(table.features, like, nameless=_nameless(source)),
        rows=(),
        source_id=table.source_id,
    )


def _apart(table: Table, like: SupportSet, target: Any) -> Table:
    """Return a query with its target apart, where it has one; rows to predict may have none."""
    from metastore.tabular import as_table  # noqa: PLC0415 - pandas, for tables alone

    if target is not None and not (isinstance(target, str) and target == like.target):
        return table if table.target is not None else as_table(table, target)
    if table.target is not None or like.target not in table.features.columns:
        return table
    if table.features[like.target].isna().all():
        return replace(table, features=table.features.drop(columns=like.target))
    return as_table(table, like.target)


def _nameless(source: Any) -> bool:
    """Whether a table came without names of columns, so that those it has are made up."""
    import pandas as pd  # noqa: PLC0415 - for tables alone

    first = source[0] if isinstance(source, tuple) and len(source) == 2 else source
    if isinstance(first, pd.DataFrame):
        return isinstance(first.columns, pd.RangeIndex)
    return isinstance(first, list | np.ndarray) or hasattr(first, "tocsc")


def _columns(frame: DataFrame, like: SupportSet, *, nameless: bool) -> DataFrame:
    """Return the columns that the support set has, in its order; without names by position."""
    wanted = [] if like.frame is None else list(like.frame.columns)
    if nameless:
        if frame.shape[1] != len(wanted):
            raise InvalidInputError(
                f"the query's columns are without names and go by position: expected "
                f"{len(wanted)} of them ({', '.join(map(str, wanted[:8]))}), got {frame.shape[1]}"
            )
        return frame.set_axis(wanted, axis=1)
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise InvalidInputError(
            f"the query lacks {len(missing)} of the {len(wanted)} columns that the model was "
            f"fitted on: {', '.join(map(repr, missing[:5]))}; its own are: "
            f"{', '.join(map(str, frame.columns[:8]))}"
        )
    return frame[wanted]
