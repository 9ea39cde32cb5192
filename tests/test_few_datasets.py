"""Few past datasets: what is left to how alike configs are, and how much of the runs is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import recommenders
from metastore.view import View
from recommenders.bayes_mixture import LOGISTIC, Posterior
from recommenders.cells import surrogates_of
from recommenders.empirical_bayes import FEW, FEW_KINDS, PREDICTED_KINDS, EmpiricalBayes, Lesson
from recommenders.forecast import Calibration
from recommenders.recommender import AskedTask
from recommenders.replay import Answers, best_so_far, random_regret, replay, seen_of
from recommenders.scores import Past
from recommenders.sessions import Case
from recommenders.surrogates import Surrogates
from recommenders.uncovered import Uncovered
from tests.views import small_view, view_from_parquet

RealData = Callable[[str], Path]


@pytest.fixture
def forests(realdata: RealData) -> View:
    """Random forests: every dataset has configs of its own."""
    return view_from_parquet(
        realdata("openml_pimp/runs_random_forest.parquet"), "predictive_accuracy"
    )


def first(view: View, n: int) -> View:
    return view.without(view.datasets[n:])


def lesson(view: View, weights: np.ndarray | None = None) -> Lesson:
    """Return what is learned of a pool of 40 configs of the first dataset."""
    past = Past.of(view)
    recommender = EmpiricalBayes().fit_past(past)
    keys = past.keys_of(np.sort(view.cell_config[view.cell_dataset == 0])[:40])
    table = past.table(tuple(sorted(keys)))
    weights = np.full(view.n_datasets, 1 / view.n_datasets) if weights is None else weights
    seen = seen_of([], np.zeros(40))
    return recommender.lessons(Case("new", table, past.spread, weights, seen, past.best)).whole


def test_much_is_left_to_the_encoding_where_datasets_are_few(forests: View) -> None:
    few, many = lesson(first(forests, FEW)), lesson(first(forests, FEW + 1))
    assert few.kinds is FEW_KINDS
    assert few.prior.features is not None
    assert many.kinds is PREDICTED_KINDS
    assert many.prior.features is None


def test_lengthscales_are_the_weighted_geometric_mean_of_those_that_learned() -> None:
    lengths = {"a": [0.5, 2.0], "b": [2.0, 0.5], "flat": [1.0, 1.0]}
    surrogates = Surrogates(cast(Any, None), cast(Any, None))
    for name, some in lengths.items():
        scale = 0.0 if name == "flat" else 1.0
        one = SimpleNamespace(lengthscales=np.array(some), scale=scale)
        surrogates._fitted[name] = cast(Any, one)
    found = surrogates.lengthscales(["a", "b", "flat"], np.array([0.3, 0.1, 0.6]))
    assert found is not None
    assert found == pytest.approx([0.5**0.75 * 2**0.25, 2**0.75 * 0.5**0.25])
    assert surrogates.lengthscales(["flat"], np.ones(1)) is None
    assert surrogates.lengthscales(["a", "flat"], np.array([0.0, 1.0])) is None


def test_a_dataset_without_weight_does_not_say_what_is_alike(forests: View) -> None:
    weights = np.full(6, 0.2)
    weights[0] = 0
    with_it = lesson(first(forests, 6), weights)
    scores = forests.cell_score.copy()
    scores[forests.cell_dataset == 0] = np.random.default_rng(0).permutation(
        scores[forests.cell_dataset == 0]
    )
    other = View(**{**vars(forests), "cell_score": scores})
    again = lesson(first(other, 6), weights)
    assert with_it.prior.rows.tolist() == [1, 2, 3, 4, 5]
    assert np.array_equal(cast(Any, with_it.prior.features), cast(Any, again.prior.features))


def test_the_fewer_datasets_the_more_of_each_is_read(realdata: RealData) -> None:
    trees = view_from_parquet(realdata("blackbox_geoalgo/runs_XGBoost.parquet"), "error")
    read = {n: len(surrogates_of(first(trees, n)).own(trees.datasets[0]).keys) for n in (1, 5, 10)}
    assert read[1] == read[5] == 1_500
    assert 1_400 < read[10] < 1_500


@pytest.mark.slow
def test_a_single_past_dataset_helps_and_does_not_bind(
    forests: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against random order and a list of its best, each of six alone; 25 configs on eight more."""
    monkeypatch.setattr(EmpiricalBayes, "calibration", lambda _: Calibration((), ()))
    ours, fixed, chance = [], [], []
    for name in forests.datasets[:6]:
        past = Past.of(forests.without([other for other in forests.datasets if other != name]))
        fitted = [recommenders.make(kind).fit_past(past) for kind in ("auto", "portfolio")]
        for asked in forests.datasets[40:48]:
            answers = Answers.of(forests, asked)
            table = past.table(answers.keys)
            for one, kept in zip(fitted, (ours, fixed), strict=True):
                columns = replay(one.session(AskedTask(asked), table), answers, 25).columns
                kept.append(best_so_far(answers.regret, columns, 25).mean())
            chance.append(random_regret(answers.regret, 25).mean())
    assert np.mean(ours) < 0.7 * np.mean(chance)
    assert np.mean(ours) < 0.6 * np.mean(fixed)


def cell(view: View, columns: list[int]) -> Case:
    """Return a case of the first dataset over the others' configs, some of them observed."""
    past = Past.of(view.without(view.datasets[:1]))
    table = past.default_pool
    score = np.linspace(0.5, 0.9, len(table.keys))
    weights = np.full(len(past.datasets), 1 / len(past.datasets))
    return Case("new", table, past.spread, weights, seen_of(columns, score), past.best)


@pytest.mark.parametrize(("datasets", "thin"), [(FEW, True), (FEW + 1, False)])
def test_real_runs_of_few_datasets_are_not_relied_on_alone(datasets: int, thin: bool) -> None:
    rng = np.random.default_rng(0)
    view = small_view(rng.random((datasets + 1, 12)))
    case = cell(view, [3])
    one = EmpiricalBayes().fit_past(Past.of(view.without(view.datasets[:1])))
    assert one.lessons(case).whole.thin == thin


def test_what_is_left_to_gain_on_past_datasets() -> None:
    """By hand: sum over datasets of weight, spread and how far below the best regret so far."""
    rng = np.random.default_rng(1)
    case = cell(small_view(rng.random((5, 9))), [2, 6])
    left = np.array([0, 1, 4, 8])
    found = Uncovered.of(case, left)
    regret = case.table.regret

    def gain(column: int, tried: list[int]) -> float:
        return sum(
            case.weights[d] * case.spread[d] * max(0.0, regret[d, tried].min() - regret[d, column])
            for d in range(4)
        )

    assert found.gains() == pytest.approx([gain(c, [2, 6]) for c in left.tolist()])
    assert found.after(1).gains() == pytest.approx([gain(c, [2, 6, 1]) for c in left.tolist()])


def test_half_of_a_gain_is_what_is_gained_there() -> None:
    rng = np.random.default_rng(2)
    deviation, ahead = rng.random((3, 7)), rng.normal(size=(3, 7))
    posterior = Posterior(np.array([0.5, 0.3, 0.2]), ahead, deviation, np.ones(2))
    uncovered = Uncovered(np.array([0.2, 0.8]), np.array([0.9, 0.4]), rng.random((2, 7)))
    scale = LOGISTIC * deviation
    hoped = posterior.weight @ (scale * np.logaddexp(0, ahead / scale))
    for share in (0.0, 0.5, 1.0):
        order = posterior.improvements(1, None, uncovered, share)
        assert order[0] == np.argmax((1 - share) * hoped + share * uncovered.gains())
    two = posterior.improvements(2, None, uncovered, 1.0)
    rest = uncovered.after(int(two[0])).gains()
    rest[two[0]] = -np.inf
    assert two[1] == np.argmax(rest)
