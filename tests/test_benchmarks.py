"""The benchmarks run at a tiny size; nothing here looks at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ask import latency, stages
from benchmarks.recommend import dense, diverged, new_configs, static, zero_shot
from benchmarks.recommend.references import REFERENCES
from benchmarks.record import bulk
from benchmarks.results import Report, Spread, ratios, table
from benchmarks.scale import METRIC, Size, dataset_name, write_tables
from tests.views import small_view, view_from_parquet

TINY = Size(datasets=4, runs_each=5)


def test_ratios_compare_what_ran_one_after_the_other() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]).values == (2.0, 3.0)
    with pytest.raises(ValueError, match="longer"):
        ratios([1.0], [1.0, 2.0])


def test_a_spread_keeps_every_repetition() -> None:
    spread = Spread.of([3.0, 1.0, 2.0])
    expected = {"repetitions": [3.0, 1.0, 2.0], "min": 1.0, "median": 2.0, "max": 3.0}
    assert spread.to_dict() == expected


def test_a_result_file_says_how_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["bulk.py", "--work", "/a/place", "--repetitions", "2", "--out=/another"]
    monkeypatch.setattr(sys, "argv", given)
    report = Report("record.bulk", True, {"seed": 0})
    report.verdict("one: 3 times; asked 2", True)
    report.verdict("two: 1 times; asked 2", False)
    report.results["one"] = Spread.of([3.0])
    report.write(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["command"] == "python -m benchmarks.record.bulk --repetitions 2"
    assert written["verdict"] == ["met: one: 3 times; asked 2", "MISSED: two: 1 times; asked 2"]
    assert {"python", "duckdb", "numpy"} <= set(written["versions"])
    assert str(Path.home()) not in json.dumps(written["machine"])
    assert written["results"]["one"]["repetitions"] == [3.0]


def test_a_small_trial_leaves_the_results_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Report("record.absent", True, {}).write(None)
    assert "no result file" in capsys.readouterr().out
    assert not list(Path(bulk.__file__).parent.glob("results/absent*"))


def test_a_table_shows_every_row() -> None:
    lines = table([{"a": 1, "b": "x"}, {"a": 22, "b": "y"}]).splitlines()
    assert [line.split() for line in lines] == [["a", "b"], ["--", "-"], ["1", "x"], ["22", "y"]]


@pytest.mark.parametrize("shared", [True, False])
def test_every_way_in_brings_every_run(tmp_path: Path, shared: bool) -> None:
    runs, _ = write_tables(tmp_path, TINY, shared=shared)
    (tmp_path / "journals").mkdir()
    journals = tmp_path / "writing" / "journals"
    for number in range(bulk.WRITERS):
        bulk._write(runs, tmp_path / "writing", number)
    for way in ("raw", "import", "absorb"):
        (tmp_path / way).mkdir()
    bulk.raw_insert(runs, tmp_path / "raw")
    bulk.import_table(runs, tmp_path / "import", TINY.runs)
    bulk.absorb_journals(journals, tmp_path / "absorb", TINY.runs)
    with pytest.raises(RuntimeError, match="expected 21 runs"):
        bulk.absorb_journals(journals, tmp_path / "again", TINY.runs + 1)


def test_stages_of_an_answer_are_all_told(tmp_path: Path) -> None:
    store = latency.make_store(tmp_path, TINY, shared=True)
    found = stages.main(str(store), dataset_name(2), METRIC, "nearest", repeats=2)
    assert set(found["wall"]) == set(found["cpu"]) == set(stages.STAGES)
    assert {what: len(ms) for what, ms in found["warm_ms"].items()} == {
        "nothing observed": 2,
        "5 observed": 2,
    }
    assert found["torch"] == ("torch" in sys.modules)


def test_the_static_backtest_speaks_of_every_recommender(
    realdata: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static, "realdata", realdata)
    source = static.TABLES["sklearn_benchmarks"]
    found, timings = static.measure(source, ("portfolio", "random"), few=4)
    assert [one.name for one in found.measured] == ["portfolio", "random"]
    assert timings.backtest > 0
    rows = static._rows(found)
    assert rows[-1]["recommender"] == "(random order, expected)"
    assert len(rows) == 3


def test_the_dense_benchmark_judges_every_reference(
    realdata: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    realdata("autosklearn_md/runs.parquet")
    view = dense.view_of("bac_loss")
    paths = dense.measure(view.without(view.datasets[9:]), ("nearest",))
    assert set(paths.regret) == {"nearest", "random", *REFERENCES}
    assert (paths.regret["greedy"] >= 0).all()
    assert (paths.regret["greedy"][:, 1:] <= paths.regret["greedy"][:, :-1]).all()
    assert dense.worse(paths, "nearest", "nearest").tolist() == [0.0] * 5
    report = dense.Report("recommend.dense", True, {})
    dense.judge(report, {"bac_loss": paths}, "nearest", "all")
    told = "\n".join(report.verdicts)
    for other in dense.ASKED:
        assert f" of {other} over all columns" in told
    assert len(dense.summary(paths)) == len(paths.regret)


@pytest.mark.slow
def test_diverged_losses_are_measured_both_ways(realdata: Callable[[str], Path]) -> None:
    view = view_from_parquet(realdata("taskset_curves/runs.parquet"), "final_valid_loss")
    cut = diverged.measure(view, "portfolio")
    with diverged.as_recorded():
        recorded = diverged.measure(view, "portfolio")
    for left, better in (cut, recorded):
        assert left.shape == better.shape == (view.n_datasets, len(diverged.BUDGETS))
        assert (np.diff(left, axis=1) <= 0).all()
        assert 0 <= left.min() <= left.max() <= 1
    assert cut[0].mean(axis=0)[1] < recorded[0].mean(axis=0)[1]


def test_references_look_only_at_what_they_tried() -> None:
    rng = np.random.default_rng(0)
    scores, distance = rng.random((6, 8)), rng.random(6)
    truth = rng.random(8)
    for order in REFERENCES.values():
        tried = order(scores, distance, truth, 4)
        changed = truth.copy()
        changed[np.setdiff1d(np.arange(8), tried)] += 5
        assert order(scores, distance, changed, 4).tolist() == tried.tolist()
        assert len(set(order(scores, distance, truth, 99).tolist())) == 8


def test_zero_shot_leaves_folds_out_and_compares(realdata: Callable[[str], Path]) -> None:
    realdata("sklearn_benchmarks/metafeatures.parquet")
    view = zero_shot.view_of("sklearn_benchmarks")
    view = view.without(view.datasets[8:])
    found = zero_shot.measure(view, ("nearest", "portfolio"), folds=2)
    assert set(found) == {"listed", "told"}
    for paths in found.values():
        assert paths.regret["portfolio"].shape == (view.n_datasets, zero_shot.MOST)
        assert (np.diff(paths.regret["nearest"], axis=1) <= 0).all()
        first, second = zero_shot.rows_of(paths)
        assert first["against nearest"] == "+0.0 +0.0 +0.0 +0.0"
        apart = paths.regret["portfolio"][:, 0].mean() - paths.regret["nearest"][:, 0].mean()
        assert np.sign(float(second["against nearest"].split()[0])) == np.sign(round(apart, 12))


def test_a_part_of_the_past_is_as_small_as_asked() -> None:
    rng = np.random.default_rng(0)
    view = small_view(rng.random((9, 8)))
    view = replace(view, algorithms=("a0", "a1"), config_algorithms=np.arange(8) % 2)
    found = new_configs.past(view, "d3", new_configs.Part(datasets=4, configs=3))
    assert len(found.datasets) == 4
    assert "d3" not in found.datasets
    ran = set(found.cell_config.tolist())
    assert sorted(found.algorithm(c) for c in ran) == ["a0"] * 3 + ["a1"] * 3
    assert found.n_cells == 4 * 6
    again = new_configs.past(view, "d3", new_configs.Part(datasets=4, configs=3))
    assert again.cell_config.tolist() == found.cell_config.tolist()


def test_regrets_of_new_configs_lie_between_the_best_and_the_median_random_one() -> None:
    scores = {"past": [0.5, 0.9], "random search": [[0.5, 0.7], [0.6, 0.6]]}
    (part,) = new_configs.regrets({"part": scores}).values()
    assert part["past"].tolist() == pytest.approx([4 / 3, 0])
    assert part["random search"].tolist() == pytest.approx([(4 / 3 + 1) / 2, (2 / 3 + 1) / 2])
    assert new_configs.regrets({"part": {"past": [0.5], "random search": [[0.5]]}}) == {}
