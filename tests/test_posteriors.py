"""Processes with variances: against scikit-learn's, against integrals, and by identities."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from recommenders.posteriors import NOISES, Posterior, expected_improvement, normal_cdf


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.random((40, 3))
    target = np.sin(4 * points[:, 0]) + 0.3 * points[:, 1] + 0.05 * rng.standard_normal(40)
    return points, (target - target.mean()) / target.std()


def test_mean_and_variance_are_those_of_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: PLC0415 - slow to import
    from sklearn.gaussian_process.kernels import Matern  # noqa: PLC0415

    points, target = data
    mine = Posterior.fit(points, target)
    kernel = mine.variance * Matern(mine.lengthscales, nu=2.5)
    theirs = GaussianProcessRegressor(kernel, alpha=mine.variance * mine.noise, optimizer=None)
    theirs.fit(points, target)
    asked = np.random.default_rng(1).random((25, 3))
    mean, covariance = theirs.predict(asked, return_cov=True)
    found, variance = mine.at(asked)
    np.testing.assert_allclose(found, mean, atol=1e-4)
    np.testing.assert_allclose(variance, np.diag(covariance), atol=1e-4)
    np.testing.assert_allclose(mine.covariance(asked, mine.whiten(asked)), covariance, atol=1e-4)


def test_columns_that_say_nothing_get_long_lengthscales(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    points, target = data
    found = Posterior.fit(points, target)
    assert found.lengthscales[2] > 2 * found.lengthscales[0]
    assert found.noise < max(NOISES)


@pytest.mark.parametrize("count", [1, 2])
def test_few_points_are_enough(count: int) -> None:
    found = Posterior.fit(np.zeros((count, 2)), np.ones(count))
    mean, variance = found.at(np.array([[0.0, 0.0], [9.0, 9.0]]))
    assert mean[0] > 0.8
    assert abs(mean[1]) < 0.1
    assert variance[0] < variance[1]


def test_expected_improvement_is_the_integral() -> None:
    grid = np.linspace(-12, 12, 200_001)
    for mean, deviation, best in ((0.0, 1.0, 0.5), (1.0, 0.3, 0.0), (-2.0, 2.0, 1.0)):
        density = np.exp(-0.5 * ((grid - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
        expected = np.trapezoid(np.maximum(grid - best, 0) * density, grid)
        found = expected_improvement(np.array([mean]), np.array([deviation]), best)[0]
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_normal_distribution_function() -> None:
    z = np.linspace(-6, 6, 241)
    expected = [NormalDist().cdf(float(x)) for x in z]
    np.testing.assert_allclose(normal_cdf(z), expected, atol=1e-15)
