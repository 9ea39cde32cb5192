"""Narrowing a view keeps exactly the cells that it should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metastore import MetaFeatures, View
from metastore.errors import UnknownNameError

NAMES = tuple("abcdef")
ALGORITHMS = ("svc", "knn")


@st.composite
def views(draw: Any) -> View:
    n_configs = draw(st.integers(1, 6))
    pairs = [(d, c) for d in range(len(NAMES)) for c in range(n_configs)]
    cells = draw(st.lists(st.sampled_from(pairs), unique=True))
    failed = draw(st.lists(st.sampled_from(pairs), unique=True))
    scores = np.arange(len(cells)) / 8
    grouped = draw(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1)))
    return View(
        metric="loss", higher_is_better=False, datasets=NAMES, algorithms=ALGORITHMS,
        config_algorithms=np.arange(n_configs) % 2,
        config_texts=[f'{{"x":{i}}}' for i in range(n_configs)],
        cell_dataset=np.array([d for d, _ in cells], dtype=np.int64),
        cell_config=np.array([c for _, c in cells], dtype=np.int64),
        cell_score=scores, cell_repeats=np.ones(len(cells), dtype=np.int64),
        cell_seconds=scores * 10,
        failed_dataset=np.array([d for d, _ in failed], dtype=np.int64),
        failed_config=np.array([c for _, c in failed], dtype=np.int64),
        failed_seconds=np.full(len(failed), np.nan),
        meta=MetaFeatures(NAMES, ("m",), np.arange(6.0)[:, None]), groups=grouped,
    )  # fmt: skip


def cells(view: View) -> set[tuple[str, str, str, float, float]]:
    """Return a view's cells by name."""
    return {
        (view.datasets[d], view.algorithm(c), view.config_texts[c], s, t)
        for d, c, s, t in zip(
            view.cell_dataset, view.cell_config, view.cell_score, view.cell_seconds, strict=True
        )
    }


def failures(view: View) -> set[tuple[str, str]]:
    return {
        (view.datasets[d], view.config_texts[c])
        for d, c in zip(view.failed_dataset, view.failed_config, strict=True)
    }


@given(views(), st.sets(st.sampled_from(NAMES)))
def test_without_keeps_exactly_the_others(view: View, names: set[str]) -> None:
    gone = {twin for name in names for twin in view.group(name)}
    left = view.without(names)
    assert cells(left) == {cell for cell in cells(view) if cell[0] not in gone}
    assert failures(left) == {pair for pair in failures(view) if pair[0] not in gone}
    assert set(left.excluded) == gone
    assert left.meta is view.meta
    spoken = {c[0] for c in cells(left)} | {f[0] for f in failures(left)}
    assert set(left.datasets) == spoken
    assert cells(view.without([])) == cells(view)


@given(views(), st.sets(st.sampled_from(ALGORITHMS)))
def test_only_keeps_exactly_these_algorithms(view: View, names: set[str]) -> None:
    left = view.only(names)
    assert cells(left) == {cell for cell in cells(view) if cell[1] in names}


@given(views(), st.sets(st.sampled_from(NAMES)))
def test_a_matrix_holds_the_cells(view: View, names: set[str]) -> None:
    left = view.without(names)
    matrix = left.matrix()
    assert np.isfinite(matrix).sum() == left.n_cells
    assert matrix[left.cell_dataset, left.cell_config].tolist() == left.cell_score.tolist()


@given(views(), st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_leaving_out_in_any_order_teaches_the_same(view: View, a: str, b: str) -> None:
    both = view.without([a, b])
    other = view.without([a]).without([b])
    for told in (cells, failures, lambda one: one.datasets, lambda one: set(one.excluded)):
        assert told(other) == told(both)


def test_unknown_names_are_refused() -> None:
    view = View("loss", False, (), (), *[np.empty(0, np.int64)] * 1, [],  # type: ignore[arg-type]
                *[np.empty(0, np.int64)] * 5)  # type: ignore[arg-type]  # fmt: skip
    with pytest.raises(UnknownNameError, match="no dataset named 'z'"):
        view.without(["z"])
    with pytest.raises(UnknownNameError, match="no algorithm named 'z'"):
        view.only(["z"])


def test_a_view_says_what_it_holds_not_every_number() -> None:
    cell, one = np.zeros(1200, dtype=np.int64), np.zeros(1, dtype=np.int64)
    view = View(
        "loss", False, ("a", "b"), ("svc",), one, ["{}"], cell, cell, cell / 2, cell + 1, cell / 1,
        meta=MetaFeatures(("a",), ("m", "n"), np.ones((1, 2))), excluded=("c",),
    )  # fmt: skip
    held = "2 datasets, 1 algorithms, 1 configs, 1,200 cells, 1 left out"
    assert repr(view) == f"View(loss, lower is better: {held})"
    assert repr(view.meta) == "MetaFeatures(1 datasets, 2 names)"
