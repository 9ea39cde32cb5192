"""From tables to the one immutable view that recommenders fit on."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from metastore.bound import execute
from metastore.cells import Cells
from metastore.duplicates import groups
from metastore.errors import InvalidInputError, MixedDirectionError, UnknownNameError
from metastore.queries import query
from metastore.recorded_spaces import RecordedSpaces
from metastore.rows import Rows
from metastore.types import DatasetRef, dataset_id
from metastore.view import FloatArray, MetaFeatures, View

if TYPE_CHECKING:
    import duckdb

    from metastore.search_space import SearchSpace

Strange = tuple[DatasetRef, Mapping[str, float]]
"""A dataset that is not in the store, and those of its meta-features that have a value."""

_DETAILS = ("source_id", "fingerprint", "profile")


def read_view(  # noqa: PLR0913 - every option has a default and a name
    con: duckdb.DuckDBPyConnection,
    metric: str,
    algorithms: Sequence[str] = (),
    exclude: Iterable[str] = (),
    *,
    near_duplicates: bool = False,
    without_runs: Iterable[str] = (),
) -> View:
    """Read all runs of a metric into a view.

    Args:
        con: a connection that reads.
        metric: the metric's name.
        algorithms: only these; all when empty.
        exclude: names of datasets whose runs stay out; their meta-features stay in.
        near_duplicates: whether near-duplicates of the excluded datasets stay in.
        without_runs: ids of runs that do not count.

    Raises:
        UnknownNameError: if no run has the metric, an algorithm has no runs of it, or an
            excluded name is not in the store.
        MixedDirectionError: if runs disagree on the metric's direction.
        InvalidInputError: if nobody said which direction is better.
    """
    higher = direction(con, metric)
    labels = dataset_labels(con)
    wanted = [algorithms] if isinstance(algorithms, str) else list(algorithms)
    cells = Cells(con, metric, labels, _run_ids(without_runs))
    _check_algorithms(cells, wanted, metric)
    view = cells.view(metric, higher, wanted)
    view = replace(view, spaces=RecordedSpaces.read(con, view.algorithms))
    _, view = described(con, view)
    twins, left_out = view.groups, list(exclude)
    names = set(labels.values())
    for name in left_out:
        if name not in names:
            raise UnknownNameError(not_found("dataset", name, names))
    if near_duplicates:
        view = replace(view, groups={})
    known = {*view.datasets, *view.meta.datasets}
    bare = {name for name in left_out if not known.intersection(view.group(name))}
    view = view.without(set(left_out) - bare)
    return replace(view, groups=twins, excluded=tuple(sorted({*view.excluded, *bare})))


def described(
    con: duckdb.DuckDBPyConnection, view: View, strange: Strange | None = None
) -> tuple[str, View]:
    """Return a view with the meta-features and near-duplicates that the store knows now.

    Args:
        con: a connection that reads.
        view: past runs.
        strange: one more dataset, which is not in the store.

    Returns:
        The name of the one more in the view, empty if there is none, and the view.
    """
    labels = dataset_labels(con)
    meta, details = read_metafeatures(con, labels)
    names, name = tuple(dict.fromkeys(labels.values())), ""
    if strange is not None:
        ref, values = strange
        name = ref.name if ref.name not in names else f"{ref.name} ({ref.fingerprint[-8:]})"
        names, meta = (*names, name), meta.joined(name, values)
        details[name] = {key: getattr(ref, key) for key in _DETAILS}
    twins = groups(
        names,
        source_ids=[details[name]["source_id"] or "" for name in names],
        fingerprints=[details[name]["fingerprint"] or "" for name in names],
        profiles=[details[name]["profile"] or "" for name in names],
        meta=meta,
    )
    return name, replace(view, meta=meta, groups=twins)


def direction(con: duckdb.DuckDBPyConnection, metric: str) -> bool:
    """Return whether larger is better, as a person or all runs of the metric say.

    Raises:
        UnknownNameError: if the store has no such metric.
        MixedDirectionError: if runs disagree and nobody settled it.
        InvalidInputError: if no run says.
    """
    asked = {"metric": metric}
    said = execute(
        con,
        "SELECT arg_max(higher_is_better, recorded_at) FROM store.metric_directions "
        "WHERE metric = $metric",
        asked,
    ).fetchone()
    if said and said[0] is not None:
        return bool(said[0])
    counts = execute(
        con,
        "SELECT higher_is_better, count(DISTINCT dataset_id) FROM store.tasks "
        "WHERE metric = $metric GROUP BY higher_is_better",
        asked,
    ).fetchall()
    if not counts:
        known = con.execute("SELECT DISTINCT metric FROM store.tasks ORDER BY metric").fetchall()
        raise UnknownNameError(not_found("metric", metric, [row[0] for row in known]))
    by_direction = {row[0]: row[1] for row in counts if row[0] is not None}
    if len(by_direction) == 2:
        raise MixedDirectionError(
            f"metric {metric!r} was recorded as higher-is-better on {by_direction[True]} datasets "
            f"and as lower-is-better on {by_direction[False]}; settle it with "
            f"store.set_direction({metric!r}, higher_is_better=...), or with "
            f"`headstart direction {metric} higher` or lower"
        )
    if not by_direction:
        raise InvalidInputError(
            f"nobody said which direction of metric {metric!r} is better; say "
            f"store.set_direction({metric!r}, higher_is_better=...), or "
            f"`headstart direction {metric} higher` or lower"
        )
    return bool(next(iter(by_direction)))


def dataset_labels(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return one label for each dataset id: its name, made unique where contents differ.

    Runs that gave only a name belong to the one dataset of that name whose cells were seen.
    """
    con.execute(query("labels"))
    return dict(
        con.execute(
            "SELECT dataset_id::VARCHAR, label FROM labels ORDER BY first_recorded_at, dataset_id"
        ).fetchall()
    )


def label_of(con: duckdb.DuckDBPyConnection, dataset: DatasetRef) -> str:
    """Return the label of a dataset that runs name by `dataset`.

    Raises:
        UnknownNameError: if the store does not have it.
    """
    labels = dataset_labels(con)
    label = labels.get(str(dataset_id(dataset)))
    if label is not None:
        return label
    if dataset.name in labels.values() and not dataset.fingerprint:
        return dataset.name
    raise UnknownNameError(not_found("dataset", dataset.name, labels.values()))


def id_of(con: duckdb.DuckDBPyConnection, label: str) -> str:
    """Return the id of the dataset that a label names: the one whose cells were seen, if any.

    Raises:
        UnknownNameError: if the store does not have it.
    """
    labels = dataset_labels(con)
    numbers = [number for number, name in labels.items() if name == label]
    if not numbers:
        raise UnknownNameError(not_found("dataset", label, labels.values()))
    bare = str(dataset_id(DatasetRef(label)))
    return next((number for number in numbers if number != bare), numbers[0])


def read_metafeatures(
    con: duckdb.DuckDBPyConnection, labels: dict[str, str]
) -> tuple[MetaFeatures, dict[str, dict[str, Any]]]:
    """Return the latest meta-features by label, and what is known of each dataset."""
    rows = con.execute(
        "SELECT dataset_id::VARCHAR AS dataset_id, name, value FROM store.latest_metafeatures"
    ).fetchnumpy()
    names, column = np.unique(np.asarray(rows["name"], dtype=object), return_inverse=True)
    row_labels = [labels.get(number, number) for number in rows["dataset_id"]]
    datasets = tuple(dict.fromkeys(row_labels))
    index = {label: i for i, label in enumerate(datasets)}
    values = np.full((len(datasets), len(names)), np.nan)
    if row_labels:
        at = np.fromiter((index[label] for label in row_labels), np.int64, len(row_labels))
        found: FloatArray = np.ma.filled(np.ma.asarray(rows["value"], dtype=float), np.nan)
        values[at, column] = np.where(np.isfinite(found), found, np.nan)
    details: dict[str, dict[str, Any]] = {}
    described = con.execute(
        "SELECT dataset_id::VARCHAR, source_id, fingerprint, profile FROM store.latest_datasets"
    ).fetchall()
    for number, source_id, fingerprint, profile in described:
        entry = details.setdefault(labels[number], dict.fromkeys(_DETAILS))
        entry["source_id"] = entry["source_id"] or source_id
        entry["fingerprint"] = entry["fingerprint"] or fingerprint
        entry["profile"] = entry["profile"] or profile
    return MetaFeatures(datasets, tuple(str(name) for name in names), values), details


def read_space(con: duckdb.DuckDBPyConnection, algorithm: str) -> SearchSpace:
    """Return the space recorded last for an algorithm, or one inferred from its configs.

    Raises:
        UnknownNameError: if the algorithm has no runs.
    """
    from metastore.space_inference import infer  # noqa: PLC0415 - few reads need spaces

    recorded = RecordedSpaces.read(con, [algorithm])
    if algorithm in recorded:
        return recorded[algorithm]
    configs = execute(con, query("configs_of"), {"algorithm": algorithm}).fetchall()
    if not configs:
        known = con.execute("SELECT DISTINCT algorithm FROM store.runs").fetchall()
        raise UnknownNameError(not_found("algorithm", algorithm, [row[0] for row in known]))
    return infer((json.loads(text) for (text,) in configs), name=algorithm)


def rows_of(cursor: duckdb.DuckDBPyConnection) -> Rows:
    """Return a result as dictionaries by column name."""
    names = column_names(cursor)
    return Rows(names, (dict(zip(names, row, strict=True)) for row in cursor.fetchall()))


def column_names(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of a result's columns, numbered where several have the same."""
    names: list[str] = []
    for name, *_ in cursor.description or ():
        unique = name
        while unique in names:
            number = int(unique[len(name) + 1 :] or 0) + 1
            unique = f"{name}_{number}"
        names.append(unique)
    return names


def not_found(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that the store does not have, with the nearest it has."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {', '.join(repr(n) for n in near)}?"
    elif names:
        more = "" if len(names) <= 8 else f" and {len(names) - 8} more"
        hint = f"the store has {', '.join(names[:8])}{more}"
    else:
        hint = "the store is empty: record or import runs first"
    return f"no {kind} {name!r} in the store; {hint}"


def _run_ids(said: Iterable[str]) -> list[str]:
    """Return ids of runs as they are compared.

    Raises:
        InvalidInputError: if one is no id.
    """
    found = []
    for one in [said] if isinstance(said, str) else said:
        try:
            found.append(str(UUID(str(one))))
        except ValueError:
            raise InvalidInputError(
                f"without_runs: expected ids of runs, got {one!r}; `headstart runs` lists them"
            ) from None
    return found


def _check_algorithms(cells: Cells, wanted: list[str], metric: str) -> None:
    if not len(cells.dataset):
        raise UnknownNameError(f"no finished run has metric {metric!r} yet")
    for algorithm in wanted:
        if algorithm not in cells.algorithms:
            words = not_found("algorithm", algorithm, cells.algorithms)
            raise UnknownNameError(f"of the runs that have metric {metric!r}: {words}")
