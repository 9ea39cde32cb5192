"""The harness of peers, and collecting and asking end to end, at a tiny size; no times."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metastore
from benchmarks.recommend import (
    collect,
    curves,
    deep_speed,
    end_to_end,
    geoalgo,
    own_configs,
    refreshed,
    training,
)
from benchmarks.recommend.ledger import Ledger, code_version
from benchmarks.recommend.optuna_peers import PEERS, OptunaPeer, RandomPeer
from benchmarks.recommend.own_methods import Recommended, methods
from benchmarks.recommend.own_tables import PARTS, SOURCES, Table, cut, grouped, part_of
from benchmarks.results import Report
from metastore.view import View
from recommenders.scores import Past
from tests.views import small_view, view_from_parquet

BUDGET = 8


@pytest.fixture(scope="module")
def svc(realdata: Callable[[str], Path]) -> Table:
    source = SOURCES["svc"]
    view = view_from_parquet(realdata(source.runs), source.metric, realdata(source.metafeatures))
    return cut("svc", view.without(view.datasets[12:]), source.default)


def test_folds_keep_near_duplicates_together_and_nothing_leaks(svc: Table) -> None:
    asked = [task.name for fold in svc.folds for task in fold.tasks]
    assert sorted(asked) == sorted(svc.view.datasets)
    for fold in svc.folds:
        names = {task.name for task in fold.tasks}
        groups = {svc.groups[name] for name in names}
        assert not groups & {svc.groups[name] for name in fold.past.datasets}
        assert len(names) + len(fold.past.datasets) == svc.view.n_datasets
        assert set(fold.histories) == set(fold.past.datasets)
        assert all(set(task.near) == set(fold.past.datasets) for task in fold.tasks)


def test_parts_ask_about_other_tasks_and_learn_from_the_same(svc: Table) -> None:
    asked = {
        part: {task.name for fold in part_of(svc, part).folds for task in fold.tasks}
        for part in PARTS
    }
    names = sorted(svc.view.datasets)
    assert asked["development"] == {*names[0::5], *names[1::5]}
    assert asked["untouched"] == set(names) - asked["development"]
    assert asked["all"] == set(names)
    pasts = {fold.number: fold.past for fold in svc.folds}
    assert all(fold.past is pasts[fold.number] for fold in part_of(svc, "untouched").folds)


def test_deep_kernels_are_timed_on_as_many_datasets_and_runs_as_said(svc: Table) -> None:
    past = Past.of(svc.view)
    tables = deep_speed.tables_of(past, 5, 20)
    assert [(len(points), len(scores)) for points, scores in tables] == [(20, 20)] * 5
    for method in deep_speed.METHODS:
        assert deep_speed.seconds(past, method, (5, 20), 2)["processor"] > 0


def test_a_refresh_is_compared_on_tasks_that_no_state_has_seen(svc: Table) -> None:
    fold = svc.folds[0]
    now, before = refreshed.pasts(svc, fold, 6)
    asked = {task.name for task in fold.tasks}
    assert len(set(now.datasets) - set(before.datasets)) == 1
    assert set(before.datasets) <= set(now.datasets) <= set(svc.view.datasets) - asked
    found = refreshed.compare("maml", now, before, fold, 8)
    assert found["steps"]["refreshed"] < found["steps"]["scratch"] == 8


def shaped(rows: list[float]) -> View:
    meta = np.array([[r, 5.0, 2.0] for r in rows])
    view = small_view(np.zeros((len(rows), 2)), meta=meta)
    names = ("NumberOfInstances", "NumberOfFeatures", "NumberOfClasses")
    return replace(view, meta=replace(view.meta, names=names))


def test_equal_shapes_join_the_groups_of_the_store() -> None:
    view = shaped([100.0, 200.0, 100.0, 300.0, 400.0])
    found = grouped(replace(view, groups={"d1": 0, "d2": 0}))
    assert found["d0"] == found["d1"] == found["d2"]
    assert len({found["d0"], found["d3"], found["d4"]}) == 3


def test_the_default_is_the_config_of_the_pool_nearest_to_the_librarys(svc: Table) -> None:
    for task in svc.folds[0].tasks:
        assert task.config(task.default)["kernel"] == "rbf"
        point = svc.space.encode([task.config(7)])[0]
        assert task.nearest(point, []) == 7
        assert task.nearest(point, [7]) != 7


@pytest.mark.parametrize("peer", PEERS[:2], ids=lambda peer: peer.name)
def test_peers_without_a_past_start_from_the_default(
    svc: Table, peer: RandomPeer | OptunaPeer
) -> None:
    fold, task = svc.folds[0], svc.folds[0].tasks[0]
    peer.fit(fold, 0)
    columns = peer.run(task, 0, BUDGET)
    assert columns[0] == task.default
    assert len(set(columns)) == BUDGET
    assert columns == peer.run(task, 0, BUDGET)
    assert columns != peer.run(task, 1, BUDGET)


@pytest.mark.parametrize("name", ["nearest", "copula", "rgpe"])
def test_recommenders_are_asked_about_the_pool(svc: Table, name: str) -> None:
    method = Recommended(name)
    method.fit(svc.folds[0], 0)
    columns = method.run(svc.folds[0].tasks[0], 0, BUDGET)
    assert len(set(columns)) == BUDGET


def test_the_ledger_goes_on_where_it_was(tmp_path: Path, svc: Table) -> None:
    ledger = Ledger.at(tmp_path)
    peer = methods()["random"]
    assert not own_configs.measure(ledger, [svc], [peer], 2, time.monotonic() - 1)
    assert not ledger.tried
    assert own_configs.measure(ledger, [svc], [peer], 2, time.monotonic() + 60)
    with ledger.path.open("a") as file:
        file.write('{"method": "torn')
    again = Ledger.at(tmp_path)
    assert again.tried == ledger.tried
    assert len(again.tried) == 2 * svc.view.n_datasets
    size = ledger.path.stat().st_size
    assert own_configs.measure(again, [svc], [peer], 2, time.monotonic() - 1)
    assert ledger.path.stat().st_size < size + 1
    (found,) = curves.curves(again, svc, [peer], 5, 50)
    assert found.seeds == 2
    assert found.regret.shape == (svc.view.n_datasets, 50)
    assert (np.diff(found.mean) <= 1e-12).all()


def test_all_are_compared_on_the_tasks_that_all_went_through(tmp_path: Path, svc: Table) -> None:
    ledger = Ledger.at(tmp_path)
    one, other, late = (RandomPeer(name=name) for name in ("one", "other", "late"))
    own_configs.measure(ledger, [svc], [one, other], 1, time.monotonic() + 60)
    names = [task.name for fold in svc.folds for task in fold.tasks]
    del ledger.tried["other", "1", "svc", names[3], 0]
    ledger.add(("late", "1", "svc", names[0], 0), [0], 0.0)
    found = curves.curves(ledger, svc, [one, other, late], 5, 50)
    assert [curve.name for curve in found] == ["one", "other"]
    assert {len(curve.regret) for curve in found} == {len(names) - 1}


def test_a_version_follows_the_code_that_a_method_uses() -> None:
    assert code_version("recommenders.rgpe") != code_version("recommenders.copula")
    assert Recommended("rgpe").version == code_version("recommenders.rgpe")


def curve(name: str, transfer: bool, means: list[float]) -> curves.Curve:
    regret = np.tile(np.array(means), (3, 1))
    return curves.Curve(name, transfer, 1, regret, np.arange(3), 0.0)


def test_verdicts_say_what_was_reached(capsys: pytest.CaptureFixture[str]) -> None:
    slow = np.linspace(1, 0.02, 50).tolist()
    quick = [1.0] * 9 + [0.3] * 15 + [0.001] * 26
    found = [
        curve("optuna TPE", False, slow),
        curve("rgpe", True, np.linspace(1, 0.01, 50).tolist()),
        curve("auto", True, quick),
    ]
    name, target = curves.target_of(found)
    assert (name, target) == ("optuna TPE", slow[24])
    report = Report("recommend.own_configs", True, {})
    curves.judge(report, "svc", found)
    assert report.verdicts[0].startswith("met: svc: auto reaches 0.5200 after 10 trials, 40%")
    assert "MISSED: svc: auto at 5" in "\n".join(report.verdicts)
    assert "met: svc: auto at 10" in "\n".join(report.verdicts)
    assert [row["method"] for row in curves.rows(found)] == ["auto", "rgpe", "optuna TPE"]
    capsys.readouterr()


def test_scores_of_the_published_protocol(realdata: Callable[[str], Path]) -> None:
    assert geoalgo.score(np.zeros((2, 3)), np.full((2, 3), 0.3)) == 1
    assert geoalgo.score(np.full((1, 2), 0.3), np.array([[0.3, 0.0]])) == 0
    realdata("blackbox_geoalgo/runs_DeepAR.parquet")
    view = geoalgo.load("DeepAR")
    paths, _, random = geoalgo.distances(view, ["portfolio", "random"], 1, 3, few=1)
    assert paths["portfolio"].shape == random.shape == (1, 3)
    assert geoalgo.score(paths["portfolio"], random) > 0
    assert view.higher_is_better is False


def test_collecting_goes_on_where_it_was(tmp_path: Path, realdata: Callable[[str], Path]) -> None:
    realdata("pmlb/index.csv")
    names = training.names(asked=False)
    assert not set(names) & set(training.names(asked=True))
    store = metastore.open(tmp_path)
    first = training.cells(names[0])
    assert first is not None
    assert collect.collect(store, iter([first]), 1, time.monotonic() - 1) == 0
    assert collect.collect(store, iter([first]), 1, time.monotonic() + 60) == 4
    assert collect.collect(store, iter([first]), 1, time.monotonic() + 60) == 0
    assert len(collect.done(store)) == 4
    view = store.view("balanced_accuracy")
    assert view.n_cells == 4
    assert first.name in view.meta


def test_arms_share_a_clock_and_are_compared_at_it(tmp_path: Path) -> None:
    slow = end_to_end.Trace((1.0, 3.0), (0.5, 0.9), 0.8)
    quick = end_to_end.Trace((0.5, 1.0, 2.0), (0.4, 0.7, 0.7), 0.6)
    traces = {"headstart": slow, "run by run": slow, "random": quick, "optuna TPE": quick}
    assert slow.best(0.9) is None
    assert end_to_end.regret(traces, "headstart", 0.9) == 1
    assert end_to_end.regret(traces, "random", 1.0) == pytest.approx(0.4)
    assert end_to_end.regret(traces, "headstart", 3.0) == 0
    found = end_to_end.summary({"a": traces, "b": traces}, 4.0)
    assert found["headstart"]["tables better, equal, worse than random"] == [2, 0, 0]
    path = tmp_path / "traces.jsonl"
    rows = {"table": "a", "traces": {arm: trace.__dict__ for arm, trace in traces.items()}}
    path.write_text(json.dumps(rows) + "\n")
    assert end_to_end._read(path) == {"a": traces}


def test_every_arm_proposes_configs_of_the_spaces(realdata: Callable[[str], Path]) -> None:
    realdata("pmlb/index.csv")
    table = next(t for name in training.names(asked=True) if (t := training.cells(name)))
    for arm in ("random", "optuna TPE"):
        dialogue = end_to_end.ARMS[arm](Path(), table, lambda: 1.0)
        choice = next(dialogue)
        for score in np.linspace(0.1, 0.9, 12):
            assert training.SPACES[choice[0]].contains(choice[1])
            choice = dialogue.send(float(score))
