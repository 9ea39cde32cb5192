from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from learners import gaussian_process as gp
from learners.deep_kernel import (
    DeepKernel,
    JitterWarning,
    ScaleFreeDeepKernel,
    predict_distribution,
)
from learners.episode import Examples
from learners.errors import LearnerError
from learners.evaluation import evaluate
from learners.execution import Execution
from learners.learner import Phase
from learners.maml import maml
from learners.networks import MLP, Conv4
from learners.sinusoid import SinusoidSampler
from learners.training import Budget, Training, meta_train
from tests.learners.contract import LearnerContract, in_double

WAVE = MLP((1, 16, 4), "tanh")


class TestRegression(LearnerContract):
    @pytest.fixture(params=["rbf", "matern52"])
    def learner(self, request):
        return DeepKernel(WAVE, 4, request.param, regression=True)

    @pytest.fixture
    def episodes(self, waves):
        return waves


class TestUnknownScale(LearnerContract):
    @pytest.fixture
    def learner(self):
        return ScaleFreeDeepKernel(WAVE, 4)

    @pytest.fixture
    def episodes(self, waves):
        return waves


class TestClassification(LearnerContract):
    @pytest.fixture(params=["cosine", "rbf"])
    def learner(self, request):
        return DeepKernel(Conv4(0, filters=4), kernel=request.param, noise=0.1)

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


def data(seed: int = 0, n: int = 12, m: int = 5):
    generator = torch.Generator().manual_seed(seed)
    X, Z, Y = (
        torch.randn(shape, generator=generator, dtype=torch.double)
        for shape in ((n, 3), (m, 3), (n, 2))
    )
    return X, Z, Y


def dense_kernel(name: str, X: np.ndarray, Z: np.ndarray) -> np.ndarray:
    K = np.empty((len(X), len(Z)))
    for i, a in enumerate(X):
        for j, b in enumerate(Z):
            r = math.sqrt(((a - b) ** 2).sum())
            K[i, j] = {
                "rbf": math.exp(-(r**2) / 2),
                "matern52": (1 + math.sqrt(5) * r + 5 * r**2 / 3) * math.exp(-math.sqrt(5) * r),
                "cosine": a @ b / math.sqrt((a @ a) * (b @ b)),
            }[name]
    return K


@pytest.mark.parametrize("name", gp.KERNELS)
def test_likelihood_and_posterior_equal_the_dense_formulas(name: str) -> None:
    X, Z, Y = data()
    mask = torch.ones(12, dtype=torch.bool)
    posterior = gp.condition(gp.kernel(name, X, X), Y, mask, torch.tensor(0.1))
    mean, variance = gp.predict(
        posterior, gp.kernel(name, X, Z), mask, torch.ones(5, dtype=torch.double)
    )
    K = dense_kernel(name, X.numpy(), X.numpy()) + 0.1 * np.eye(12)
    cross = dense_kernel(name, X.numpy(), Z.numpy())
    inverse, y = np.linalg.inv(K), Y.numpy()
    expected = (
        -0.5 * np.trace(y.T @ inverse @ y) - np.linalg.slogdet(K)[1] - 12 * math.log(2 * math.pi)
    )
    assert float(gp.log_likelihood(posterior, Y, mask)) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(mean.numpy(), cross.T @ inverse @ y, rtol=1e-5, atol=1e-8)
    left = 1 - np.einsum("nm,nk,km->m", cross, inverse, cross)
    np.testing.assert_allclose(variance.numpy(), left, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["rbf", "matern52"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the oracle's own
def test_likelihood_and_posterior_equal_those_of_gpytorch(name: str) -> None:
    gpytorch = pytest.importorskip("gpytorch", reason="the oracle `gpytorch` is not installed")
    X, Z, Y = data(1)
    kernel = {"rbf": gpytorch.kernels.RBFKernel, "matern52": gpytorch.kernels.MaternKernel}[name]

    class Oracle(gpytorch.models.ExactGP):
        def __init__(self, likelihood):
            super().__init__(X, Y[:, 0], likelihood)
            self.mean_module = gpytorch.means.ZeroMean()
            self.covar_module = gpytorch.kernels.ScaleKernel(kernel(ard_num_dims=3))

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(
                self.mean_module(x), self.covar_module(x)
            )

    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    oracle = Oracle(likelihood).double()
    length = torch.tensor([0.7, 1.1, 1.9], dtype=torch.double)
    oracle.covar_module.base_kernel.lengthscale = length
    oracle.covar_module.outputscale = 1.7
    likelihood.noise = 0.05
    oracle.train()
    score = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, oracle)(oracle(X), Y[:, 0])
    oracle.eval()
    expected = oracle(Z)

    mask = torch.ones(12, dtype=torch.bool)
    K = 1.7 * gp.kernel(name, X / length, X / length)
    posterior = gp.condition(K, Y[:, :1], mask, torch.tensor(0.05))
    cross = 1.7 * gp.kernel(name, X / length, Z / length)
    mean, variance = gp.predict(posterior, cross, mask, torch.full((5,), 1.7).double())
    assert float(gp.log_likelihood(posterior, Y[:, :1], mask)) / 12 == pytest.approx(score.item())
    torch.testing.assert_close(mean[:, 0], expected.mean, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(variance, expected.variance, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("regression", [True, False])
def test_the_learner_conditions_and_is_scored_as_the_dense_formulas_say(regression: bool) -> None:
    """In classification targets are 1 for the own class and -1 for the others, one output each."""
    rng = np.random.default_rng(0)
    learner = DeepKernel(MLP((3, 2)), 2, kernel="rbf", regression=regression)
    weight, bias, x = rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=(9, 3))
    lengths, variance, noise, level = np.exp([0.3, -0.2]), math.exp(0.4), math.exp(-1.0), 0.7
    values = {
        "net.head.weight": weight,
        "net.head.bias": bias,
        "gp.log_length": np.log(lengths),
        "gp.log_variance": 0.4,
        "gp.log_noise": -1.0,
        "gp.mean": level,
    }
    state = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    labels = np.arange(9) % 3
    targets = (
        rng.normal(size=(9, 2)) if regression else np.where(labels[:, None] == range(3), 1, -1)
    )
    y = torch.tensor(targets if regression else labels)
    every = Examples(torch.tensor(x), y, torch.ones(9).bool())
    support, query = (Examples(*(part[rows] for part in every)) for rows in (slice(6), slice(6, 9)))

    features = (x @ weight + bias) / lengths
    squared = np.square(features[:, None] - features[None]).sum(-1)
    K = variance * np.exp(-0.5 * squared)
    noisy = K + (noise + learner.jitter * variance) * np.eye(9)
    solved = np.linalg.inv(noisy[:6, :6])
    mean = level + K[6:, :6] @ solved @ (targets[:6] - level)
    left = variance - np.einsum("qi,ij,qj->q", K[6:, :6], solved, K[6:, :6])
    predictor = learner.adapt(state, support)
    found, deviation = predict_distribution(predictor, query.x)
    for one in (found, predictor.predict(query.x)):
        np.testing.assert_allclose(one, mean, rtol=1e-9)
    np.testing.assert_allclose(deviation, np.sqrt(left), rtol=1e-9)

    apart = targets - level
    fit = np.einsum("ir,ij,jr->", apart, np.linalg.inv(noisy), apart)
    r = targets.shape[1]
    log_p = -0.5 * (fit + r * np.linalg.slogdet(noisy)[1] + 9 * r * math.log(2 * math.pi))
    loss = learner.loss(state, support, query, 0 if regression else 3, Phase())
    assert float(loss) == pytest.approx(-log_p / (9 * r), rel=1e-9)


def test_batched_and_padded_equals_each_alone() -> None:
    X, _, Y = data(2)
    sizes = (12, 7, 1)
    mask = torch.stack([torch.arange(12) < size for size in sizes])
    K = gp.kernel("matern52", X, X).expand(3, 12, 12)
    batch = gp.log_likelihood(
        gp.condition(K, Y.expand(3, 12, 2), mask, torch.tensor(0.1)), Y.expand(3, 12, 2), mask
    )
    for i, size in enumerate(sizes):
        short = torch.ones(size, dtype=torch.bool)
        alone = gp.condition(K[0, :size, :size], Y[:size], short, torch.tensor(0.1))
        assert float(batch[i]) == pytest.approx(float(gp.log_likelihood(alone, Y[:size], short)))


def averaged_over_level_and_scale(K: np.ndarray, y: np.ndarray) -> float:
    """log of the integral of N(y; a, s^2 K) over a, flat, and s^2, inverse gamma, on a grid."""
    nu, inverse, n = gp.DEGREES, np.linalg.inv(K), len(y)
    level = np.linspace(-60, 60, 6001)[:, None]
    log_s2 = np.linspace(-6, 9, 1501)[None]
    left = y[None] - level
    squares = np.einsum("an,nm,am->a", left, inverse, left)[:, None]
    log_normal = -0.5 * (squares / np.exp(log_s2) + n * log_s2)
    log_prior = -0.5 * (nu / np.exp(log_s2) + nu * log_s2)  # of log s^2
    top = (log_normal + log_prior).max()
    return float(top + np.log(np.exp(log_normal + log_prior - top).sum()))


def test_likelihood_of_unknown_scale_equals_the_integral_up_to_a_constant() -> None:
    X, _, Y = data(3, 4)
    mask = torch.ones(4, dtype=torch.bool)
    kernels = [gp.kernel("matern52", X / length, X / length) for length in (0.5, 3.0)]
    targets = [Y[:, :1], 5 * Y[:, :1] + 2, Y[:, 1:]]
    noise = torch.tensor(0.1, dtype=torch.double)
    found, expected = [], []
    for K in kernels:
        dense = K.numpy() + 0.1 * np.eye(4)
        for y in targets:
            found.append(float(gp.scale_free_log_likelihood(K, y, mask, noise)))
            volume = -0.5 * np.linalg.slogdet(dense)[1]
            expected.append(volume + averaged_over_level_and_scale(dense, y[:, 0].numpy()))
    np.testing.assert_allclose(np.diff(found), np.diff(expected), atol=2e-3)
    both = torch.cat([targets[0], targets[2]], dim=1)
    together = float(gp.scale_free_log_likelihood(kernels[0], both, mask, noise))
    assert together == pytest.approx(found[0] + found[2])


def test_likelihood_of_unknown_scale_ignores_level_and_padding() -> None:
    X, _, Y = data(4)
    K, noise = gp.kernel("matern52", X, X), torch.tensor(0.1)
    mask = torch.arange(12) < 7
    padded = gp.scale_free_log_likelihood(K, Y, mask, noise)
    short = torch.ones(7, dtype=torch.bool)
    alone = gp.scale_free_log_likelihood(K[:7, :7], Y[:7] + 40, short, noise)
    assert float(padded) == pytest.approx(float(alone))


@pytest.mark.parametrize("kind", [DeepKernel, ScaleFreeDeepKernel])
def test_meta_gradient_equals_finite_differences(waves, kind: type[DeepKernel]) -> None:
    learner = kind(WAVE, 4, regression=True, noise=0.1)
    state = {name: value.double() for name, value in learner.init(0).items()}
    episodes = in_double(waves)
    gradient, _ = learner.meta_gradient(state, episodes, Phase(), Execution())
    for name, value in state.items():
        index = (0,) * value.ndim
        sums = []
        for step in (1e-6, -1e-6):
            moved = {key: part.clone() for key, part in state.items()}
            moved[name][index] += step
            sums.append(learner.meta_gradient(moved, episodes, Phase(), Execution())[1].mean())
        expected = float(sums[0] - sums[1]) / 2e-6
        assert float(gradient[name][index]) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_repeated_inputs_without_noise_escalate_the_jitter_and_say_so() -> None:
    learner = DeepKernel(MLP((1, 1)), kernel="rbf", regression=True, noise=1e-30, jitter=0.0)
    support = Examples(torch.ones(30, 1), torch.ones(30, 1), torch.ones(30, dtype=torch.bool))
    with pytest.warns(JitterWarning, match="not positive definite"):
        predictor = learner.adapt(learner.init(0), support)
    assert torch.isfinite(predictor.predict(torch.ones(2, 1))).all()


def test_standard_deviation_grows_away_from_the_data() -> None:
    learner = DeepKernel(MLP((1, 1)), kernel="rbf", regression=True)
    state = learner.init(0) | {"net.head.weight": torch.eye(1)}
    support = Examples(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, dtype=torch.bool))
    mean, deviation = predict_distribution(
        learner.adapt(state, support), torch.tensor([[0.0], [1.0], [9.0]])
    )
    assert deviation[0] < deviation[1] < deviation[2]
    assert float(deviation[2]) == pytest.approx(1.0)
    assert float(mean[2]) == pytest.approx(0.0, abs=1e-6)


def test_variances_of_a_learner_without_them_are_refused(waves) -> None:
    learner = maml(MLP((1, 4, 1)), regression=True)
    with pytest.raises(LearnerError, match="gives no variances"):
        predict_distribution(learner.adapt(learner.init(0), waves.support), waves.query.x)


def test_it_learns_waves() -> None:
    learner = DeepKernel(MLP((1, 40, 40, 8), "tanh"), 8, regression=True)
    test = SinusoidSampler(seed=7)
    before = evaluate(learner, learner.init(0), test, 100)
    settings = Training(8, 3e-3, progress=False)
    trained = meta_train(learner, SinusoidSampler(), Budget(200), settings)
    assert evaluate(learner, trained.state, test, 100).mean < 0.3 * before.mean


def test_unknown_scales_are_for_numbers() -> None:
    with pytest.raises(LearnerError, match="regression=True"):
        ScaleFreeDeepKernel(WAVE, regression=False)


def test_unknown_kernels_are_refused() -> None:
    with pytest.raises(LearnerError, match="kernel is one of"):
        DeepKernel(WAVE, kernel="linear")
