"""The backtest: regrets by hand, the same answers as through `recommend`, and honesty."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommenders
from metastore.errors import InvalidInputError, UnknownNameError
from metastore.types import Observation, RunStatus
from recommenders.backtest import backtest
from recommenders.replay import Answers, best_so_far, random_regret, regrets
from tests.contracts.recommender_contract import example
from tests.processes import ROOT
from tests.views import small_view, view_from_parquet


def test_regret_by_hand() -> None:
    score = np.array([0.2, 0.6, np.nan, 1.0])
    assert regrets(score).tolist() == pytest.approx([1.0, 0.5, 1.0, 0.0])
    path = best_so_far(regrets(score), np.array([2, 0, 1]), 5)
    assert path.tolist() == pytest.approx([1.0, 1.0, 0.5, 0.5, 0.5])
    assert regrets(np.full(3, np.nan)).tolist() == [1.0, 1.0, 1.0]
    assert regrets(np.full(3, 0.5)).tolist() == [0.0, 0.0, 0.0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 8))
def test_random_regret_is_the_mean_over_all_orders(values: list[float], budget: int) -> None:
    from itertools import permutations  # noqa: PLC0415

    regret = np.array(values)
    paths = [
        best_so_far(regret, np.array(order[:budget]), budget)
        for order in permutations(range(len(values)))
    ]
    assert random_regret(regret, budget) == pytest.approx(np.mean(paths, axis=0))


def by_hand(name: str, budget: int) -> np.ndarray:
    """Drive a recommender through its public face only, fitted on a view without the dataset."""
    view = example()
    out = []
    for row, dataset in enumerate(view.datasets):
        scores = view.matrix()[row]
        one = recommenders.make(name, seed=0).fit(view.without([dataset]))
        observed: list[Observation] = []
        best = []
        pool = [("a", {"c": c}) for c in range(view.n_configs)]
        for _ in range(budget):
            (found,) = one.recommend(dataset, observed, n=1, candidates=pool)
            value = float(scores[found.config["c"]])
            observed.append(Observation("a", found.config, value))
            best.append(max(o.value for o in observed if o.value is not None))
        out.append((scores.max() - np.array(best)) / np.ptp(scores))
    return np.array(out)


@pytest.mark.parametrize("name", recommenders.names())
def test_same_answers_as_through_recommend(name: str) -> None:
    result = backtest(example(), [name], budget=5, repeats=1)
    assert result.measured[0].regret == pytest.approx(by_hand(name, 5))


def test_several_processes_find_the_same() -> None:
    view = replace(example(), groups={"d0": 3, "d2": 3})
    done: list[tuple[int, int]] = []
    names = ["random", "auto"]
    alone = backtest(view, names, budget=5, jobs=1)
    shared = backtest(view, names, budget=5, jobs=2, progress=lambda *at: done.append(at))
    assert done[-1] == (len(shared.datasets),) * 2
    assert shared.datasets == alone.datasets
    assert shared.groups.tolist() == alone.groups.tolist()
    for one, other in zip(shared.measured, alone.measured, strict=True):
        assert one.name == other.name
        assert one.regret.tolist() == other.regret.tolist()
        assert (one.held, one.intervals) == (other.held, other.intervals)
    assert shared.random.tolist() == alone.random.tolist()
    assert shared.single.tolist() == alone.single.tolist()


def test_processes_are_started_where_much_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = backtest(example(), ["nearest"], budget=3)
    monkeypatch.setattr("recommenders.backtest.PAYS_SECONDS", 0.0)
    asked = []
    monkeypatch.setattr("joblib.cpu_count", lambda: asked.append(True) or 2)
    shared = backtest(example(), ["nearest"], budget=3)
    assert asked
    assert shared.measured[0].regret.tolist() == alone.measured[0].regret.tolist()


SLOW = """
import os, sys, time
from joblib import Parallel, delayed

def slow(pids, parent):
    from recommenders.backtest import _end_with
    _end_with(parent)
    with open(pids, "a") as file:
        print(os.getpid(), file=file)
    time.sleep(60)

Parallel(n_jobs=2)(delayed(slow)(sys.argv[1], os.getpid()) for _ in range(2))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that lost its parent knows it here")
def test_no_process_is_left_behind_by_one_that_was_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(script), str(pids)], cwd=ROOT, env=environment
    ) as process:
        until = time.monotonic() + 60
        while not pids.exists() or len(pids.read_text().split()) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        process.kill()
    until = time.monotonic() + 20
    for pid in map(int, pids.read_text().split()):
        while is_alive(pid):
            assert time.monotonic() < until
            time.sleep(0.1)


def is_alive(pid: int) -> bool:
    """Whether a process is there, and not waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_processes_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="jobs: expected a positive number"):
        backtest(example(), ["nearest"], jobs=0)


def test_near_duplicates_are_left_out_together_and_counted_as_one_draw() -> None:
    scores = np.random.default_rng(0).random((6, 5))
    scores[1] = scores[0]
    twins = small_view(scores, meta=np.arange(12.0).reshape(6, 2))
    alone = backtest(twins, ["nearest"], budget=1)
    together = backtest(replace(twins, groups={"d0": 7, "d1": 7}), ["nearest"], budget=1)
    assert alone.measured[0].regret[0, 0] <= together.measured[0].regret[0, 0]
    assert together.groups.tolist() == [0, 0, 1, 2, 3, 4]
    row = together.rows()[0]
    values = together.measured[0].regret[:, 0]
    sums = [values[:2].sum() - 2 * values.mean(), *(values[2:] - values.mean())]
    error = np.sqrt(5 / 4 * np.square(sums).sum()) / 6
    assert row["se@1"] == pytest.approx(100 * error)


def test_result_speaks_json_and_knows_its_baselines() -> None:
    result = backtest(example(), ["random", "best_on_average", "portfolio"], budget=4, repeats=40)
    told = json.loads(json.dumps(result.to_dict()))
    random, best, cover = told["recommenders"]
    assert random["regret@4"] == pytest.approx(told["random"]["4"], rel=0.25)
    assert best["regret@1"] == pytest.approx(told["single"])
    assert best["gain_over_single"] == pytest.approx(told["single"] - best["regret@4"])
    assert cover["gain_over_random"] == pytest.approx(told["random"]["4"] - cover["regret@4"])
    assert 0 <= cover["harmed"] <= 1
    assert told["groups"] == 9


def test_failed_runs_are_tried_and_cost_a_step() -> None:
    view = small_view([[0.1, 0.9, np.nan], [0.1, 0.5, 0.9], [0.2, 0.6, 0.9]])
    view = replace(
        view,
        failed_dataset=np.array([0]),
        failed_config=np.array([2]),
        failed_seconds=np.array([np.nan]),
    )
    answers = Answers.of(view, "d0")
    assert answers.regret.tolist() == [1.0, 0.0, 1.0]
    result = backtest(view, ["portfolio"], budget=2)
    assert result.measured[0].regret[0].tolist() == [1.0, 0.0]
    assert RunStatus.FAILED


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    backtest(example(), ["random"], budget=1, progress=lambda *at: told.append(at))
    assert told == [(i, 9) for i in range(1, 10)]


def test_wrong_inputs() -> None:
    with pytest.raises(InvalidInputError, match="at least two configs"):
        backtest(small_view([[0.1, 0.2]]), ["random"])
    with pytest.raises(InvalidInputError, match="budget"):
        backtest(example(), ["random"], budget=0)
    with pytest.raises(UnknownNameError, match="no recommender"):
        backtest(example(), ["rando"])


@pytest.mark.slow
def test_nearest_beats_the_portfolio_on_real_runs(realdata: Callable[[str], Path]) -> None:
    view = view_from_parquet(
        realdata("autosklearn_md/runs.parquet"),
        "bac_loss",
        realdata("autosklearn_md/metafeatures.parquet"),
    )
    rows = {r["recommender"]: r for r in backtest(view, ["portfolio", "nearest"]).rows()}
    for k in (1, 3, 5, 10, 25):
        assert rows["nearest"][f"regret@{k}"] < rows["portfolio"][f"regret@{k}"]
    assert rows["nearest"]["regret@1"] < 7.5
    assert rows["nearest"]["regret@25"] < 1.3
    assert 0.7 < rows["nearest"]["coverage"] < 0.92
