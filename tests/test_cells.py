"""Cells are put together as plain Python would, whatever lies in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import metastore
from metastore import cells
from metastore.bound import execute
from metastore.cells import numbered, places
from metastore.config_texts import ConfigTexts
from metastore.types import DatasetRef, MetricValue, RunRecord, RunStatus

HALVES = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])
IDS = st.lists(st.tuples(HALVES, HALVES), max_size=12)
TEXTS = st.lists(st.text(max_size=12), max_size=12)


def as_ids(pairs: list[tuple[int, int]]) -> cells.Ids:
    return np.array(pairs, dtype=np.uint64).reshape(-1, 2)


@settings(deadline=None)
@given(IDS, IDS)
def test_ids_are_found_where_they_first_stand(stored: Any, asked: Any) -> None:
    stored = sorted(stored)
    expected = [stored.index(one) if one in stored else -1 for one in asked]
    assert places(as_ids(stored), as_ids(asked)).tolist() == expected


@settings(deadline=None)
@given(IDS)
def test_ids_ascend_by_both_halves(pairs: Any) -> None:
    order = cells._ascending(as_ids(pairs))
    assert [pairs[i] for i in order] == sorted(pairs)


def test_many_ids_are_found_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    stored = np.unique(rng.integers(0, 2**64, (500, 2), dtype=np.uint64), axis=0)
    asked = stored[rng.integers(0, 500, 900)]
    alone = places(stored, asked)
    monkeypatch.setattr(cells, "IN_CACHE", 0)
    assert places(stored, asked).tolist() == alone.tolist()
    assert (stored[alone] == asked).all()


@settings(deadline=None)
@given(st.lists(st.integers(-3, 40)))
def test_numbers_are_numbered_as_numpy_does(items: list[int]) -> None:
    numbers = np.array(items, dtype=np.int64)
    expected = np.unique(numbers, return_inverse=True)
    for found, wanted in zip(numbered(numbers), expected, strict=True):
        assert found.dtype == np.int64
        assert found.tolist() == wanted.tolist()


@settings(deadline=None)
@given(TEXTS, st.data())
def test_texts_side_by_side_are_the_texts(texts: list[str], data: Any) -> None:
    chunks = [texts[: len(texts) // 2], texts[len(texts) // 2 :]]
    column = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks])
    some = data.draw(st.lists(st.integers(0, max(0, len(texts) - 1)), max_size=3 * bool(texts)))
    wanted = set(data.draw(TEXTS)) | set(texts[:2])
    for kept in (ConfigTexts.of(texts), ConfigTexts.of_arrow(column)):
        assert list(kept) == texts
        assert kept[:] == texts
        assert list(kept.take(np.array(some, dtype=np.int64))) == [texts[i] for i in some]
        found = [i for i, text in enumerate(texts) if text in wanted]
        assert kept.places(wanted).tolist() == found
    sliced = ConfigTexts.of_arrow(column.slice(1, 5))
    assert list(sliced) == texts[1:6]


def test_what_is_left_of_many_texts_holds_no_more_than_it_needs() -> None:
    texts = ConfigTexts.of([str(i) for i in range(1000)])
    left = texts.take(np.array([999, 0]))
    assert list(left) == ["999", "0"]
    assert left.data.nbytes == 4


SAID = st.text() | st.text(alphabet="'\"\\;-$a\n\0é🎉")
WHOLE = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(SAID, st.lists(SAID, max_size=3), WHOLE | st.integers(-(2**70), 2**70), st.booleans())
def test_bound_values_come_back_as_they_were(
    text: str, several: list[str], number: int, flag: bool
) -> None:
    values = {"text": text, "several": several, "number": number, "flag": flag}
    with duckdb.connect() as con:
        sql = "SELECT $text AS a, $several AS b, $number AS c, $flag AS d, '$textual' AS e"
        found = execute(con, sql, values).fetchall()  # type: ignore[arg-type]
    assert found == [(text, several, number, flag, "$textual")]


RUN = st.tuples(
    st.sampled_from("de"),
    st.sampled_from(["svc", "knn"]),
    st.integers(0, 2),
    st.sampled_from(
        ["completed", "failed", "timeout", "crashed", "pruned", "running", "interrupted"]
    ),
    st.lists(st.sampled_from([0.25, 0.5, float("nan"), float("inf")]), max_size=2),
    st.sampled_from([None, 1.0, 4.0]),
    st.sampled_from([None, 0.5, 9.0]),
)


@settings(deadline=None, max_examples=30)
@example(
    runs=[
        ("d", "svc", 0, "completed", [0.25], None, 0.5),
        ("d", "knn", 0, "failed", [], 4.0, None),
        ("d", "knn", 0, "completed", [float("nan")], 1.0, None),
    ]
)
@given(runs=st.lists(RUN, min_size=1, max_size=12))
def test_cells_are_what_plain_python_puts_together(
    runs: list[tuple[str, str, int, str, list[float], float | None, float | None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    store = metastore.open(tmp_path_factory.mktemp("store"))
    first = ("z", "svc", 0, "completed", [0.5], None, None)
    store.add(
        RunRecord(
            DatasetRef(dataset), algorithm, {"C": c},
            tuple(MetricValue("accuracy", value, None, True) for value in said),
            RunStatus(status), seconds=seconds, fidelity=fidelity,
        )
        for dataset, algorithm, c, status, said, seconds, fidelity in [first, *runs]
    )  # fmt: skip
    view = store.view("accuracy")
    found = {}
    scores = (view.cell_score, view.cell_repeats, view.cell_seconds)
    for d, c, *numbers in zip(view.cell_dataset, view.cell_config, *scores, strict=True):
        found[view.datasets[d], view.algorithm(c), view.config_texts[c]] = np.array(numbers)
    for d, c, t in zip(view.failed_dataset, view.failed_config, view.failed_seconds, strict=True):
        found[view.datasets[d], view.algorithm(c), view.config_texts[c]] = np.array([np.nan, 1, t])
    expected = _expected([first, *runs])
    assert found.keys() == expected.keys()
    for key, numbers in expected.items():
        np.testing.assert_allclose(found[key], numbers)


def _expected(runs: list[Any]) -> dict[tuple[str, str, str], list[float]]:
    """Return score, repeats and seconds by dataset, algorithm and config, NaN where none."""
    judged = {run[0] for run in runs if run[4]}
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for dataset, algorithm, c, status, said, seconds, fidelity in runs:
        done, failed = status == "completed", status in ("failed", "timeout", "crashed")
        if (done and said) or (failed and (said or dataset in judged)):
            key = (dataset, algorithm, f'{{"C":{c}}}')
            amount = np.inf if fidelity is None else fidelity
            member = (done, said[-1] if said else np.nan, seconds, amount, status)
            groups.setdefault(key, []).append(member)
    out = {}
    for key, members in groups.items():
        if len(members) == 1 and members[0][4] == "crashed":
            continue
        fine = [one for one in members if one[0] and np.isfinite(one[1])]
        most = max((one[3] for one in fine), default=np.inf)
        counted = [one for one in fine if one[3] == most]
        partial = any(one[3] < np.inf for one in members)
        timed = counted if partial else [one for one in members if one[0]]
        took = [one[2] for one in timed if one[2] is not None]
        took = took or [one[2] for one in members if one[2] is not None]
        mean = float(np.mean(took)) if took else np.nan
        value = float(np.mean([one[1] for one in counted])) if counted else np.nan
        out[key] = [value, max(1, len(counted)), mean]
    return out


def test_of_many_configs_only_those_used_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = metastore.open(tmp_path / "store")
    store.add(
        RunRecord(DatasetRef("d"), "svc", {"C": c}, (MetricValue(name, 0.5, None, True),))
        for c, name in [(0, "accuracy"), *((c, "f1") for c in range(1, 9))]
    )
    read: list[int] = []

    def texts(*asked: Any) -> Any:
        found = _texts(*asked)
        read.append(len(found[1]))
        return found

    _texts = cells._texts
    monkeypatch.setattr(cells, "_texts", texts)
    assert list(store.view("accuracy").config_texts) == ['{"C":0}']
    monkeypatch.setattr(cells, "FEW", 0.5)
    assert list(store.view("accuracy").config_texts) == ['{"C":0}']
    assert read == [9, 1]


def _recorded(folder: Path, runs: list[tuple[int, str, list[float], float | None]]) -> Any:
    """Return the view of runs `(config, status, results, fidelity)` on one dataset."""
    store = metastore.open(folder / "store")
    for c, status, said, fidelity in runs:
        values = tuple(MetricValue("accuracy", value, None, True) for value in said)
        one = RunRecord(DatasetRef("d"), "svc", {"C": c}, values, RunStatus(status))
        store.add(replace(one, fidelity=fidelity))
    view = store.view("accuracy")
    failed = [view.config(c)["C"] for c in view.failed_config.tolist()]
    cells = zip(view.cell_config.tolist(), view.cell_score.tolist(), strict=True)
    return {view.config(c)["C"]: score for c, score in cells}, failed


def test_of_parts_of_the_budget_the_largest_counts(tmp_path: Path) -> None:
    rungs = [(0, 0.6, 30.0), (0, 0.8, 90.0), (0, 0.9, None), (1, 0.7, 30.0), (1, 0.5, 90.0)]
    found, failed = _recorded(tmp_path, [(c, "completed", [v], f) for c, v, f in rungs])
    assert (found, failed) == ({0: 0.9, 1: 0.5}, [])


def test_the_last_result_of_a_run_counts(tmp_path: Path) -> None:
    runs = [(0, "completed", [0.5, 0.9], None), (0, "completed", [0.7], None)]
    found, _ = _recorded(tmp_path, runs)
    assert found == {0: pytest.approx(0.8)}


def test_what_was_stopped_or_crashed_once_says_nothing(tmp_path: Path) -> None:
    runs = [(0, "completed"), (1, "interrupted"), (2, "crashed"), (3, "crashed"), (3, "crashed")]
    runs += [(4, "crashed"), (4, "failed"), (5, "crashed"), (5, "completed")]
    found, failed = _recorded(
        tmp_path, [(c, status, [0.5] * (status == "completed"), None) for c, status in runs]
    )
    assert (found, failed) == ({0: 0.5, 5: 0.5}, [3, 4])
