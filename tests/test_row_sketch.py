"""Parts of a dataset are known again by their rows, and nothing else is."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

import metastore
from metastore import MetaStore
from metastore.duplicates import groups
from metastore.errors import InvalidInputError
from metastore.profiles import parse, profile
from metastore.row_sketch import CONTAINED, SIZE, contained, may_be_contained, sketch
from metastore.tabular import as_table
from metastore.view import MetaFeatures

LOADERS = {"iris": load_iris, "wine": load_wine, "bc": load_breast_cancer}


def cut(frame: pd.DataFrame, how: str) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    if how == "twice":
        return pd.concat([frame, frame])
    if how == "first rows":
        return frame.iloc[: int(0.93 * len(frame))]
    if how == "columns in another order":
        return frame[frame.columns[::-1]].sample(frac=0.6, random_state=1)
    return frame.iloc[rng.permutation(len(frame))[: int(float(how) * len(frame))]]


def together(profiles: dict[str, str]) -> dict[str, int]:
    nothing = [""] * len(profiles)
    return groups(
        list(profiles),
        source_ids=nothing,
        fingerprints=nothing,
        profiles=list(profiles.values()),
        meta=MetaFeatures.empty(),
    )


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize(
    "how", ["0.9", "0.8", "0.5", "twice", "first rows", "columns in another order"]
)
def test_a_part_of_a_dataset_is_told_from_others(name: str, how: str) -> None:
    part = cut(LOADERS[name](as_frame=True).frame, how)
    part.columns = [f"x{column}" for column in part.columns]
    profiles = {
        n: profile(as_table(load(as_frame=True).frame, "target")) for n, load in LOADERS.items()
    }
    profiles["part"] = profile(as_table(part, "xtarget"))
    assert together(profiles) == {name: 0, "part": 0}


def test_a_view_leaves_a_dataset_out_with_a_part_of_it(store: MetaStore) -> None:
    values = (metastore.MetricValue("accuracy", 0.5),)
    for name in ("iris", "wine"):
        ref = store.dataset(LOADERS[name](as_frame=True).frame, "target", name=name)
        store.add(metastore.RunRecord(ref, "svc", {"C": 1.0}, values))
    store.dataset(cut(load_wine(as_frame=True).frame, "0.8"), "target", name="train")
    assert store.view("accuracy", exclude=["train"]).datasets == ("iris",)


def test_shares_are_what_they_are_said_to_be() -> None:
    """Against the numbers of rows that both have, counted."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(4000, 3)))
    whole = sketch(as_table(frame))
    assert whole is not None
    assert (whole.n_columns, whole.n_distinct, len(whole.least)) == (3, 4000, SIZE)
    for first, last in ((0, 4000), (1000, 3000), (2000, 6000), (4000, 8000)):
        more = pd.DataFrame(np.random.default_rng(1).normal(size=(4000, 3)))
        other = sketch(as_table(pd.concat([frame, more]).iloc[first:last]))
        assert other is not None
        counted = (min(4000, last) - first) / min(4000, last - first)
        assert contained(whole, other) == contained(other, whole)
        assert contained(whole, other) == pytest.approx(counted, abs=0.15)


def test_a_column_more_or_rows_that_are_alike_say_nothing() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 4)))
    a, b = sketch(as_table(frame)), sketch(as_table(frame.iloc[:, :3]))
    assert a is not None
    assert b is not None
    assert contained(a, b) == 0
    assert sketch(as_table(pd.DataFrame({"a": [0, 1] * 50, "b": [0, 0, 1, 1] * 25}))) is None
    assert sketch(as_table(pd.DataFrame({"a": [1.5, 2.5]}))) is None


def test_datasets_of_the_penn_collection_of_different_origin_stay_apart(realdata: Any) -> None:
    paths: list[Path] = sorted(realdata("pmlb/parquet").glob("*.parquet"))
    found = {}
    for path in paths:
        table = as_table(path, "target")
        if table.features.size < 100_000:
            found[path.stem] = sketch(table)
    names, sketches = list(found), list(found.values())
    assert sum(one is not None for one in sketches) > 100
    pairs = set(may_be_contained(sketches))
    joined = set()
    for i, j in itertools.combinations(range(len(names)), 2):
        a, b = sketches[i], sketches[j]
        if a is not None and b is not None and contained(a, b) >= CONTAINED:
            assert (i, j) in pairs
            joined.add((names[i].replace("_", "-"), names[j].replace("_", "-")))
    others = {pair for pair in joined if pair[0] != pair[1]}
    assert others <= OF_ONE_ORIGIN, others - OF_ONE_ORIGIN


OF_ONE_ORIGIN = {
    ("227-cpu-small", "562-cpu-small"),
    ("buggyCrx", "credit-a"),
    ("cmc", "contraceptive"),
    ("molecular-biology-promoters", "promoters"),
}


def test_profiles_from_before_there_were_sketches_can_be_read() -> None:
    text = profile(as_table(load_iris(return_X_y=True)))
    said = json.loads(text)
    assert parse(text).rows is not None
    del said["sketch"]
    old = json.dumps(said)
    assert parse(old).rows is None
    assert together({"a": text, "b": old}) == {"a": 0, "b": 0}
    for damaged in ([1, 2], "x", [1, 2, ["y"]], [1, 2, [-1]]):
        with pytest.raises(InvalidInputError):
            parse(json.dumps({**said, "sketch": damaged}))
