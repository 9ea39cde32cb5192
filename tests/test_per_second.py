"""Choosing when time is what counts: the worth of a config, and races against the clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from metastore.types import Observation, RunStatus, canonical_json
from metastore.view import View
from recommenders import make
from recommenders.per_second import WIDTH, improvements
from recommenders.pool_recommender import PoolRecommender
from recommenders.recommender import Candidate, Recommendation
from recommenders.sessions import Belief, Choice, Step
from tests.views import view_from_parquet


@pytest.fixture(scope="module")
def view(realdata: Callable[[str], Path]) -> View:
    """Losses and measured durations of 106 pipelines on 140 datasets."""
    folder = realdata("autosklearn_md")
    return view_from_parquet(folder / "runs.parquet", "bac_loss", folder / "metafeatures.parquet")


def step_of(mean: list[float], half: list[float], risk: list[float]) -> Step:
    low, high = np.subtract(mean, half), np.add(mean, half)
    choice = Choice(np.arange(len(mean)), np.ones(1))
    return Step(choice, np.array(mean), low, high, Belief.equal(1), "x", "", np.array(risk))


@settings(deadline=None)
@given(mean=st.floats(-2, 2), scale=st.floats(1e-3, 2), best=st.floats(-2, 2))
def test_expected_improvement_is_the_integral(mean: float, scale: float, best: float) -> None:
    step = step_of([mean, mean], [scale * WIDTH / 2] * 2, [0.0, 0.5])
    points = mean + scale * np.linspace(-9, 9, 20001)
    density = norm.pdf(points, mean, scale)
    integral = np.trapezoid(np.maximum(points - best, 0) * density, points)
    found = improvements(step, best)
    assert found[0] == pytest.approx(integral, abs=1e-6)
    assert found[1] == pytest.approx(0.25 * found[0])  # it runs one time in two


def test_what_is_unknown_promises_nothing() -> None:
    step = step_of([math.nan, 0.7, 0.7], [math.nan, math.nan, 0.0], [0.0] * 3)
    np.testing.assert_allclose(improvements(step, 0.5), [0, 0.2, 0.2], atol=1e-9)


def observed_of(view: View, asked: str, n: int, seed: int = 0) -> list[Observation]:
    cells = np.flatnonzero(view.cell_dataset == view.datasets.index(asked))
    some = np.random.default_rng(seed).choice(cells, n, replace=False)
    return [
        Observation(
            view.algorithm(int(view.cell_config[c])),
            view.config(int(view.cell_config[c])),
            view.value(float(view.cell_score[c])),
            seconds=float(view.cell_seconds[c]),
        )
        for c in some
    ]


def worth(one: Recommendation, best: float) -> float:
    low, high = one.interval
    step = step_of([-one.value], [(high - low) / 2], [one.evidence.risk])
    return float(improvements(step, best)[0]) / one.seconds


def ran(view: View) -> list[Candidate]:
    """All configs of a view."""
    return [(view.algorithm(c), view.config(c)) for c in range(view.n_configs)]


@pytest.mark.parametrize("name", ["nearest", "empirical_bayes"])
def test_no_other_config_is_expected_to_be_worth_more(view: View, name: str) -> None:
    """Against all 106 weighed one by one, in the losses that users see."""
    shares = []
    for asked in view.datasets[::20]:
        one = make(name).fit(view.without([asked]))
        seen = observed_of(view, asked, 4)
        best = max(-o.value for o in seen if o.value is not None)
        pool = ran(view)
        chosen = one.recommend_within(asked, math.inf, seen, pool)
        assert chosen is not None
        everything = one.recommend(asked, seen, view.n_configs, pool)
        (again,) = one.recommend(asked, seen, 1, [(chosen.algorithm, chosen.config)])
        most = max(worth(r, best) for r in everything)
        assert chosen.seconds == pytest.approx(again.seconds)
        shares.append(worth(chosen, best) / most)
    print(shares)
    assert np.mean(shares) > 0.8  # not all are looked at


def test_what_does_not_fit_is_not_chosen(view: View) -> None:
    asked = view.datasets[3]
    one = make("nearest").fit(view.without([asked]))
    for observed in ([], observed_of(view, asked, 3)):
        everything = one.recommend(asked, observed, view.n_configs)
        seconds = sorted(r.seconds for r in everything)
        for left in (seconds[0], seconds[20], seconds[-1]):
            found = one.recommend_within(asked, left, observed)
            assert found is not None
            assert found.seconds <= left
        assert one.recommend_within(asked, 0.9 * seconds[0], observed) is None
        done = {canonical_json(o.config) for o in observed}
        assert found is not None
        assert canonical_json(found.config) not in done


def test_candidates_are_what_is_chosen_from(view: View) -> None:
    asked = view.datasets[3]
    one = make("nearest").fit(view.without([asked]))
    pool: list[Candidate] = [(r.algorithm, r.config) for r in one.recommend(asked, n=40)[30:]]
    found = one.recommend_within(asked, math.inf, candidates=pool)
    assert found is not None
    assert (found.algorithm, found.config) in pool


def test_a_past_without_durations(view: View) -> None:
    asked = view.datasets[3]
    bare = replace(view, cell_seconds=np.full(view.n_cells, np.nan))
    one = make("nearest").fit(bare.without([asked]))
    found, usual = one.recommend_within(asked, 1.0), one.recommend(asked)[0]
    assert found is not None
    assert found.config == usual.config
    assert math.isnan(found.seconds)


def test_a_config_likely_to_fail_is_worth_less(view: View) -> None:
    """Everything like what was chosen failed: the next choice is something else."""
    asked = view.datasets[3]
    one = make("nearest").fit(view.without([asked]))
    seen = observed_of(view, asked, 3)
    first = one.recommend_within(asked, math.inf, seen)
    assert first is not None
    alike = [r for r in one.recommend(asked, n=106) if r.algorithm == first.algorithm]
    failed = [Observation(r.algorithm, r.config, None, RunStatus.FAILED) for r in alike[:4]]
    next_one = one.recommend_within(asked, math.inf, [*seen, *failed])
    assert next_one is not None
    assert next_one.algorithm != first.algorithm


def race(view: View, one: PoolRecommender, asked: str, seconds: float, by_worth: bool) -> float:
    """Return the mean regret over the time, 1 until the first run has ended."""
    mine = np.flatnonzero(view.cell_dataset == view.datasets.index(asked))
    score, took = view.cell_score[mine], view.cell_seconds[mine]
    place = {view.config_texts[c]: i for i, c in enumerate(view.cell_config[mine].tolist())}
    regret = (score.max() - score) / np.ptp(score)
    pool = ran(view)
    observed: list[Observation] = []
    clock, lowest, area = 0.0, 1.0, 0.0
    while clock < seconds:
        if by_worth:
            found = one.recommend_within(asked, seconds - clock, observed, pool)
        else:
            found = next(iter(one.recommend(asked, observed, 1, pool)), None)
        if found is None:
            break
        i = place[canonical_json(found.config)]
        area += lowest * (min(clock + took[i], seconds) - clock)
        clock += float(took[i])
        if clock <= seconds:
            lowest = min(lowest, float(regret[i]))
        value = view.value(float(score[i]))
        observed.append(Observation(found.algorithm, found.config, value, seconds=float(took[i])))
    return (area + lowest * max(0.0, seconds - clock)) / seconds


def test_races_against_the_clock(view: View) -> None:
    """Real durations, the time of ten usual runs: far less regret over time than run by run."""
    by_worth, by_run = [], []
    for asked in view.datasets[5::14]:
        one = make("nearest").fit(view.without([asked]))
        mine = view.cell_dataset == view.datasets.index(asked)
        seconds = 10 * float(np.median(view.cell_seconds[mine]))
        by_worth.append(race(view, one, asked, seconds, by_worth=True))
        by_run.append(race(view, one, asked, seconds, by_worth=False))
    print(np.mean(by_worth), np.mean(by_run))
    assert np.mean(by_worth) < 0.5 * np.mean(by_run)
