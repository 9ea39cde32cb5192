"""Regrets, pools and predicted scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recommenders.encoding import Encoder, Key
from recommenders.replay import regrets
from recommenders.scores import Past
from recommenders.surrogates import OwnRuns, Surrogates, matern
from tests.views import small_view, view_from_parquet


def test_regret_is_exact_where_a_config_ran() -> None:
    scores = np.array([[1.0, 3.0, 2.0], [0.5, 0.5, 0.5]])
    past = Past.of(small_view(scores))
    assert past.default_pool.regret.tolist() == [[1.0, 0.0, 0.5], [0.0, 0.0, 0.0]]
    assert past.default_pool.known.all()


def test_failed_runs_are_the_worst_and_never_a_number() -> None:
    view = small_view([[1.0, 3.0, np.nan], [1.0, 2.0, 3.0]])
    view = replace(
        view,
        failed_dataset=np.array([0]),
        failed_config=np.array([2]),
        failed_seconds=np.array([9.0]),
    )
    table = Past.of(view).default_pool
    assert table.regret[0].tolist() == [1.0, 0.0, 1.0]
    assert table.known[0, 2]
    assert table.repeats[0, 2] == 0
    assert table.seconds[0, 2] == 9.0


def test_what_never_gave_a_score_is_in_no_pool_that_nobody_named() -> None:
    table = np.random.default_rng(0).random((3, 4))
    table[:, 2], table[0, 1] = np.nan, np.nan
    failed = {"failed_dataset": np.array([0, 1, 2, 0]), "failed_config": np.array([2, 2, 2, 1])}
    view = replace(small_view(table), **failed, failed_seconds=np.full(4, np.nan))
    past = Past.of(view)
    assert [text for _, text in past.default_pool.keys] == ['{"c":0}', '{"c":1}', '{"c":3}']
    assert (past.table((("a", '{"c":2}'),)).regret == 1).all()


def test_leaving_out_equals_starting_without() -> None:
    scores = np.random.default_rng(0).random((6, 7))
    view = replace(small_view(scores), groups={"d1": 0, "d4": 0})
    narrowed, fresh = Past.of(view).without(["d1"]), Past.of(view.without(["d1"]))
    assert narrowed.datasets == fresh.datasets == ("d0", "d2", "d3", "d5")
    assert narrowed.default_pool.regret.tolist() == fresh.default_pool.regret.tolist()
    assert narrowed.groups.tolist() == fresh.groups.tolist()


def test_too_many_configs_leave_the_best_of_each_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recommenders.scores.MAX_POOL", 8)
    monkeypatch.setattr("recommenders.scores.MAX_DENSE_CELLS", 0)
    scores = np.full((4, 40), np.nan)
    for d in range(4):
        scores[d, 10 * d : 10 * d + 10] = np.arange(10)
    pool = Past.of(small_view(scores)).default_pool
    assert sorted(text for _, text in pool.keys) == sorted(
        f'{{"c":{10 * d + i}}}' for d in range(4) for i in (8, 9)
    )


def test_surrogate_recovers_a_smooth_function() -> None:
    keys = [("a", f'{{"x":{x},"y":{y}}}') for x in np.linspace(0, 1, 12) for y in (0.0, 0.5, 1.0)]
    x = Encoder.infer(keys).encode(keys)
    truth = (x[:, 0] - 0.6) ** 2 / 0.36
    learn, ask = np.arange(0, 36, 2), np.arange(1, 36, 2)
    one = Surrogates(
        lambda _: OwnRuns([keys[i] for i in learn], truth[learn]), lambda: Encoder.infer(keys)
    )
    found = one.predict("d", tuple(keys[i] for i in ask))
    assert np.abs(found - truth[ask]).max() < 0.03


def test_matern_is_the_formula() -> None:
    left, right = np.array([[0.0, 0.0]]), np.array([[0.3, 0.4], [0.0, 0.0]])
    r = np.sqrt(5) * 0.5
    expected = [(1 + r + r**2 / 3) * np.exp(-r), 1.0]
    assert matern(left, right)[0].tolist() == pytest.approx(expected)


def test_predicted_scores_beat_the_mean_on_real_configs(realdata: Callable[[str], Path]) -> None:
    view = view_from_parquet(realdata("openml_pimp/runs_svc.parquet"), "predictive_accuracy")
    view = view.without(view.datasets[12:])
    errors = []
    for row in range(view.n_datasets):
        cells = np.flatnonzero(view.cell_dataset == row)
        keys = [
            (view.algorithm(c), str(view.config_texts[c])) for c in view.cell_config[cells].tolist()
        ]
        regret = regrets(view.cell_score[cells])
        learn, ask = np.arange(0, len(cells), 2), np.arange(1, len(cells), 2)
        runs = OwnRuns([keys[i] for i in learn], regret[learn])
        one = Surrogates(lambda _, runs=runs: runs, lambda keys=keys: Encoder.infer(keys))
        found = one.predict("d", tuple(keys[i] for i in ask))
        errors.append(((found - regret[ask]) ** 2).mean() / regret[ask].var())
    assert np.median(errors) < 0.35


def test_encoder_separates_types_and_scales() -> None:
    texts = ['{"C":0.001,"k":"rbf","n":null}', '{"C":1.0,"k":"poly","n":3}', '{"C":1000.0,"n":5}']
    keys = [("a", t) for t in texts]
    x = Encoder.infer(keys).encode(keys)
    assert x[:, 0].tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert len(np.unique(x, axis=0)) == 3
    assert Encoder.infer(keys).encode([("a", '{"C":"auto","k":"new"}')]).shape == (1, x.shape[1])


def test_a_table_put_together_is_the_one_worked_out_anew(
    realdata: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only what is new is worked out."""
    view = view_from_parquet(realdata("openml_pimp/runs_svc.parquet"), "predictive_accuracy")
    view = view.without(view.datasets[12:])
    past = Past.of(view)
    some = tuple(sorted(past.keys_of(np.arange(0, view.n_configs, 40))))
    drawn = tuple(("sklearn.SVC", f'{{"C":{c},"gamma":0.1,"kernel":"rbf"}}') for c in range(1, 9))
    past.table(some[:50] + drawn[:5])
    asked: list[int] = []
    predict = Surrogates.predict_all

    def counted(self: Surrogates, datasets: Sequence[str], keys: tuple[Key, ...]) -> np.ndarray:
        asked.append(len(keys))
        return predict(self, datasets, keys)

    monkeypatch.setattr(Surrogates, "predict_all", counted)
    pool = drawn[::-1] + some[20:60]
    found = past.table(pool)
    assert set(asked) == {3 + 10}
    fresh = Past.of(view).table(pool)
    assert found.keys == fresh.keys == pool
    assert found.known.tolist() == fresh.known.tolist()
    assert found.repeats.tolist() == fresh.repeats.tolist()
    assert np.array_equal(found.seconds, fresh.seconds, equal_nan=True)
    assert found.regret.tolist() == fresh.regret.tolist()
    points = past.surrogates.points(pool)
    assert points.tolist() == Past.of(view).surrogates.points(pool).tolist()


@pytest.mark.parametrize("at_once", [1, 250_000])
def test_predictions_together_are_those_one_by_one(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((9, 40))
    scores[rng.random(scores.shape) < 0.4] = np.nan
    scores[3, np.isfinite(scores[3])] = 0.5  # nothing to learn there
    view = small_view(scores, configs=[{"C": float(c)} for c in rng.random(40)])
    keys = tuple(sorted(Past.of(view).keys_of(np.arange(40))))
    alone, together = Past.of(view).surrogates, Past.of(view).surrogates
    expected = [alone.predict(name, keys) for name in view.datasets]
    monkeypatch.setattr("recommenders.surrogates.AT_ONCE", at_once)
    first = together.predict_all(view.datasets[2:4], keys)
    found = together.predict_all(view.datasets, keys)
    np.testing.assert_allclose(found, expected, atol=1e-11)
    assert (first == found[2:4]).all()
    assert together.predict_all((), keys).shape == (0, 40)
