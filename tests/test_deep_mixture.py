"""The mixture on a learned kernel: what it learns, when, and what it does without."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recommenders
from metastore.errors import InvalidInputError
from metastore.types import Observation
from metastore.view import View
from recommenders.bayes_mixture import Conditioned
from recommenders.deep_mixture import DEEP_KINDS, DeepMixture
from recommenders.empirical_bayes import FEW_KINDS, EmpiricalBayes
from recommenders.recommender import Recommendation
from recommenders.scores import Past
from recommenders.sessions import Case, Seen
from recommenders.surrogates import matern
from tests.views import small_view, view_from_parquet

torch = pytest.importorskip("torch")

from recommenders.learned_kernel import Subsets, learn  # noqa: E402 - needs torch
from recommenders.surrogate_training import Plan  # noqa: E402

RUNS = 30


def own(datasets: int, shared: bool = False) -> View:
    """Datasets with configs of their own; far from the middle is good, on either side alike."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(1 if shared else datasets, RUNS))
    texts = [{"x": float(value)} for value in x.ravel()]
    scores = np.full((datasets, x.size), np.nan)
    for d in range(datasets):
        mine = slice(0, RUNS) if shared else slice(RUNS * d, RUNS * (d + 1))
        scores[d, mine] = (1 + 0.3 * rng.random()) * np.abs(x[0 if shared else d]) ** 1.5
    meta = rng.normal(size=(datasets, 2))
    return small_view(scores, configs=texts, meta=meta)


def told(view: View, dataset: str, count: int) -> list[Observation]:
    row = view.datasets.index(dataset)
    cells = np.flatnonzero(view.cell_dataset == row)[:count]
    return [
        Observation("a", view.config(int(view.cell_config[c])), float(view.cell_score[c]))
        for c in cells
    ]


def asked(one: EmpiricalBayes, view: View) -> list[Recommendation]:
    return one.fit(view.without(["d0"])).recommend("d0", told(view, "d0", 4), n=3)


def configs(found: list[Recommendation]) -> list[float]:
    return [r.config["x"] for r in found]


def waves() -> list[tuple[np.ndarray, np.ndarray]]:
    points = np.linspace(-1, 1, 40)[:, None]
    return [(points, np.abs(points[:, 0]) ** power) for power in np.linspace(0.5, 2, 9)]


def test_configs_that_scored_alike_on_past_datasets_are_alike() -> None:
    kernel = learn(waves(), Plan(300))
    features = kernel.features(np.array([[-0.8], [0.8], [0.0]]))
    alike = matern(features, features)
    assert alike[0, 1] > 0.8 > alike[0, 2]


def test_level_and_scale_of_a_dataset_do_not_matter() -> None:
    changed = [(points, (3.0 + i) * scores - i) for i, (points, scores) in enumerate(waves())]
    found = [learn(some, Plan(20)).features(waves()[0][0]) for some in (waves(), changed)]
    alike = [matern(features, features) for features in found]
    np.testing.assert_allclose(alike[0], alike[1], atol=0.02)


def test_episodes_are_of_2_to_50_runs_and_depend_on_their_number_alone() -> None:
    tables = [(torch.tensor(x).float(), torch.tensor(y).float()) for x, y in waves()]
    sampler = Subsets(tables, 3)
    one, again, other = sampler.sample(5, 64), sampler.sample(5, 64), sampler.sample(6, 64)
    assert torch.equal(one.support.x, again.support.x)
    assert not torch.equal(one.support.x, other.support.x)
    rows = one.support.mask.sum(1) + one.query.mask.sum(1)
    assert rows.min() >= 2
    assert rows.max() == 40  # as many as a dataset has
    assert (one.query.mask.sum(1) >= 1).all()


def test_what_was_learned_is_kept_by_what_it_was_learned_from(tmp_path: Path) -> None:
    first = learn(waves(), Plan(20, cache=tmp_path))
    (kept,) = tmp_path.glob("*.json")
    before = kept.stat().st_mtime_ns
    second = learn(waves(), Plan(20, cache=tmp_path))
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    assert kept.stat().st_mtime_ns == before
    learn([(points, -scores) for points, scores in waves()], Plan(20, cache=tmp_path))
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_components_take_for_alike_what_the_kernel_does() -> None:
    view = own(20)
    one = DeepMixture(iterations=20).fit_past(Past.of(view.without(["d0"])))
    keys = tuple(sorted(one.past.keys_of(one.past.own(3)[0])))
    table, kernel = one.past.table(keys), one.kernel(spoilt=False)
    seen = Seen(np.empty(0, np.int64), np.empty(0), np.zeros(len(keys), dtype=bool))
    weights = np.full(len(one.past.datasets), 1 / len(one.past.datasets))
    case = Case("new", table, one.past.spread, weights, seen, one.past.best)
    lesson = one.lessons(case).whole
    assert kernel is not None
    assert lesson.kinds is DEEP_KINDS
    features = kernel.features(one.past.surrogates.points(keys))
    first, others = np.array([0]), np.arange(5)
    expected = matern(features[first], features[others])
    np.testing.assert_allclose(lesson.prior.likeness(first, others, learned=True), expected)
    columns, scores = np.array([1, 4, 6]), np.array([0.2, 0.9, 0.5])
    found = [
        Conditioned(lesson.prior, kinds, columns, scores).posterior(np.array([0])).ahead
        for kinds in (DEEP_KINDS, tuple(replace(kind, learned=False) for kind in DEEP_KINDS))
    ]
    assert abs(found[0] - found[1]).max() > 1e-3


def test_two_of_a_kind_agree_on_a_learned_kernel_too() -> None:
    view = own(20)
    first, second = (asked(DeepMixture(iterations=20), view) for _ in range(2))
    assert repr(first) == repr(second)
    other = DeepMixture(iterations=20)
    asked(other, view)
    assert other.kernel(spoilt=False) is not None


@pytest.mark.parametrize("view", [own(12), own(20, shared=True)], ids=["few", "shared"])
def test_where_there_is_nothing_to_learn_it_is_the_mixture(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "recommenders.learned_kernel", None)
    assert not DeepMixture().fit_past(Past.of(view)).learns
    assert configs(asked(DeepMixture(), view)) == configs(asked(EmpiricalBayes(), view))


def test_nothing_is_learned_before_there_is_a_score() -> None:
    view = own(20)
    one = DeepMixture().fit(view.without(["d0"]))
    assert isinstance(one, DeepMixture)
    assert one.recommend("d0", n=2)
    assert not one._kernels


def test_without_torch_every_question_with_a_score_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "recommenders.learned_kernel", None)
    view = own(20)
    one = DeepMixture().fit(view.without(["d0"]))
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="install headstart"):
            one.recommend("d0", told(view, "d0", 4))


def test_steps_must_not_be_negative() -> None:
    with pytest.raises(InvalidInputError, match="iterations"):
        recommenders.make("deep_mixture", iterations=-1)


@pytest.mark.slow
def test_scores_below_the_median_count_as_the_median_where_most_are_hopeless(
    realdata: Callable[[str], Path],
) -> None:
    """On support vector machines the kernel is that of the upper half, and is used for it alone."""
    view = view_from_parquet(
        realdata("openml_pimp/runs_svc.parquet"),
        "predictive_accuracy",
        realdata("openml_pimp/metafeatures.parquet"),
    )
    past = Past.of(view.without(view.datasets[30:]))
    one = DeepMixture(iterations=20).fit_past(past)
    keys = past.keys_of(past.own(0)[0][:40])
    table = past.table(tuple(sorted(keys)))
    seen = Seen(np.empty(0, np.int64), np.empty(0), np.zeros(40, dtype=bool))
    weights = np.where(np.arange(len(past.datasets)) == 0, 0, 1 / (len(past.datasets) - 1))
    found = one.lessons(Case("new", table, past.spread, weights, seen, past.best))
    assert found.whole.kinds is FEW_KINDS
    assert found.upper is not None
    assert found.upper.kinds is DEEP_KINDS
    assert found.upper.prior.features is not None
    assert set(one._kernels) == {True}


def test_a_damaged_cache_is_learned_anew(tmp_path: Path) -> None:
    plan = Plan(5, cache=tmp_path)
    first = learn(waves(), plan)
    (tensors,) = tmp_path.glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:100])
    with pytest.warns(UserWarning, match="learned anew"):
        second = learn(waves(), plan)
    points = waves()[0][0]
    assert np.array_equal(first.features(points), second.features(points))
    third = learn(waves(), plan)  # without a warning: the file is whole again
    assert np.array_equal(first.features(points), third.features(points))


def test_a_surrogate_within_torchrun_learns_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody says that all processes ask: waiting for them could last for ever."""

    def waits(*_: object) -> None:
        raise AssertionError("it waits for the other process")

    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.distributed.init_process_group", waits)
    assert np.isfinite(learn(waves(), Plan(2)).features(waves()[0][0])).all()
