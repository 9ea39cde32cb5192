"""The learned ranking: grades, what it learns, how far it is followed, and who needs what."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recommenders
from metastore.errors import MissingDependencyError
from recommenders.moved_rows import regrets_of
from recommenders.rank_model import GRADES, Lists, relevance
from recommenders.ranker import Ranker, lists_of
from recommenders.recommender import AskedTask
from recommenders.replay import Answers, seen_of
from recommenders.scores import Past
from recommenders.tasks import resolve
from tests.contracts.recommender_contract import example, observations
from tests.views import small_view, view_from_parquet

D, C = 40, 30


def turning(seed: int = 0, datasets: int = D) -> tuple[np.ndarray, np.ndarray]:
    """Meta-features of which the second says where among the configs the good ones are."""
    rng = np.random.default_rng(seed)
    meta = rng.normal(size=(datasets, 3))
    peak = 0.4 + 0.3 * np.tanh(2 * meta[:, 1:2])
    scores = -np.abs(np.linspace(0, 1, C) - peak) + 0.03 * rng.normal(size=(datasets, C))
    return meta, scores


def test_grades_halve_quantiles_and_stop() -> None:
    grades = relevance(np.linspace(0, 1, 1024))
    assert grades[0] == GRADES
    assert (np.diff(grades) <= 0).all()
    assert [int((grades >= g).sum()) for g in (2, 4, 6)] == [512, 256, 128]
    assert relevance(np.array([0.4, 0.4])).tolist() == [2, 2]


def test_ranks_become_regrets_of_the_curve() -> None:
    scores = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 5.0]])
    found = regrets_of(scores, np.array([0.1, 0.4, 0.8]))
    assert found.tolist() == [[0.1, 0.8, 0.4], [0.4, 0.8, 0.1]]


def test_the_model_ranks_by_configs_and_meta_features() -> None:
    meta, scores = turning()
    points = np.linspace(0, 1, C)[:, None]
    best = scores.max(axis=1, keepdims=True)
    lists = Lists([points] * D, list(best - scores), meta)
    model = lists.model(np.arange(D), seed=0)
    found = model.scores(points, np.array([[0.0, 1.5, 0.0], [0.0, -1.5, 0.0]]))
    assert found.shape == (2, C)
    assert found.argmax(axis=1).tolist() == pytest.approx([20, 3], abs=3)
    again = lists.model(np.arange(D), seed=0).scores(points, np.array([[0.0, 1.5, 0.0]]))
    assert again[0].tolist() == found[0].tolist()
    other = lists.model(np.arange(D), seed=1).scores(points, np.array([[0.0, 1.5, 0.0]]))
    assert other[0].tolist() != found[0].tolist()


def test_lists_do_not_depend_on_the_order_of_recording() -> None:
    view = small_view(example().matrix().round(1), meta=example().meta.values)
    order = np.random.default_rng(0).permutation(view.n_configs)
    mixed = small_view(
        view.matrix()[:, order],
        meta=view.meta.values,
        configs=[view.config(int(c)) for c in order],
    )
    first, second = (lists_of(Past.of(one), np.empty((9, 0))) for one in (view, mixed))
    for a, b in zip(first.points, second.points, strict=True):
        assert a.tolist() == b.tolist()


def test_what_proved_true_is_followed_and_noise_less() -> None:
    meta, scores = turning()
    noise = np.random.default_rng(1).normal(size=scores.shape)
    true, false = (Ranker().fit(small_view(s, meta=meta)) for s in (scores, noise))
    assert 0 <= false.share < true.share <= 0.75
    assert true.share > 0.4


def test_rows_are_moved_by_the_share_and_stay_regrets() -> None:
    meta, scores = turning()
    one = Ranker().fit(small_view(scores, meta=meta))
    ranking, table = one._ranking, one.past.default_pool
    assert ranking is not None
    weights = np.full(D, 1 / D)
    asked = one._scaled(np.array([0.0, 1.5, 0.0]))
    still = replace(ranking, share=0.0).moved(table, weights, asked)
    assert still.regret.tolist() == table.regret.tolist()
    moved = ranking.moved(table, weights, asked).regret
    assert moved.min() >= 0
    assert moved.max() <= 1
    change = (moved - table.regret).mean(axis=0)
    assert change[18:23].mean() < 0 < change[:6].mean()


def test_first_is_the_best_guess() -> None:
    meta, scores = turning()
    one = recommenders.make("ranker").fit(small_view(scores, meta=meta))
    for side, good in ((1.5, range(17, 24)), (-1.5, range(7))):
        found = one.recommend(AskedTask("new", np.array([0.0, side, 0.0])), n=3)
        assert found[0].config["c"] in good


@pytest.mark.parametrize("meta_features", [None, np.full(4, np.nan), np.full(4, 1e12)])
def test_without_meta_features_or_support_it_is_the_portfolio(
    meta_features: np.ndarray | None,
) -> None:
    view, task = example(), AskedTask("new", meta_features)
    ours, cover = (recommenders.make(n).fit(view) for n in ("ranker", "portfolio"))
    found, plain = ours.recommend(task, n=6), cover.recommend(task, n=6)
    assert [r.config for r in found] == [r.config for r in plain]
    assert found[0].evidence.abstained


def test_few_datasets_are_nearest() -> None:
    view = example()
    view = view.without(view.datasets[5:])
    ours, near = (recommenders.make(n).fit(view) for n in ("ranker", "nearest"))
    task = AskedTask("new", view.meta.values[2] + 0.1)
    found, expected = ours.recommend(task, n=6), near.recommend(task, n=6)
    assert [r.config for r in found] == [r.config for r in expected]


def test_once_scores_are_seen_it_is_nearest() -> None:
    meta, scores = turning()
    view = small_view(scores, meta=meta)
    ours, near = (recommenders.make(n).fit(view.without(["d0"])) for n in ("ranker", "nearest"))
    first = [[r.config for r in one.recommend("d0", n=5)] for one in (ours, near)]
    assert first[0] != first[1]
    seen = observations(view, "d0", [3, 17])
    found = [[r.config for r in one.recommend("d0", seen, n=5)] for one in (ours, near)]
    assert found[0] == found[1]


def test_without_lightgbm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingDependencyError, match=r"headstart\[rank\]"):
        recommenders.make("ranker", model="lightgbm").fit(example())


def test_where_every_dataset_has_its_own_configs(realdata: Callable[[str], Path]) -> None:
    view = view_from_parquet(
        realdata("openml_pimp/runs_svc.parquet"),
        "predictive_accuracy",
        realdata("openml_pimp/metafeatures.parquet"),
    )
    view = view.without(view.datasets[15:])
    name = view.datasets[0]
    past, answers = Past.of(view).without([name]), Answers.of(view, name)
    session = Ranker().fit_past(past).session(resolve(name, past.view), past.table(answers.keys))
    columns = session.step(seen_of([], answers.score), 10).choice.columns
    assert len(set(columns.tolist())) == 10
    assert answers.regret[columns].min() < np.median(answers.regret)
