"""Distances, weights, support, and what observations do to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recommenders
from metastore.types import Observation
from recommenders.agreement import DEGREES, LOGISTIC, NOISE, explain, improving
from recommenders.distances import Scaling, Support, distances, kernel_weights, squash
from recommenders.recommender import AskedTask
from recommenders.scores import Past
from recommenders.sessions import Case, Seen
from tests.contracts.recommender_contract import example, observations
from tests.views import meta_features, small_view


def test_distances_skip_what_one_side_lacks() -> None:
    one = np.array([0.0, 1.0, np.nan, 2.0])
    many = np.array([[1.0, 1.0, 5.0, 0.0], [0.0, np.nan, np.nan, 3.0], [np.nan] * 4])
    assert distances(one, many).tolist() == pytest.approx([1.0, 0.5, np.nan], nan_ok=True)


def test_too_little_in_common_is_no_distance() -> None:
    one, many = np.array([0.0] + [np.nan] * 3), np.zeros((1, 4))
    assert np.isnan(distances(one, many)).all()


def test_scaling_ignores_units_and_what_never_varies() -> None:
    values = np.array([[1.0, 7.0, 1e3], [2.0, 7.0, 1e6], [3.0, 7.0, 1e9]])
    z = Scaling.fit(values)(values)
    assert np.isnan(z[:, 1]).all()
    assert z[1, [0, 2]].tolist() == pytest.approx([0.0, 0.0])
    assert np.abs(squash(100 * z[:, [0, 2]])).max() < 3


def test_weights_fall_with_distance_and_never_to_nothing() -> None:
    weights = kernel_weights(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 9.0, np.nan]))
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights[:6]) < 0).all()
    assert weights[-1] == pytest.approx(0.1 / 7)
    assert kernel_weights(np.full(3, np.nan)).tolist() == pytest.approx([1 / 3] * 3)
    assert kernel_weights(np.zeros(2)).tolist() == pytest.approx([0.5, 0.5])


def test_support_turns_away_what_is_far_and_little_else(realdata: Callable[[str], Path]) -> None:
    meta = meta_features(realdata("autosklearn_md/metafeatures.parquet"))
    keys = [tuple(row) for row in meta.values[:, :3]]
    groups = np.array([keys.index(key) for key in keys])
    support = Support.fit(meta.values, groups)
    turned_away = 0
    for row in range(len(meta.values)):
        others = groups != groups[row]
        inner = Support.fit(meta.values[others], groups[others])
        turned_away += not inner.covers(meta.values[row])
    assert turned_away <= 0.03 * len(meta.values)
    assert not support.covers(meta.values[0] * 1e9 + 1e9)


def test_out_of_support_is_the_portfolio_and_says_so() -> None:
    view = example()
    far = AskedTask("far", np.full(4, 1e12))
    near, cover = (recommenders.make(n).fit(view) for n in ("nearest", "portfolio"))
    found, plain = near.recommend(far, n=6), cover.recommend(far, n=6)
    assert [r.config for r in found] == [r.config for r in plain]
    assert all(r.evidence.abstained for r in found)
    assert "past datasets lie within" in found[0].evidence.note
    assert not near.recommend("d0")[0].evidence.abstained


def test_without_meta_features_it_is_the_portfolio() -> None:
    view = small_view(example().matrix())
    near, cover = (recommenders.make(n).fit(view) for n in ("nearest", "portfolio"))
    found = near.recommend("d0", n=6)
    assert [r.config for r in found] == [r.config for r in cover.recommend("d0", n=6)]
    assert found[0].evidence.abstained


def test_first_config_is_the_best_of_the_twin() -> None:
    rng = np.random.default_rng(0)
    meta = rng.normal(size=(12, 3))
    scores = rng.random((12, 20))
    asked = AskedTask("new", meta[4] + 1e-6)
    (found,) = recommenders.make("nearest").fit(small_view(scores, meta=meta)).recommend(asked)
    heaviest = found.evidence.neighbours[0]
    assert heaviest.dataset == "d4"
    assert heaviest.distance < 1e-4


def case_of(scores: np.ndarray, columns: list[int], seen: list[float]) -> Case:
    past = Past.of(small_view(scores))
    taken = np.zeros(scores.shape[1], bool)
    taken[columns] = True
    weights = np.full(len(scores), 1 / len(scores))
    return Case(
        "new",
        past.default_pool,
        past.spread,
        weights,
        Seen(np.array(columns), np.array(seen), taken),
    )


def test_weights_are_the_formula() -> None:
    scores = np.random.default_rng(1).random((4, 6))
    case = case_of(scores, [0, 2, 5], [0.3, 0.8, 0.1])
    mixture = explain(case)
    logs = {}
    order = np.sort(case.spread)
    for d in range(4):
        for b in {order[int((i + 0.5) / 5 * 4)] for i in range(5)}:
            p = 1 - case.table.regret[d, [0, 2, 5]]
            y = np.array([0.3, 0.8, 0.1])
            ssr = (((y - y.mean()) / b - (p - p.mean())) ** 2).sum()
            power = (DEGREES + 2) / 2
            copies = sum(order[int((i + 0.5) / 5 * 4)] == b for i in range(5))
            logs[d, b] = copies * 0.25 * b**-2 * (DEGREES * NOISE**2 + ssr) ** -power
    total = sum(logs.values())
    expected = [sum(v for (d, _), v in logs.items() if d == k) / total for k in range(4)]
    assert mixture.datasets.tolist() == pytest.approx(expected)


def test_logistic_noise_gives_softplus() -> None:
    rng = np.random.default_rng(0)
    scale, mean = LOGISTIC * 0.3, 0.1
    drawn = np.maximum(0, mean + rng.logistic(scale=scale, size=400_000)).mean()
    assert drawn == pytest.approx(scale * np.logaddexp(0, mean / scale), rel=0.01)
    assert rng.logistic(scale=scale, size=400_000).std() == pytest.approx(0.3, rel=0.01)


def test_a_dataset_that_agrees_gains_weight() -> None:
    scores = np.random.default_rng(2).random((8, 10))
    mixture = explain(case_of(scores, list(range(5)), (scores[3, :5] - 0.4).tolist()))
    assert mixture.datasets.argmax() == 3
    assert mixture.datasets[3] > 0.8
    alone = explain(case_of(scores, [1], [0.7]))
    assert alone.datasets.tolist() == pytest.approx([1 / 8] * 8)


def test_improving_takes_the_twins_best_of_what_is_left() -> None:
    scores = np.random.default_rng(3).random((8, 10))
    scores[3, 8] = 1.2
    case = case_of(scores, [0, 1, 2, 3, 4], scores[3, :5].tolist())
    mixture = explain(case)
    assert mixture.datasets[3] > 0.8
    assert improving(case, mixture, 1).tolist() == [8]
    assert sorted(improving(case, mixture, 99).tolist()) == [5, 6, 7, 8, 9]


def test_level_and_spread_of_the_task_do_not_matter() -> None:
    view = example()
    one = recommenders.make("nearest").fit(view.without(["d0"]))
    seen = observations(view, "d0", [1, 5, 9])
    shifted = [replace(o, value=o.value - 0.3) for o in seen if o.value is not None]
    found = [one.recommend("d0", told, n=3) for told in (seen, shifted)]
    assert [r.config for r in found[0]] == [r.config for r in found[1]]
    assert [r.value for r in found[1]] == pytest.approx([r.value - 0.3 for r in found[0]])


def test_adapt_can_be_switched_off() -> None:
    view = example()
    seen = [Observation("a", {"c": c}, v) for c, v in ((0, 0.9), (1, 0.1), (2, 0.2))]
    static = recommenders.make("nearest", adapt=False).fit(view.without(["d0"]))
    other = [replace(o, value=1 - o.value) for o in seen if o.value is not None]
    first, second = static.recommend("d0", seen, n=3), static.recommend("d0", other, n=3)
    assert [r.config for r in first] == [r.config for r in second]


def test_what_has_other_meta_features_than_the_past_is_not_said_to_have_none() -> None:
    near = recommenders.make("nearest").fit(example())
    (found,) = near.recommend(AskedTask("new", np.full(4, np.nan)))
    assert found.evidence.note.startswith("no past dataset has its meta-features")
    (found,) = near.recommend(AskedTask("new"))
    assert found.evidence.note.startswith("no meta-features of new")
