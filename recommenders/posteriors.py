"""Gaussian processes that say how sure they are: mean and covariance at any configs.

Rasmussen and Williams (2006), chapter 2: Matern-5/2 kernel with a lengthscale for each column
(one for all where there are few points or many columns), noise, and a variance that the
likelihood gives in closed form. Lengthscales and noise are the best of a grid, a coordinate at a
time, by the likelihood with that variance put in, less a log-normal prior on the lengthscales.

Notation: n points seen, d columns, P points asked about, s^2 variance, V = L^-1 K(X, asked) of
shape `(n, P)` with L L^T = K(X, X) + noise: the posterior mean is V^T L^-1 y and the covariance
s^2 (K - V^T V) (eqs. 2.23 and 2.24, algorithm 2.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.surrogates import matern

LENGTHS = (0.25, 0.5, 1.0, 2.0, 5.0)
NOISES = (1e-4, 1e-2, 1e-1)
SWEEPS = 2
SUBSET = 64
FEW = 8
MANY_COLUMNS = 16
SPREAD = 1.0
JITTER = 1e-8
PRIOR_DEGREES = 4.0
"""How many points the prior belief that the variance is 1 counts as."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """A process fitted to `(n,)` targets of mean about 0.

    Args:
        points: `(n, d)` points divided by the lengthscales.
        lengthscales: `(d,)`.
        noise: variance of the noise, in units of `variance`.
        variance: prior variance s^2 of the process.
        root: `(n, n)` inverse of L.
        white: `(n,)` L^-1 y.
    """

    points: FloatArray
    lengthscales: FloatArray
    noise: float
    variance: float
    root: FloatArray
    white: FloatArray

    @classmethod
    def fit(cls, points: FloatArray, target: FloatArray) -> Posterior:
        """Return the process of `(n, d)` points and `(n,)` targets, n at least 1."""
        spread = np.linspace(0, len(target) - 1, min(SUBSET, len(target))).astype(int)
        chosen = np.argsort(target, kind="stable")[spread]
        lengthscales, noise = _search(points[chosen], target[chosen])
        scaled = points / lengthscales
        gram = matern(scaled, scaled)
        gram[np.diag_indices_from(gram)] += noise + JITTER
        root = np.linalg.inv(np.linalg.cholesky(gram))
        white = root @ target
        return cls(scaled, lengthscales, noise, _variance(white), root, white)

    def whiten(self, asked: FloatArray) -> FloatArray:
        """Return V `(n, P)` of points `(P, d)`: all that mean and covariance need of them."""
        whitened: FloatArray = self.root @ matern(self.points, asked / self.lengthscales)
        return whitened

    def at(self, asked: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the mean and the variance without noise, each `(P,)`, at points `(P, d)`."""
        whitened = self.whiten(asked)
        left = np.maximum(1 - (whitened**2).sum(axis=0), 0)
        return whitened.T @ self.white, self.variance * left

    def covariance(self, asked: FloatArray, whitened: FloatArray) -> FloatArray:
        """Return the covariance without noise `(P, P)` at points with a known V."""
        covariance: FloatArray = self.variance * (self.kernel(asked) - whitened.T @ whitened)
        return covariance

    def kernel(self, asked: FloatArray) -> FloatArray:
        """Return the correlations `(P, P)` before anything was seen."""
        scaled = asked / self.lengthscales
        return matern(scaled, scaled)


def _variance(white: FloatArray) -> float:
    return float((PRIOR_DEGREES + white @ white) / (PRIOR_DEGREES + len(white)))


def _search(points: FloatArray, target: FloatArray) -> tuple[FloatArray, float]:
    """Return lengthscales `(d,)` and noise of the highest posterior on the grid."""
    columns = points.shape[1]
    ard = len(target) >= FEW and columns <= MANY_COLUMNS
    group = np.arange(columns, dtype=np.int64) if ard else np.zeros(columns, dtype=np.int64)
    logs: FloatArray = np.zeros(group.max(initial=0) + 1)
    noise = NOISES[1]
    if not columns:
        return np.empty(0), noise
    for _ in range(SWEEPS if ard else 1):
        for i in range(len(logs)):
            trials = []
            for length in LENGTHS:
                logs[i] = np.log(length)
                trials.append((_fitness(points, target, logs, group, noise), logs[i]))
            logs[i] = max(trials)[1]
        noise = max((_fitness(points, target, logs, group, x), x) for x in NOISES)[1]
    return np.exp(logs)[group], noise


def _fitness(
    points: FloatArray, target: FloatArray, logs: FloatArray, group: IntArray, noise: float
) -> float:
    """Return the log posterior, up to a constant, with the variance put in."""
    scaled = points / np.exp(logs)[group]
    gram = matern(scaled, scaled)
    gram[np.diag_indices_from(gram)] += noise + JITTER
    factor = np.linalg.cholesky(gram)
    variance = _variance(np.linalg.solve(factor, target))
    shape = 0.5 * (len(target) + PRIOR_DEGREES)
    prior = (logs**2).sum() / (2 * SPREAD**2)
    return float(-shape * np.log(variance) - np.log(np.diag(factor)).sum() - prior)


def expected_improvement(mean: FloatArray, deviation: FloatArray, best: float) -> FloatArray:
    """Return `E max(0, f - best)` for f normal (Jones, Schonlau and Welch, 1998, eq. 15)."""
    deviation = np.maximum(deviation, 1e-12)
    z = (mean - best) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    gain: FloatArray = deviation * (z * normal_cdf(z) + density)
    return gain


def normal_cdf(z: FloatArray) -> FloatArray:
    """Return the distribution function of the standard normal."""
    cdf: FloatArray = 0.5 * _erfc(-z / np.sqrt(2))
    return cdf


_erfc = np.vectorize(math.erfc, otypes=[np.float64])
"""Element by element, as NumPy has none; SciPy's would take longer to import than to run."""
