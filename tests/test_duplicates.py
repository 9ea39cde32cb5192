"""Near-duplicate groups by id, cells, profile and meta-features."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from metastore.duplicates import groups
from metastore.errors import InvalidInputError
from metastore.fingerprint import fingerprint, profile
from metastore.profiles import parse
from metastore.resemblance import THRESHOLD, compare, may_resemble
from metastore.tabular import as_table
from metastore.view import MetaFeatures


def joined(found: dict[str, int]) -> list[set[str]]:
    return [{n for n, g in found.items() if g == number} for number in sorted(set(found.values()))]


def by_meta(frame: pd.DataFrame) -> list[set[str]]:
    names = list(frame["dataset"])
    numbers = frame.drop(columns=["dataset", "task_id"], errors="ignore")
    meta = MetaFeatures(tuple(names), tuple(numbers.columns), numbers.to_numpy(dtype=float))
    empty = [""] * len(names)
    return joined(groups(names, source_ids=empty, fingerprints=empty, profiles=empty, meta=meta))


def test_chains_become_one_group():
    found = groups(
        ["a", "b", "c", "d", "e"],
        source_ids=["x", "x", "", "", "y"],
        fingerprints=["", "f", "f", "", ""],
        profiles=[""] * 5,
        meta=MetaFeatures.empty(),
    )
    assert found == {"a": 0, "b": 0, "c": 0}


def test_nothing_known_groups_nothing():
    empty = ["", ""]
    found = groups(
        ["a", "b"], source_ids=empty, fingerprints=empty, profiles=empty, meta=MetaFeatures.empty()
    )
    assert found == {}
    assert groups([], source_ids=[], fingerprints=[], profiles=[], meta=MetaFeatures.empty()) == {}


def test_lengths_must_agree():
    with pytest.raises(InvalidInputError, match="each of 2 names, got 1, 2 and 2"):
        groups(
            ["a", "b"],
            source_ids=[""],
            fingerprints=["", ""],
            profiles=["", ""],
            meta=MetaFeatures.empty(),
        )


def test_same_data_under_two_names_in_the_penn_collection(realdata):
    names = ["breast", "breast-w", "credit-g", "german", "iris", "vehicle", "chess", "kr-vs-kp"]
    tables = [as_table(realdata(f"pmlb/parquet/{n}.parquet"), "target") for n in names]
    found = groups(
        names,
        source_ids=[""] * len(names),
        fingerprints=[fingerprint(t) for t in tables],
        profiles=[profile(t) for t in tables],
        meta=MetaFeatures.empty(),
    )
    assert joined(found) == [{"breast", "breast-w"}, {"credit-g", "german"}, {"chess", "kr-vs-kp"}]


def test_meta_features_alone_find_one_table_with_several_targets(realdata):
    found = by_meta(pd.read_parquet(realdata("autosklearn_md/metafeatures.parquet")))
    kdd_cup = {"askl_1111", "askl_1112", "askl_1114"}
    ova = {f"askl_{i}" for i in (1128, 1130, 1134, 1138, 1139, 1142, 1146, 1161, 1166)}
    assert found == [kdd_cup, ova]


def test_meta_features_alone_find_second_names(realdata):
    found = by_meta(pd.read_parquet(realdata("sklearn_benchmarks/metafeatures.parquet")))
    for twins in ({"diabetes", "pima"}, {"cmc", "contraceptive"}, {"chess", "kr-vs-kp"}):
        assert twins in found
    assert all(len(group) <= 3 for group in found)


def test_different_plants_of_the_same_shape_stay_apart(realdata):
    assert by_meta(pd.read_parquet(realdata("openml_pimp/metafeatures.parquet"))) == []


def test_meta_features_are_not_asked_where_both_cells_were_seen():
    meta = MetaFeatures(("a", "b"), ("n_rows", *(f"f{i}" for i in range(9))), np.ones((2, 10)))
    empty = ["", ""]
    same = groups(["a", "b"], source_ids=empty, fingerprints=["f", ""], profiles=empty, meta=meta)
    assert same == {"a": 0, "b": 0}
    other = groups(["a", "b"], source_ids=empty, fingerprints=["f", "g"], profiles=empty, meta=meta)
    assert other == {}


@pytest.mark.parametrize(
    ("change", "together"),
    [({}, True), ({"n_rows": 1001}, True), ({"n_rows": 1100}, False), ({"n_classes": 3}, False)],
)
def test_shape_must_agree(change, together):
    base = {"dataset": "a", "n_rows": 1000, "n_features": 9, "n_classes": 2}
    base |= {f"skewness.{s}": 1.0 + i for i, s in enumerate("abcd")}
    twin = base | {"dataset": "b"} | change
    assert bool(by_meta(pd.DataFrame([base, twin]))) == together


def test_quick_look_misses_no_pair(realdata):
    paths = sorted(realdata("pmlb/parquet").glob("*.parquet"))
    heart = [
        p for p in paths if p.stem.startswith(("heart", "cleve", "credit", "hung", "all", "cpu"))
    ]
    profiles = [parse(profile(as_table(path, "target"))) for path in heart]
    quick = set(map(tuple, may_resemble(profiles, THRESHOLD).tolist()))
    slow = {
        (i, j)
        for j in range(len(profiles))
        for i in range(j)
        if compare(profiles[i], profiles[j]) >= THRESHOLD
    }
    assert slow and slow <= quick


def test_a_thousand_datasets_take_a_moment(realdata):
    frame = pd.read_parquet(realdata("autosklearn_md/metafeatures.parquet"))
    numbers = frame.drop(columns="dataset").to_numpy(dtype=float)
    names = [f"d{i}" for i in range(1120)]
    meta = MetaFeatures(tuple(names), tuple(frame.columns[1:]), np.tile(numbers, (8, 1)))
    empty = [""] * len(names)
    start = time.perf_counter()
    found = groups(names, source_ids=empty, fingerprints=empty, profiles=empty, meta=meta)
    assert time.perf_counter() - start < 5
    assert len(found) == 1120


def test_profiles_of_one_table_join_even_when_rows_went(realdata):
    text = profile(as_table(realdata("pmlb/parquet/iris.parquet"), "target"))
    fewer = replace(parse(text), n_rows=148)
    assert compare(parse(text), fewer) > 0.9
