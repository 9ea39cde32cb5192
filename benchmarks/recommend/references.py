"""What recommenders have to beat on dense tables: six references on raw scores.

Each is told the scores `(D, P)` of past datasets, larger-is-better, and how far the new dataset
is from each of them: the mean absolute difference (L1) of robustly scaled meta-features. It
returns the configs in the order in which it tries them.

- greedy: the config that raises the mean over past datasets of the best score so far the most.
- kernel greedy: the same, datasets weighted by a Gaussian kernel as wide as the distance to the
  fifth nearest.
- 15 nearest: the same over the 15 nearest datasets alone, alike.
- mean of the 5 nearest: configs by their mean score there.
- empirical Gaussian: mean and covariance over past datasets, the covariance shrunk by a tenth
  towards its diagonal, conditioned on what was observed; expected improvement.
- empirical Gaussian, weighted mean: the same with the kernel's weights in the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erf, pi, sqrt

import numpy as np

from metastore.view import FloatArray, IntArray

WIDTH = 5
SHRINK = 0.1
RIDGE = 1e-6

Order = Callable[[FloatArray, FloatArray, FloatArray, int], IntArray]
"""From past scores `(D, P)`, distances `(D,)`, the true scores `(P,)`, of which only those of
configs tried may be looked at, and a number of configs, the configs in the order tried."""


def greedy(scores: FloatArray, distance: FloatArray, truth: FloatArray, n: int) -> IntArray:
    return _cover(scores, np.ones(len(scores)), n)


def kernel_greedy(scores: FloatArray, distance: FloatArray, truth: FloatArray, n: int) -> IntArray:
    return _cover(scores, kernel(distance), n)


def nearest_15(scores: FloatArray, distance: FloatArray, truth: FloatArray, n: int) -> IntArray:
    near = np.argsort(distance, kind="stable")[:15]
    return _cover(scores[near], np.ones(len(near)), n)


def mean_of_5(scores: FloatArray, distance: FloatArray, truth: FloatArray, n: int) -> IntArray:
    near = np.argsort(distance, kind="stable")[:5]
    return np.argsort(-scores[near].mean(axis=0), kind="stable")[:n]


def gaussian(scores: FloatArray, distance: FloatArray, truth: FloatArray, n: int) -> IntArray:
    return _improving(scores, scores.mean(axis=0), truth, n)


def weighted_gaussian(
    scores: FloatArray, distance: FloatArray, truth: FloatArray, n: int
) -> IntArray:
    weights = kernel(distance)
    return _improving(scores, weights @ scores / weights.sum(), truth, n)


REFERENCES: dict[str, Order] = {
    "greedy": greedy,
    "kernel greedy": kernel_greedy,
    "15 nearest": nearest_15,
    "mean of the 5 nearest": mean_of_5,
    "empirical Gaussian": gaussian,
    "empirical Gaussian, weighted mean": weighted_gaussian,
}


def kernel(distance: FloatArray) -> FloatArray:
    """Return Gaussian weights `(D,)`; equal ones where no distance is known."""
    known = np.sort(distance[np.isfinite(distance)])
    if not len(known):
        return np.ones(len(distance))
    width = max(float(known[min(WIDTH, len(known)) - 1]), 1e-9)
    return np.where(np.isfinite(distance), np.exp(-0.5 * (distance / width) ** 2), 0.0)


def _cover(scores: FloatArray, weights: FloatArray, n: int) -> IntArray:
    chosen = [int(np.argmax(weights @ scores))]
    reached = scores[:, chosen[0]]
    mean = weights @ scores
    for _ in range(min(n, scores.shape[1]) - 1):
        # Where nothing is left to gain, the best mean goes on.
        gain = weights @ np.maximum(scores - reached[:, None], 0) + 1e-9 * mean
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
        reached = np.maximum(reached, scores[:, chosen[-1]])
    return np.array(chosen)


def _improving(scores: FloatArray, mean: FloatArray, truth: FloatArray, n: int) -> IntArray:
    covariance = np.atleast_2d(np.cov(scores.T))
    diagonal = np.diag(np.diag(covariance))
    covariance = (1 - SHRINK) * covariance + SHRINK * diagonal + RIDGE * np.eye(len(mean))
    chosen = [int(np.argmax(mean))]
    while len(chosen) < min(n, len(mean)):
        cross = covariance[chosen]
        solved = np.linalg.solve(cross[:, chosen], cross)
        expected = mean + (truth[chosen] - mean[chosen]) @ solved
        deviation = np.sqrt(np.maximum(np.diag(covariance) - (solved * cross).sum(axis=0), 1e-12))
        gain = _expected_improvement((expected - truth[chosen].max()) / deviation) * deviation
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
    return np.array(chosen)


def _expected_improvement(u: FloatArray) -> FloatArray:
    below = np.array([0.5 * (1 + erf(value / sqrt(2))) for value in u])
    return u * below + np.exp(-0.5 * u**2) / sqrt(2 * pi)
