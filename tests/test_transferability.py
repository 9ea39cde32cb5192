"""Transferability scores against brute force, other libraries, and what must not change them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA

from metastore.errors import InvalidInputError
from recommenders.starts.transferability import h_score, leep, logme


def digits(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `(n, d)` leading components of digits and their labels, every class there twice."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    kept = np.concatenate([order[y[order] == c][: max(2, n // 10)] for c in range(10)])
    return PCA(d, random_state=0).fit_transform(x)[kept] / 10, y[kept]


def log_evidence(f: np.ndarray, y: np.ndarray, alpha: float, beta: float) -> float:
    """Return log N(y; 0, F F' / alpha + I / beta), by its density."""
    factor = cholesky(f @ f.T / alpha + np.eye(len(y)) / beta, lower=True)
    white = solve_triangular(factor, y, lower=True)
    spread = 2 * np.log(np.diag(factor)).sum()
    return float(-0.5 * (white @ white + spread + len(y) * np.log(2 * np.pi)))


def brute_force_logme(f: np.ndarray, labels: np.ndarray) -> float:
    """Return LogME by maximising the density itself from many first values."""
    tops = []
    for label in np.unique(labels):
        y = (labels == label).astype(np.float64)

        def minus(logs: np.ndarray, y: np.ndarray = y) -> float:
            return -log_evidence(f, y, *np.exp(logs))

        found = [
            minimize(minus, first, method="L-BFGS-B", bounds=[(-12, 12), (-12, 12)])
            for first in ([0, 0], [3, 3], [-6, 6])
        ]
        tops.append(-min(one.fun for one in found) / len(y))
    return float(np.mean(tops))


@pytest.mark.parametrize(("n", "d"), [(40, 3), (40, 12), (20, 30), (60, 20)])
def test_logme_is_the_largest_evidence_that_direct_maximisation_finds(n: int, d: int) -> None:
    f, y = digits(n, d, seed=n)
    assert logme(f, y) == pytest.approx(brute_force_logme(f, y), abs=2e-4)


def test_logme_of_unrelated_labels_is_that_of_noise() -> None:
    f, y = digits(60, 8, seed=3)
    shuffled = np.random.default_rng(0).permutation(y)
    assert logme(f, shuffled) == pytest.approx(brute_force_logme(f, shuffled), abs=2e-4)
    assert logme(f, shuffled) < logme(f, y)


def test_h_score_against_its_definition_and_the_shrunk_one_against_scikit_learn() -> None:
    x, y = load_wine(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    means = np.stack([x[y == label].mean(0) for label in y])
    expected = np.trace(np.linalg.inv(np.cov(x.T, bias=True)) @ np.cov(means.T, bias=True))
    assert h_score(x, y, shrunk=False) == pytest.approx(expected)
    few = np.random.default_rng(0).permutation(len(y))[:20]
    covariance, share = ledoit_wolf(x[few])
    means = np.stack([x[few][y[few] == label].mean(0) for label in y[few]])
    expected = np.trace(np.linalg.inv(covariance) @ ((1 - share) * np.cov(means.T, bias=True)))
    assert h_score(x[few], y[few]) == pytest.approx(expected)


def test_leep_against_a_loop_and_its_bounds() -> None:
    x, y = load_wine(return_X_y=True)
    odds = (x - x.mean(0))[:, :4] / x.std(0)[:4]
    theta = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    total = 0.0
    for i in range(len(y)):
        chance = 0.0
        for z in range(4):
            joint = sum(theta[j, z] for j in range(len(y)) if y[j] == y[i])
            chance += joint / theta[:, z].sum() * theta[i, z]
        total += np.log(chance)
    assert leep(theta, y) == pytest.approx(total / len(y))
    # a source that says nothing predicts the label frequencies: minus their entropy
    share = np.bincount(y) / len(y)
    assert leep(np.full((len(y), 5), 0.2), y) == pytest.approx(float((share * np.log(share)).sum()))
    assert leep(np.eye(3)[y], y) == pytest.approx(0.0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100))
@pytest.mark.parametrize("score", [logme, h_score])
def test_order_names_of_classes_rotation_and_scale_do_not_matter(
    score: Callable[..., float], seed: int, scale: float
) -> None:
    f, y = digits(30, 6, seed=1)
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(len(y)), rng.permutation(10)
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    changed = score(scale * (f[order] @ rotation), [f"class {names[label]}" for label in y[order]])
    assert changed == pytest.approx(score(f, y), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("score", [logme, h_score])
def test_a_column_of_zeros_adds_nothing(score: Callable[..., float]) -> None:
    f, y = digits(30, 6, seed=1)
    wider = np.hstack([f, np.zeros((len(f), 2))])
    options = {} if score is logme else {"shrunk": False}
    assert score(wider, y, **options) == pytest.approx(score(f, y, **options))


def test_scores_rank_embeddings_as_their_accuracy_does() -> None:
    x, y = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(y == c)[:10] for c in range(10)])
    views = [PCA(d, random_state=0).fit_transform(x)[rows] for d in (1, 3, 8)]
    for score in (logme, h_score):
        worst, middle, best = (score(view, y[rows]) for view in views)
        assert worst < middle < best


@pytest.mark.parametrize("score", [logme, h_score, leep])
@pytest.mark.parametrize(
    ("rows", "labels", "said"),
    [
        ([[1.0], [0.0]], [0, 0], "two classes"),
        ([[1.0], [0.0]], [0, 1, 1], "as many labels"),
        ([[np.nan], [0.0]], [0, 1], "NaN"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    score: Callable[..., float], rows: list[list[float]], labels: list[int], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        score(rows, labels)


def test_constant_embeddings_and_log_odds_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="all zero"):
        logme(np.zeros((4, 2)), [0, 0, 1, 1])
    with pytest.raises(InvalidInputError, match="all the same"):
        h_score(np.ones((4, 2)), [0, 0, 1, 1])
    with pytest.raises(InvalidInputError, match="probabilities"):
        leep([[2.0, -1.0], [0.5, 0.5]], [0, 1])
