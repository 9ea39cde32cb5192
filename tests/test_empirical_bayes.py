"""The mixture against dense Gaussians in float64, and what a wrong past can do to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommenders.bayes_mixture import DEGREES, Conditioned, Kind
from recommenders.bayes_prior import TINY, Prior
from recommenders.scores import Past
from recommenders.sessions import Case, Seen
from recommenders.surrogates import matern
from tests.views import small_view

D, P, K = 6, 9, 4
KINDS = (
    Kind(1.0, 0.2, 0.1, 1.0),
    Kind(0.4, 0.3, 0.2, 0.5),
    Kind(0.0, 0.0, 0.5, 1.0),
    Kind(0.0, 1.0, 0.3, 0.1, cold=True),
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
