"""Expected durations: against the sums written out, by leaving real datasets out, and bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metastore.types import Observation, RunStatus
from metastore.view import FloatArray, View
from recommenders import make
from recommenders.durations import AGAIN, MACHINE, OFF_DIAGONAL, PENALTIES, Durations, Ridge, Took
from recommenders.pool_recommender import PoolRecommender
from recommenders.recommender import AskedTask
from recommenders.scores import Past
from tests.views import view_from_parquet

FEW = 40


@pytest.fixture(scope="module")
def view(realdata: Callable[[str], Path]) -> View:
    """Losses and measured durations of 106 pipelines on 140 datasets."""
    folder = realdata("autosklearn_md")
    return view_from_parquet(folder / "runs.parquet", "bac_loss", folder / "metafeatures.parquet")


@pytest.fixture(scope="module")
def forecasters(realdata: Callable[[str], Path]) -> View:
    """Losses and durations of DeepAR on 11 datasets, each with configs of its own."""
    path = realdata("blackbox_geoalgo") / "runs_DeepAR.parquet"
    return view_from_parquet(path, "CRPS")


def learned(view: View) -> Durations:
    found = Durations.of(Past.of(view))
    assert found is not None
    return found


def logs_of(view: View, asked: str) -> tuple[list[tuple[str, dict[str, object]]], FloatArray]:
    cells = np.flatnonzero(view.cell_dataset == view.datasets.index(asked))
    configs = view.cell_config[cells].tolist()
    return [(view.algorithm(c), view.config(c)) for c in configs], np.log(view.cell_seconds[cells])


def error(view: View, asked: str, observed: int = 0, usual: bool = False) -> float:
    """Return the root mean squared error of expected logarithms on a dataset that is left out."""
    pool, truth = logs_of(view, asked)
    if usual:
        rest = view.without([asked])
        return float(np.sqrt(np.mean((truth - np.log(rest.cell_seconds).mean()) ** 2)))
    one = make("best_on_average").fit(view.without([asked]))
    places = np.random.default_rng(0).permutation(len(pool))
    seen, rest = places[:observed], places[observed:]
    told = [Observation(*pool[i], 0.5, seconds=float(np.exp(truth[i]))) for i in seen]
    expected = seconds_of(one, asked, told, [pool[i] for i in rest])
    return float(np.sqrt(np.mean((truth[rest] - np.log(expected)) ** 2)))


def seconds_of(
    one: PoolRecommender, asked: str, told: list[Observation], pool: list[tuple[str, dict]]
) -> FloatArray:
    found = one.recommend(asked, told, len(pool), pool)
    by_config = {repr(sorted(r.config.items())): r.seconds for r in found}
    return np.array([by_config[repr(sorted(config.items()))] for _, config in pool])


def test_a_past_that_adds_up_is_found_again() -> None:
    """Levels and effects without noise: every duration of a new dataset follows from one run."""
    rng = np.random.default_rng(0)
    levels, effects = rng.normal(size=FEW), rng.normal(size=7)
    texts = tuple(f'{{"depth":{i}}}' for i in range(7))
    at, config = (part.ravel() for part in np.indices((FEW, 7)))
    seconds = np.exp(levels[at] + effects[config])
    view = View(
        metric="loss",
        higher_is_better=False,
        datasets=tuple(f"d{i:02}" for i in range(FEW)),
        algorithms=("tree",),
        config_algorithms=np.zeros(7, dtype=np.int64),
        config_texts=texts,
        cell_dataset=at,
        cell_config=config,
        cell_score=rng.normal(size=len(at)),
        cell_seconds=seconds,
        cell_repeats=np.ones(len(at), dtype=np.int64),
    )
    found = learned(view)
    table = found.past.default_pool
    order = [int(text[9:-1]) for _, text in table.keys]
    truth = np.exp(2.0 + effects[order])
    told = found.expected(AskedTask("new"), table, Took.of({3: (float(truth[3]), False)}))
    assert np.abs(np.log(told / truth)).max() < 0.15  # a run counts for as much as AGAIN allows
    unseen = found.expected(AskedTask("new"), table, Took.of({}))
    assert np.log(unseen / truth).std() < 0.05  # the level apart, effects are known


def test_conditioning_is_that_of_a_gaussian(view: View) -> None:
    """Against the dense formula, with the covariance put together element by element."""
    found = learned(view.without(["askl_1019"]))
    table, task = found.past.default_pool, AskedTask("askl_1019", view.meta.of("askl_1019"))
    before = np.log(found.expected(task, table, Took.of({})))
    variance = found._level_of(task)[1] + MACHINE
    effect = found._effects(table)
    residual = np.log(table.seconds) - found.level[:, None] - effect
    count, pool = residual.shape
    covariance = np.empty((pool, pool))
    for i in range(pool):
        for j in range(pool):
            shared = float(residual[:, i] @ residual[:, j]) / count
            covariance[i, j] = variance + OFF_DIAGONAL * shared
        squares = float(residual[:, i] @ residual[:, i])
        own = max((squares + 5 * found.rest) / (count + 5), squares / count)
        covariance[i, i] = variance + own
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    columns, told = np.array([4, 50, 99]), np.array([3.0, 0.2, 40.0])
    gram = covariance[np.ix_(columns, columns)] + AGAIN * np.eye(3)
    gain = covariance[:, columns] @ np.linalg.inv(gram) @ (np.log(told) - before[columns])
    took = Took.of({c: (t, False) for c, t in zip(columns.tolist(), told.tolist(), strict=True)})
    after = np.log(found.expected(task, table, took))
    np.testing.assert_allclose(after, before + gain, atol=1e-8)
    unknown = found.expected(task, table, Took.of({4: (np.nan, False), 50: (0.0, False)}))
    np.testing.assert_array_equal(np.log(unknown), before)


def test_the_penalty_leaves_least_error_out() -> None:
    """The closed form against fitting anew without each of the points."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(25, 40))
    values = points[:, :3] @ [1.0, -2.0, 0.5] + rng.normal(size=25)

    def left_out(penalty: float) -> float:
        errors = []
        for i in range(25):
            rest = np.arange(25) != i
            centre, mean = points[rest].mean(axis=0), values[rest].mean()
            inner = points[rest] - centre
            gram = inner.T @ inner + penalty * np.eye(40)
            weights = np.linalg.solve(gram, inner.T @ (values[rest] - mean))
            errors.append(values[i] - mean - (points[i] - centre) @ weights)
        return float(np.mean(np.square(errors)))

    every = [left_out(float(penalty)) for penalty in PENALTIES]
    fitted = Ridge.fit(points, values)
    assert fitted.variance == pytest.approx(min(every), rel=1e-6)
    centre = points.mean(axis=0)
    inner = points - centre
    gram = inner.T @ inner + PENALTIES[int(np.argmin(every))] * np.eye(40)
    weights = np.linalg.solve(gram, inner.T @ (values - values.mean()))
    np.testing.assert_allclose(fitted.weights, weights, atol=1e-8)
    expected, _ = fitted.predict(points[0])
    assert expected == pytest.approx(values.mean() + float(inner[0] @ weights))


def test_datasets_that_are_left_out(view: View) -> None:
    """Meta-features tell the level, own runs tell more: errors fall from step to step."""
    asked = view.datasets[5::20]
    usual = np.mean([error(view, one, usual=True) for one in asked])
    before = np.mean([error(view, one) for one in asked])
    bare = np.mean([error(replace(view, meta=type(view.meta).empty()), one) for one in asked])
    after = [np.mean([error(view, one, k) for one in asked]) for k in (1, 4, 16)]
    print(usual, bare, before, after)
    assert before < 0.8 * usual
    assert before < bare < usual
    assert after[2] < after[1] < before
    assert after[2] < 0.9 * before


def test_configs_that_never_ran_take_what_those_around_them_do(forecasters: View) -> None:
    """No config of the pool ran anywhere else: hyperparameters tell most of its duration."""
    asked = forecasters.datasets
    usual = np.mean([error(forecasters, one, usual=True) for one in asked])
    before = np.mean([error(forecasters, one) for one in asked])
    after = np.mean([error(forecasters, one, 10) for one in asked])
    print(usual, before, after)
    assert before < 0.7 * usual
    assert after < 0.95 * before


def test_runs_that_did_not_end_are_bounds(view: View) -> None:
    """A whole run takes at least as long; where that was expected anyway nothing is news."""
    asked = view.datasets[3]
    one = make("portfolio").fit(view.without([asked]))
    pool, _ = logs_of(view, asked)
    usual = seconds_of(one, asked, [], pool)

    def expected(seconds: float | None, value: float | None, status: RunStatus) -> FloatArray:
        told = Observation(*pool[0], value, status, seconds)
        return seconds_of(one, asked, [told], pool[1:])

    long, short = 100 * usual[0], 0.01 * usual[0]
    slower = expected(long, 0.5, RunStatus.COMPLETED)
    assert np.median(slower / usual[1:]) > 1
    for status in (RunStatus.TIMEOUT, RunStatus.FAILED):
        np.testing.assert_array_equal(expected(long, None, status), slower)
        np.testing.assert_array_equal(expected(short, None, status), usual[1:])
    np.testing.assert_array_equal(expected(short, 0.5, RunStatus.PRUNED), usual[1:])
    assert np.median(expected(short, 0.5, RunStatus.COMPLETED) / usual[1:]) < 1
    for nothing in (None, 0.0, float("nan")):
        np.testing.assert_array_equal(expected(nothing, 0.5, RunStatus.COMPLETED), usual[1:])
    np.testing.assert_array_equal(expected(long, None, RunStatus.RUNNING), usual[1:])


def test_past_failures_are_bounds(view: View) -> None:
    """A config that fails at once everywhere is not quick; one that times out is slow."""
    asked = view.datasets[3]
    cells = np.flatnonzero(view.cell_config != 5)
    gone = np.flatnonzero(view.cell_config == 5)

    def with_failures(seconds: float) -> FloatArray:
        failing = replace(
            view,
            cell_dataset=view.cell_dataset[cells],
            cell_config=view.cell_config[cells],
            cell_score=view.cell_score[cells],
            cell_seconds=view.cell_seconds[cells],
            cell_repeats=view.cell_repeats[cells],
            failed_dataset=view.cell_dataset[gone],
            failed_config=view.cell_config[gone],
            failed_seconds=np.full(len(gone), seconds),
        )
        one = make("portfolio").fit(failing.without([asked]))
        return seconds_of(one, asked, [], [(view.algorithm(5), view.config(5))])

    unknown, at_once, late = (float(with_failures(s)[0]) for s in (np.nan, 1e-3, 1e4))
    assert at_once == pytest.approx(unknown, rel=0.3)
    assert late > 100 * unknown


def test_another_machine(view: View) -> None:
    """A machine ten times as slow as those of the past shows after a few runs."""
    shares = []
    for asked in view.datasets[3::20]:
        one = make("portfolio").fit(view.without([asked]))
        pool, truth = logs_of(view, asked)
        told = [Observation(*pool[i], 0.5, seconds=float(np.exp(truth[i]))) for i in range(8)]
        slow = [replace(one, seconds=10 * one.seconds) for one in told if one.seconds]
        as_usual, as_slow = (seconds_of(one, asked, runs, pool[8:]) for runs in (told, slow))
        shares.append(np.median(np.log10(as_slow / as_usual)))
    print(shares)
    assert 0.6 < np.mean(shares) <= 1.05


def test_durations_are_learned_once_by_whoever_is_asked(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` compares several recommenders by backtests: none of those needs durations."""
    learned_of: list[int] = []
    learn = Durations.of
    monkeypatch.setattr(
        Durations, "of", lambda past: learned_of.append(len(past.datasets)) or learn(past)
    )
    asked = view.datasets[3]
    one = make("auto").fit(view.without([asked]))
    assert learned_of == []
    assert one.recommend(asked)[0].seconds > 0
    one.recommend(asked)
    assert one.recommend_within(asked, 60.0) is not None
    assert learned_of == [len(view.without([asked]).datasets)]


def test_one_dataset_with_durations(view: View) -> None:
    """The least there can be: nothing tells how datasets differ, so own runs count at once."""
    only = view.datasets[7]
    seconds = view.cell_seconds.copy()
    seconds[view.cell_dataset != 7] = np.nan
    asked = view.datasets[3]
    one = make("portfolio").fit(replace(view, cell_seconds=seconds).without([asked]))
    pool, truth = logs_of(view, only)
    expected = np.log(seconds_of(one, asked, [], pool))
    assert np.isfinite(expected).all()
    assert np.corrcoef(expected, truth)[0, 1] > 0.9
    tenfold = Observation(*pool[0], 0.5, seconds=float(10 * np.exp(expected[0])))
    slower = np.log(seconds_of(one, asked, [tenfold], pool[1:])) - expected[1:]
    assert 0.5 * np.log(10) < np.median(slower) <= np.log(10)
