"""The mixture against dense Gaussians in float64, and what a wrong past can do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommenders
from metastore.view import View
from recommenders.bayes_kinds import Kind
from recommenders.bayes_mixture import DEGREES, HEAVY, Conditioned
from recommenders.bayes_prior import TINY, Prior, upper_half
from recommenders.empirical_bayes import KINDS as KINDS_AS_MADE
from recommenders.empirical_bayes import PREDICTED_KINDS, EmpiricalBayes
from recommenders.forecast import Calibration
from recommenders.replay import Answers, best_so_far, random_regret, replay, seen_of
from recommenders.scores import Past
from recommenders.sessions import Case, Seen
from recommenders.surrogates import matern
from recommenders.tasks import resolve
from tests.views import small_view, view_from_parquet

D, P, K = 6, 9, 4
KINDS = (
    Kind(1.0, 0.2, 0.1, 1.0),
    Kind(0.4, 0.3, 0.2, 0.5),
    Kind(0.0, 0.0, 0.5, 1.0),
    Kind(0.0, 1.0, 0.3, 0.1, cold=True),
    Kind(1.0, 0.0, 0.3, 0.2, reverse=True),
)


def case_of(seed: int, observed: int = K, levels: bool = True) -> tuple[Case, np.ndarray]:
    """A case over random past scores, and encoded configs."""
    rng = np.random.default_rng(seed)
    past = Past.of(small_view(rng.normal(size=(D, P)) * rng.uniform(0.5, 2, size=(D, 1))))
    weights = rng.dirichlet(np.ones(D))
    columns = np.sort(rng.choice(P, observed, replace=False))
    taken = np.isin(np.arange(P), columns)
    seen = Seen(columns, rng.normal(size=observed), taken)
    best = past.best if levels else None
    case = Case("new", past.default_pool, past.spread, weights, seen, best)
    return case, rng.random((P, 2))


def dense(case: Case, prior: Prior, kind: Kind, spread: float, row: int) -> dict[str, np.ndarray]:
    """One component by the textbook, on the full P x P covariance of raw scores."""
    merits = -case.table.regret
    mean = case.weights @ merits
    apart = merits - mean
    between = (apart.T * case.weights) @ apart
    within = float(case.weights @ merits.var(axis=1)) + TINY
    count = 1 / (case.weights**2).sum()
    scale = within if kind.cold else (count * np.trace(between) / P + within) / (count + 1)
    keep = 0.0 if kind.cold else np.sqrt(1 - kind.width**2)
    assert prior.points is not None
    likeness = matern(prior.points, prior.points)
    shape = kind.residual * scale * likeness + (kind.noise**2 * scale + TINY) * np.eye(P)
    if not kind.cold:
        shape += kind.width**2 * between
    if kind.reverse:
        mean = 2 * mean.mean() - mean
    mean = np.full(P, mean.mean()) if kind.cold else mean + keep * apart[row]
    assert case.best is not None
    level = case.weights @ case.best
    variance = case.weights @ (case.best - level) ** 2
    covariance = spread**2 * shape + variance
    mean = level + keep * (case.best[row] - level) + spread * mean
    at, y = case.seen.columns, case.seen.scores
    gram = covariance[np.ix_(at, at)]
    residual = np.linalg.solve(gram, y - mean[at])
    factor = (DEGREES + (y - mean[at]) @ residual) / (DEGREES + len(at))
    log = -0.5 * np.linalg.slogdet(gram)[1] - 0.5 * (DEGREES + len(at)) * np.log(
        DEGREES + (y - mean[at]) @ residual
    )
    cross = covariance[at]
    after = covariance - cross.T @ np.linalg.solve(gram, cross)
    return {
        "log": np.array(log),
        "mean": mean + cross.T @ residual,
        "deviation": np.sqrt(factor * np.maximum(np.diag(after), 0)),
    }


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(KINDS), st.integers(1, K))
def test_every_component_is_the_dense_gaussian(seed: int, kind: Kind, observed: int) -> None:
    case, points = case_of(seed, observed)
    prior = Prior.of(case, points)
    left = np.flatnonzero(~case.seen.taken)
    conditioned = Conditioned(prior, (kind,), case.seen.columns, case.seen.scores)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recommenders.bayes_mixture.HEAVY", 2.0)
        found = conditioned.posterior(left)
    rows = range(D) if not kind.cold and kind.width < 1 else range(1)
    means, deviations, logs = [], [], []
    for spread in prior.spreads:
        for row in rows:
            expected = dense(case, prior, kind, float(spread), row)
            means.append(expected["mean"][left] - case.seen.scores.max())
            deviations.append(expected["deviation"][left])
            share = np.log(case.weights[row]) if len(rows) > 1 else 0.0
            logs.append(float(expected["log"]) + share)
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    assert found.weight == pytest.approx(weights, rel=1e-6, abs=1e-12)
    assert found.ahead == pytest.approx(np.array(means), rel=1e-6, abs=1e-9)
    assert found.deviation == pytest.approx(np.array(deviations), rel=1e-6, abs=1e-9)
    assert found.datasets.sum() == pytest.approx(1)


def test_light_components_are_not_looked_at() -> None:
    case, points = case_of(3)
    left = np.flatnonzero(~case.seen.taken)
    conditioned = Conditioned(Prior.of(case, points), KINDS, case.seen.columns, case.seen.scores)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recommenders.bayes_mixture.HEAVY", 2.0)
        whole = np.sort(conditioned.posterior(left).weight)[::-1]
    some = conditioned.posterior(left)
    share = np.cumsum(whole)[len(some.weight) - 1]
    assert HEAVY <= share < HEAVY + whole[len(some.weight) - 1]
    assert some.weight.sum() == pytest.approx(1)
    assert some.datasets.sum() == pytest.approx(1)


def test_without_levels_the_level_of_scores_does_not_matter() -> None:
    case, points = case_of(3, levels=False)
    left = np.flatnonzero(~case.seen.taken)
    prior = Prior.of(case, points)
    low, high = (
        Conditioned(prior, KINDS, case.seen.columns, case.seen.scores + by).posterior(left)
        for by in (0.0, 7.0)
    )
    assert high.ahead == pytest.approx(low.ahead)
    assert high.weight == pytest.approx(low.weight)


def test_datasets_without_weight_change_nothing() -> None:
    case, points = case_of(5)
    left = np.flatnonzero(~case.seen.taken)
    weights = case.weights.copy()
    weights[2] = 0.0
    changed = case.table.own.copy()
    changed[2] = changed[2, ::-1]
    found = [
        Conditioned(
            Prior.of(replace(case, weights=weights, table=table), points),
            KINDS,
            case.seen.columns,
            case.seen.scores,
        ).posterior(left)
        for table in (case.table, replace(case.table, own=changed))
    ]
    assert found[0].ahead == pytest.approx(found[1].ahead)
    assert found[0].datasets == pytest.approx(found[1].datasets)


def test_a_past_dataset_that_agrees_gains_weight() -> None:
    scores = np.random.default_rng(2).random((8, 10))
    past = Past.of(small_view(scores))
    taken = np.arange(10) < 5
    seen = Seen(np.arange(5), scores[3, :5], taken)
    case = Case("new", past.default_pool, past.spread, np.full(8, 1 / 8), seen, past.best)
    found = Conditioned(Prior.of(case), KINDS_AS_MADE, seen.columns, seen.scores)
    assert found.posterior(np.arange(5, 10)).datasets.argmax() == 3


def test_improvements_of_a_batch_are_distinct_and_first_is_the_single_one() -> None:
    case, points = case_of(9)
    left = np.flatnonzero(~case.seen.taken)
    conditioned = Conditioned(Prior.of(case, points), KINDS, case.seen.columns, case.seen.scores)
    posterior = conditioned.posterior(left)
    batch = posterior.improvements(99)
    assert sorted(batch.tolist()) == list(range(len(left)))
    assert batch[0] == posterior.improvements(1)[0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_upper_half_keeps_what_is_better_than_the_median(seed: int) -> None:
    case, points = case_of(seed)
    known = np.arange(D)[:, None] % 2 == np.zeros(P)
    case = replace(case, table=replace(case.table, known=known))
    before, after = case.table.regret, upper_half(case).table.regret
    for row in range(D):
        middle = np.median(before[row])
        good = before[row] <= middle
        assert after[row, good].tolist() == before[row, good].tolist()
        assert (after[row, ~good] == middle).all()
    prior = Prior.of(upper_half(case), points)
    assert prior.merits.tolist() == (-after).tolist()
    assert prior.spreads.tolist() == Prior.of(case, points).spreads.tolist()


@pytest.mark.parametrize(("table", "matters"), [("svc", False), ("random_forest", True)])
def test_how_bad_bad_scores_are_matters_unless_most_are_spoilt(
    table: str, matters: bool, realdata: Callable[[str], Path]
) -> None:
    """Support vector machines fail altogether with most settings, forests never do."""
    view = view_from_parquet(realdata(f"openml_pimp/runs_{table}.parquet"), "predictive_accuracy")
    view = view.without(view.datasets[10:])
    name = view.datasets[0]
    past, answers = Past.of(view).without([name]), Answers.of(view, name)
    one = recommenders.make("empirical_bayes").fit_past(past)
    session = one.session(resolve(name, past.view), past.table(answers.keys))
    for observed, differs in ((3, True), (9, matters)):
        score = answers.score.copy()
        columns = list(range(observed))
        found = []
        for _ in range(2):
            found.append(session.step(seen_of(columns, score), 1).choice.weights)
            low = score[:observed] < np.median(score[:observed])
            score[:observed][low] -= 0.5
        assert (found[0].tolist() != found[1].tolist()) == differs


def misled(view: View, how: str) -> View:
    """The past with its scores permuted or reversed between the configs of each dataset."""
    rng, score = np.random.default_rng(0), view.cell_score.copy()
    for row in range(view.n_datasets):
        mine = np.flatnonzero(view.cell_dataset == row)
        if how == "permuted":
            score[mine] = score[rng.permutation(mine)]
        else:
            score[mine] = score[mine].max() + score[mine].min() - score[mine]
    return replace(view, cell_score=score)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "allowed"), [("permuted", (1.6, 1.5, 1.5)), ("reversed", (3.5, 1.5, 1.0))]
)
def test_a_wrong_past_is_seen_through(
    how: str, allowed: tuple[float, ...], realdata: Callable[[str], Path]
) -> None:
    """Regret over that of random order at 5, 10 and 25, on a real table with a false past."""
    true = view_from_parquet(
        realdata("autosklearn_md/runs.parquet"),
        "bac_loss",
        realdata("autosklearn_md/metafeatures.parquet"),
    )
    false = Past.of(misled(true, how))
    budgets = np.array([5, 10, 25]) - 1
    ours, chance = [], []
    for name in true.datasets[::10]:
        fold = false.without([name])
        answers = Answers.of(true, name)
        one = recommenders.make("empirical_bayes").fit_past(fold)
        trace = replay(one.session(resolve(name, fold.view), fold.table(answers.keys)), answers, 25)
        ours.append(best_so_far(answers.regret, trace.columns, 25)[budgets])
        chance.append(random_regret(answers.regret, 25)[budgets])
    ratio = np.mean(ours, axis=0) / np.mean(chance, axis=0)
    assert (ratio <= allowed).all(), ratio


def paths(true: View, past: View, name: str = "empirical_bayes", **options: int) -> np.ndarray:
    """Regrets at 10 and 25 on each dataset of a view, learned from another view of the rest."""
    told = Past.of(past)
    rows = []
    for dataset in true.datasets:
        fold = told.without([dataset])
        answers = Answers.of(true, dataset)
        session = (
            recommenders.make(name, **options)
            .fit_past(fold)
            .session(resolve(dataset, fold.view), fold.table(answers.keys))
        )
        trace = replay(session, answers, 25)
        rows.append(best_so_far(answers.regret, trace.columns, 25)[[9, 24]])
    return np.array(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "allowed"),
    [("permuted", ((1.0, 0.7), (1.1, 1.0))), ("reversed", ((1.2, 0.9), (1.4, 1.5)))],
)
@pytest.mark.parametrize("learned", [False, True], ids=["encoded", "learned"])
def test_a_wrong_past_of_predictions_is_seen_through(
    learned: bool,
    how: str,
    allowed: tuple[tuple[float, ...], tuple[float, ...]],
    realdata: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where every dataset has its own configs: against random order, and a search that is cold."""
    true = view_from_parquet(
        realdata("openml_pimp/runs_svc.parquet"),
        "predictive_accuracy",
        realdata("openml_pimp/metafeatures.parquet"),
    )
    true = true.without([name for i, name in enumerate(true.datasets) if i % 4])
    # Intervals change no choice, and learning them would take most of the time.
    monkeypatch.setattr(EmpiricalBayes, "calibration", lambda _: Calibration((), ()))
    false = misled(true, how)
    if learned:
        pytest.importorskip("torch")
        ours = paths(true, false, "deep_mixture", iterations=150).mean(axis=0)
    else:
        ours = paths(true, false).mean(axis=0)
    chance = [random_regret(Answers.of(true, n).regret, 25)[[9, 24]] for n in true.datasets]
    cold = tuple(kind for kind in PREDICTED_KINDS if kind.cold)
    for kinds in ("PREDICTED_KINDS", "FEW_KINDS"):
        monkeypatch.setattr(f"recommenders.empirical_bayes.{kinds}", cold)
    alone = paths(true, false).mean(axis=0)
    ratios = np.array([ours / np.mean(chance, axis=0), ours / alone])
    assert (ratios <= allowed).all(), ratios
