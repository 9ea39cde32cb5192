"""What a run names as its dataset: a `DatasetRef`, and its cells where there are any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metastore.errors import InvalidInputError
from metastore.types import DatasetRef

if TYPE_CHECKING:
    from metastore.tabular import Table

_FILES = (".csv", ".tsv", ".parquet", ".pq", ".jsonl", ".ndjson", ".arff")


def describe(data: Any, target: Any = None, name: str = "") -> tuple[DatasetRef, Table | None]:
    """Return the reference of a dataset, and its cells where `data` holds them.

    Args:
        data: a `DatasetRef`; a name; an OpenML id (`31` or `"openml:31"`, which is not
            downloaded for this); or cells in any shape that `metastore.tabular.as_table` takes.
        target: name of the target column, or the target values.
        name: what to call it; cells without a name are called after their fingerprint.

    Raises:
        InvalidInputError: if nothing can be made of `data`.
    """
    if isinstance(data, DatasetRef):
        return data, None
    if isinstance(data, int) and not isinstance(data, bool):
        data = f"openml:{data}"
    if isinstance(data, str) and not is_table_file(data):
        return _named(data, target, name), None
    from metastore.fingerprint import fingerprint  # noqa: PLC0415 - pandas, only for cells
    from metastore.profiles import profile  # noqa: PLC0415
    from metastore.tabular import as_table  # noqa: PLC0415

    table = as_table(data, target, name)
    number = fingerprint(table)
    column = table.target.name if table.target is not None else ""
    ref = DatasetRef(
        name=table.name or f"data-{number.removeprefix('fp1-')[:8]}",
        target=target if isinstance(target, str) else str(column or ""),
        source_id=table.source_id,
        fingerprint=number,
        profile=profile(table),
        n_rows=len(table.features),
        n_columns=table.features.shape[1],
    )
    return ref, table


def is_table_file(text: str) -> bool:
    """Whether a string is meant as the path of a table file rather than as a name."""
    if text.lower().endswith(_FILES):
        return True
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL: a name
        return False


def _named(data: str, target: Any, name: str) -> DatasetRef:
    label = (name or data).strip()
    if not label:
        raise InvalidInputError("a dataset needs a name, or cells; got an empty name")
    if "\x00" in label or len(label) > 1000:
        raise InvalidInputError("a dataset's name is at most 1000 characters, without NUL")
    source = data.lower() if data.lower().startswith("openml:") else ""
    return DatasetRef(label, target if isinstance(target, str) else "", source)
