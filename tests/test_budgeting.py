"""Batches within a time, on real durations; and batches for workers that run at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metastore
from metastore.errors import InvalidInputError
from metastore.types import Observation, RunStatus, canonical_json
from metastore.view import View
from recommenders import Question, ask, make
from recommenders.asking import own_runs
from recommenders.budgeting import (
    MOST,
    Budget,
    Plan,
    own_scale,
    parse_duration,
    plan,
)
from recommenders.explaining import as_json, in_words
from recommenders.pool_recommender import PoolRecommender
from recommenders.recommender import Candidate
from recommenders.replay import Answers
from tests.commands import RunIt
from tests.views import view_from_parquet


@pytest.fixture(scope="module")
def view(realdata: Callable[[str], Path]) -> View:
    """Losses and measured durations of 106 pipelines on 140 datasets."""
    folder = realdata("autosklearn_md")
    return view_from_parquet(folder / "runs.parquet", "bac_loss", folder / "metafeatures.parquet")


def fitted(view: View, name: str, asked: str) -> PoolRecommender:
    return make(name).fit(view.without([asked]))


def planned(one: PoolRecommender, asked: str, seconds: float, **options: object) -> Plan:
    observed = options.pop("observed", ())
    return plan(
        one,
        asked,
        observed,  # type: ignore[arg-type]
        Budget(seconds, **options),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("45s", 45), ("10m", 600), ("10min", 600), ("1h30m", 5400), ("1.5h", 5400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10x", "-5m", "0", "1 2", "10mm", "nan", "1e999"])
def test_what_is_no_duration_is_said(text: str) -> None:
    with pytest.raises(InvalidInputError, match="budget: expected"):
        parse_duration(text)


def test_a_batch_keeps_to_its_time(view: View) -> None:
    asked = view.datasets[3]
    one = fitted(view, "nearest", asked)
    everything = one.recommend(asked, n=view.n_configs)
    total = sum(r.seconds for r in everything)
    for share in (0.1, 0.4, 0.8):
        found = planned(one, asked, total * share)
        assert 0 < found.seconds <= total * share
        assert found.seconds == pytest.approx(sum(r.seconds for r in found.recommendations))
        keys = [canonical_json(r.config) for r in found.recommendations]
        assert len(set(keys)) == len(keys)
    assert len(planned(one, asked, 2 * total).recommendations) == MOST
    assert len(planned(one, asked, 2 * total, most=3).recommendations) == 3


def test_a_time_too_short_for_anything(view: View) -> None:
    asked = view.datasets[3]
    found = planned(fitted(view, "nearest", asked), asked, 1e-9)
    assert found.recommendations == ()


def test_a_batch_of_its_worth_a_second_beats_one_by_rank(view: View) -> None:
    """Over many datasets, by real durations: within a hundredth of the time of all configs."""
    by_worth, by_rank = [], []
    for asked in view.datasets[::7]:
        one = fitted(view, "portfolio", asked)
        answers = Answers.of(view, asked)
        regret = dict(zip(answers.keys, answers.regret, strict=True))
        mine = view.cell_dataset == view.datasets.index(asked)
        keys = [(view.algorithm(c), view.config_texts[c]) for c in view.cell_config[mine].tolist()]
        took = dict(zip(keys, view.cell_seconds[mine].tolist(), strict=True))
        budget = 0.01 * sum(took.values())
        chosen = planned(one, asked, budget).recommendations
        for batch, out in ((chosen, by_worth), (one.recommend(asked, n=50), by_rank)):
            left, best = budget, 1.0
            for key in ((r.algorithm, canonical_json(r.config)) for r in batch):
                left -= took.get(key, 0.0)
                if left >= 0 and key in regret:
                    best = min(best, float(regret[key]))
            out.append(best)
    print(np.mean(by_worth), np.mean(by_rank))
    assert np.mean(by_worth) <= 0.7 * np.mean(by_rank)


def test_few_configs_in_much_time_need_not_be_quick(view: View) -> None:
    """Where time is no matter three configs are the three best guesses; where it is, quick ones."""
    shares = []
    for asked in view.datasets[::28]:
        one = fitted(view, "portfolio", asked)
        total = sum(r.seconds for r in one.recommend(asked, n=view.n_configs))
        long, short = (planned(one, asked, share * total, most=3) for share in (10.0, 1e-4))
        best = {canonical_json(r.config) for r in one.recommend(asked, n=16)}
        shares.append(np.mean([canonical_json(r.config) in best for r in long.recommendations]))
        assert long.seconds > 20 * short.seconds
    print(shares)
    assert np.mean(shares) > 0.9


@pytest.mark.parametrize("name", ["portfolio", "auto"])
def test_where_time_does_not_matter_a_batch_is_what_is_recommended_without_one(
    view: View, name: str
) -> None:
    asked = view.datasets[3]
    one = fitted(view, name, asked)
    longest = max(r.seconds for r in one.recommend(asked, n=view.n_configs))
    found = planned(one, asked, 5.0 * longest, most=5)
    assert [r.config for r in found.recommendations] == [
        r.config for r in one.recommend(asked, n=5)
    ]
    assert found.ample
    assert not planned(one, asked, 0.01 * longest, most=5).ample
    first = one.recommend_within(asked, 5.0 * longest, most=5)
    assert first is not None
    assert first.config == found.recommendations[0].config


def test_durations_are_scaled_by_the_datasets_own(view: View) -> None:
    """A machine three times as slow shows in its own runs; the plan counts on it."""
    asked = view.datasets[3]
    one = fitted(view, "nearest", asked)
    pool = one.recommend(asked, n=6)
    slow = [Observation(r.algorithm, r.config, r.value, seconds=3 * r.seconds) for r in pool[:3]]
    assert own_scale(one, asked, slow) == pytest.approx(3.0)
    found = planned(one, asked, 1e9, observed=slow, most=2)
    assert found.scale == pytest.approx(3.0)
    first = found.recommendations[0]
    before, after = (
        next(r for r in one.recommend(asked, seen, view.n_configs) if r.config == first.config)
        for seen in ([], slow)
    )
    assert first.seconds == pytest.approx(after.seconds)
    assert 1.5 < after.seconds / before.seconds < 5
    untimed = [replace(o, seconds=None) for o in slow]
    assert own_scale(one, asked, untimed) == 1.0


def test_unknown_durations_are_said(view: View) -> None:
    asked = view.datasets[3]
    bare = replace(view, cell_seconds=np.full(view.n_cells, np.nan))
    found = planned(fitted(bare, "nearest", asked), asked, 10.0, most=4)
    assert math.isnan(found.seconds)
    assert len(found.recommendations) == 4 == found.guessed
    some = view.cell_seconds.copy()
    some[view.cell_config % 2 == 0] = np.nan
    half = replace(view, cell_seconds=some)
    found = planned(fitted(half, "nearest", asked), asked, 1e9, most=6)
    assert math.isfinite(found.seconds)
    assert 0 < found.guessed < 6


def test_asking_with_a_budget(small_store: Path, headstart: RunIt) -> None:
    store = metastore.open(small_store)
    question = Question("accuracy", "", None, "portfolio", as_new=True, budget_seconds=1e6)
    answer = ask(store, "wine", question=question)
    assert answer.plan is not None
    assert len(answer.recommendations) == 50
    said = " ".join(in_words(answer))
    assert "chosen by what each is expected to be worth a second".capitalize() in said
    ample = in_words(ask(store, "wine", question=replace(question, n=5)))
    assert any("There is time enough for what is best a run: 5 configs" in one for one in ample)
    assert as_json(answer)["expected_seconds"] == pytest.approx(answer.plan.seconds)
    shown = headstart("recommend", "wine", "--as-new", "--budget", "1h", "--json")
    assert shown.status == 0
    assert 0 < shown.json["expected_seconds"] <= 3600
    assert len(headstart("recommend", "wine", "--as-new", "--json").json["recommendations"]) == 5
    tiny = headstart("recommend", "wine", "--as-new", "--budget", "0.000001s")
    assert "Nothing to recommend fits into the budget" in tiny.out
    wrong = headstart("recommend", "wine", "--budget", "soon")
    assert wrong.status == 2
    assert "90s, 10m, 1h30m" in wrong.err


@pytest.mark.parametrize("seen", [0, 6])
def test_a_batch_for_workers_that_run_at_once_is_diverse(view: View, seen: int) -> None:
    """Four recommended at once leave past datasets less uncovered than the four best guesses."""
    rng = np.random.default_rng(0)
    losses = view.matrix() * -1
    regret = (losses - np.nanmin(losses, axis=1, keepdims=True)) / np.ptp(
        losses, axis=1, keepdims=True
    )
    column = {canonical_json(view.config(c)): c for c in range(view.n_configs)}
    pool: list[Candidate] = [(view.algorithm(c), view.config(c)) for c in range(view.n_configs)]
    batch, top = [], []
    for asked in view.datasets[::10]:
        own = own_runs(view, asked)
        observed = [own[i] for i in rng.choice(len(own), seen, replace=False)]
        ranked = fitted(view, "nearest", asked).recommend(asked, observed, view.n_configs, pool)
        guesses = sorted(ranked, key=lambda r: r.value)
        for four, out in ((ranked[:4], batch), (guesses[:4], top)):
            columns = [column[canonical_json(r.config)] for r in four]
            out.append(regret[:, columns].min(axis=1).mean())
    assert np.mean(batch) < 0.9 * np.mean(top)


@pytest.mark.parametrize("name", ["auto", "nearest", "portfolio", "best_on_average", "random"])
def test_a_batch_neither_repeats_nor_tries_again(view: View, name: str) -> None:
    asked = view.datasets[0]
    own = own_runs(view, asked)[:5]
    found = fitted(view, name, asked).recommend(asked, own, 8)
    keys = {canonical_json(r.config) for r in found}
    assert len(keys) == 8
    assert not keys & {canonical_json(o.config) for o in own}


def test_running_configs_are_left_out_and_believed(view: View) -> None:
    asked = view.datasets[3]
    one = fitted(view, "nearest", asked)
    first = one.recommend(asked, n=1)[0]
    running = Observation(first.algorithm, first.config, first.value, RunStatus.RUNNING)
    second = one.recommend(asked, [running], n=1)[0]
    assert second.config != first.config
