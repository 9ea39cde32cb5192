"""PMLB's classification tables in folds of near-duplicate groups, for starts that take any columns.

tables()    the tables as tensors
folds()     the fold of each table: that of its group, by the hash of its cells
"""

from __future__ import annotations

import csv
import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from torch import Tensor

from benchmarks.realdata import realdata
from metastore.duplicates import groups
from metastore.fingerprint import fingerprint
from metastore.profiles import profile
from metastore.tabular import as_table
from metastore.view import MetaFeatures
from recommenders.starts.zoo_data import drawable

N_FOLDS = 3
N_PARTS = 4
"""Parts of a fold: part 0 of the folds that a start is trained on chose its design."""

LEAST_ROWS = 15
"""Rows that a class needs to be drawn from: five to learn from and ten to be tested on."""

Table = tuple[Tensor, Tensor]


@cache
def tables() -> dict[str, Table]:
    """Return inputs `(n, d)` and class numbers `(n,)` of each table that has two classes to draw.

    Columns are on a footing of mean 0 and deviation 1 so that single precision holds them; a
    learner standardises by the support set itself, which undoes it.
    """
    with realdata("pmlb/index.csv").open(encoding="utf-8", newline="") as file:
        index = [r for r in csv.DictReader(file) if r["task"] == "classification" and r["file"]]
    found = {row["dataset"]: _table(realdata(f"pmlb/{row['file']}")) for row in index}
    return {name: table for name, table in found.items() if table is not None}


@cache
def folds() -> dict[str, tuple[int, int]]:
    """Return the fold of each table, and its part within the fold; groups stay together."""
    names = sorted(tables())
    read = [as_table(realdata(f"pmlb/parquet/{name}.parquet"), "target") for name in names]
    prints = [fingerprint(one) for one in read]
    empty = [""] * len(names)
    company = groups(
        names,
        source_ids=empty,
        fingerprints=prints,
        profiles=[profile(one) for one in read],
        meta=MetaFeatures.empty(),
    )
    first: dict[int, str] = {}
    for name, mark in zip(names, prints, strict=True):
        if name in company:
            first[company[name]] = min(first.get(company[name], mark), mark)
    marks = {
        n: first[company[n]] if n in company else p for n, p in zip(names, prints, strict=True)
    }
    number = {
        n: int(hashlib.sha256(mark.encode()).hexdigest()[:8], 16) for n, mark in marks.items()
    }
    return {n: (number[n] % N_FOLDS, number[n] // N_FOLDS % N_PARTS) for n in names}


def fold_names(fold: int) -> tuple[str, ...]:
    """Return the names of the tables of a fold, which its start is not trained on."""
    return tuple(name for name, (its, _) in folds().items() if its == fold)


def settings_saw(name: str) -> bool:
    """Whether settings of the choice among candidates were chosen on a table, or on its like.

    Half of the groups, by their hash; figures of the others alone are what counts.
    """
    return folds()[name][1] < N_PARTS // 2


def _table(path: Path) -> Table | None:
    read = pq.read_table(path)
    columns = [name for name in read.schema.names if name != "target"]
    x = np.stack([read[name].to_numpy().astype(np.float64) for name in columns], axis=1)
    _, labels = np.unique(read["target"].to_numpy(), return_inverse=True)
    whole = np.isfinite(x).all(1)
    return drawable(x[whole], labels[whole], LEAST_ROWS)
