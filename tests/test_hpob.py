"""HPO-B's layout and protocol, on small files in that layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recommend import hpob
from metastore import MetaStore
from metastore.errors import InvalidInputError
from metastore.types import canonical_json
from recommenders.scores import Past

SPACE, POINTS = "4796", 12


def runs(seed: int, peak: float) -> dict[str, list[list[float]]]:
    rng = np.random.default_rng(seed)
    x = rng.random((POINTS, 2)).round(4)
    y = 0.9 - ((x[:, :1] - peak) ** 2)
    return {"X": x.tolist(), "y": y.tolist()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train = {SPACE: {"3": runs(0, 0.4), "31": runs(1, 0.5), "37": runs(2, 0.6)}}
    test = {SPACE: {"9": runs(3, 0.5)}}
    given = {SPACE: {"9": {"test0": [0, 1, 2, 3, 4], "test1": [5, 6, 7, 8, 9]}}}
    for name, body in ((hpob.TRAIN, train), (hpob.TEST, test), (hpob.STARTS, given)):
        (tmp_path / name).write_text(json.dumps(body))
    return tmp_path


def test_a_file_becomes_runs_of_a_store(folder: Path, store: MetaStore) -> None:
    problems = list(hpob.read(folder / hpob.TRAIN))
    assert [(p.space, p.dataset) for p in problems] == [(SPACE, d) for d in ("3", "31", "37")]
    assert hpob.import_into(store, problems) == 3 * POINTS
    assert hpob.import_into(store, problems) == 0
    view = store.view("accuracy", "hpob:4796")
    assert view.higher_is_better
    assert (view.n_datasets, view.n_cells) == (3, 3 * POINTS)
    written = json.loads((folder / hpob.TRAIN).read_text())[SPACE]["31"]
    row = view.datasets.index("openml:31")
    expected = {
        canonical_json({"x00": x[0], "x01": x[1]}): y[0]
        for x, y in zip(written["X"], written["y"], strict=True)
    }
    cells = np.flatnonzero(view.cell_dataset == row)
    texts = [str(view.config_texts[c]) for c in view.cell_config[cells]]
    assert dict(zip(texts, view.cell_score[cells].tolist(), strict=True)) == expected


def test_the_protocol_starts_from_the_given_configs(folder: Path) -> None:
    mean, pairs = hpob.measure(folder, "portfolio")
    assert pairs == 1
    assert len(mean) == hpob.TRIALS + 1
    y = np.array(json.loads((folder / hpob.TEST).read_text())[SPACE]["9"]["y"])[:, 0]
    normalised = (y - y.min()) / (y.max() - y.min())
    first = 1 - np.mean([normalised[:5].max(), normalised[5:10].max()])
    assert mean[0] == pytest.approx(first)
    assert (np.diff(mean) <= 0).all()
    assert mean[-1] == 0


def test_rows_that_repeat_a_config_are_one(folder: Path, store: MetaStore) -> None:
    configs, accuracy = np.array([[0.1], [0.1], [0.5], [0.9]]), np.array([0.2, 0.4, 0.5, 0.8])
    twice = hpob.Problem("s", "d", configs, accuracy)
    hpob.import_into(store, [twice])
    view = store.view("accuracy")
    assert sorted(view.cell_score.tolist()) == pytest.approx([0.3, 0.5, 0.8])
    path = hpob.run(Past.of(view), twice, [0, 1], "portfolio", 0)
    assert path[0] == 1
    assert path[2] == 0


def test_without_data_our_row_is_empty() -> None:
    shown = hpob.rows({})
    assert shown[-1] == {"method": "auto (here)", **{f"@{k}": "" for k in hpob.SHOWN}}
    assert shown[0]["@100"] == "5.4"


@pytest.mark.parametrize(
    "body",
    ["[]", "{", '{"s": []}', '{"s": {"d": {"X": [[1]]}}}', '{"s": {"d": {"X": [], "y": []}}}'],
)
def test_another_layout_is_one_clear_error(tmp_path: Path, body: str) -> None:
    (tmp_path / "runs.json").write_text(body)
    with pytest.raises(InvalidInputError, match="expected HPO-B's layout"):
        list(hpob.read(tmp_path / "runs.json"))
