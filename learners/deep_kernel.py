"""Deep-kernel Gaussian process: Wilson et al., "Deep Kernel Learning", AISTATS 2016, eq. 5.

As a few-shot learner: Patacchini et al., "Bayesian Meta-Learning for the Few-Shot Setting via
Deep Kernels" (DKT), NeurIPS 2020.

Computed: one kernel k(f(x), f(x')) for all episodes, network and kernel parameters together
maximising the marginal likelihood of each whole episode (DKT, eq. 4); an episode is learned by
conditioning. Classification is regression on labels -1 and 1, one output a class that shares
the kernel (DKT, section 4.2). Departures: the noise is learned in both cases.

Notation: as `learners.gaussian_process`, with X = f(x) / length scale.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from learners import gaussian_process as gp
from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.execution import Execution, over_episodes
from learners.learner import Learner, Phase, Predictor, State
from learners.losses import at_least_float32
from learners.networks import Network, under_net, without_net

_T = TypeVar("_T")
_ESCALATIONS = 4


class JitterWarning(UserWarning):
    """A kernel matrix was not positive definite; more jitter was added to its diagonal."""


@dataclass(frozen=True)
class DeepKernel(Learner):
    """Gaussian process on learned features.

    Args:
        network: maps inputs `(n, *shape)` to features `(n, d)`.
        n_features: d, for one length scale a feature; 1 shares one.
        kernel: "rbf", "matern52" or "cosine".
        regression: whether targets are numbers rather than classes.
        noise: first value of the noise variance.
        jitter: added to the diagonal, in units of the kernel's variance.
    """

    network: Network
    n_features: int = 1
    kernel: str = "matern52"
    regression: bool = False
    noise: float = 0.01
    jitter: float = 1e-5

    def __post_init__(self) -> None:
        if self.kernel not in gp.KERNELS or self.noise <= 0 or self.jitter < 0:
            raise LearnerError(
                f"kernel is one of {gp.KERNELS} with positive noise and jitter of 0 or more; got "
                f"{self.kernel!r}, noise={self.noise}, jitter={self.jitter}"
            )

    @property
    def classification(self) -> bool:
        """Whether `y` holds class numbers."""
        return not self.regression

    def init(self, seed: int) -> State:
        """Return the network under `net.` and the kernel under `gp.`, variances as logarithms."""
        params = under_net(self.network.init(torch.Generator().manual_seed(seed)))
        return params | {
            "gp.log_length": torch.zeros(self.n_features),
            "gp.log_variance": torch.zeros(()),
            "gp.log_noise": torch.tensor(self.noise).log(),
            "gp.mean": torch.zeros(()),
        }

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return features, mask, and the factor and weights of the conditioned process."""
        X = self.features(state, support.x, support.mask)
        L, A = self._condition(state, X, self._targets(state, support, n_way), support.mask)
        context = {"X": X, "mask": support.mask, "L": L, "A": A}
        if self.network.normalises:
            context |= {"support.x": support.x}
        return context

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return posterior means `(n_query, n_out)`, of the targets or of labels -1 and 1."""
        return self.distribution(state, context, query)[0]

    def distribution(self, state: State, context: State, query: Examples) -> tuple[Tensor, Tensor]:
        """Return means `(n_query, n_out)` and noise-free variances `(n_query,)` for one episode."""
        mask = context["mask"]
        if self.network.normalises:
            x = torch.cat([context["support.x"], query.x])
            both = torch.cat([mask, torch.zeros_like(query.mask)])
            Z = self.features(state, x, both)[mask.shape[0] :]
        else:
            Z = self.features(state, query.x, query.mask)
        variance = state["gp.log_variance"].exp()
        cross = variance * gp.kernel(self.kernel, context["X"], Z)
        posterior = gp.Posterior(context["L"], context["A"])
        mean, left = gp.predict(posterior, cross, mask, variance.expand(Z.shape[0]))
        return mean + state["gp.mean"], left

    def loss(
        self, state: State, support: Examples, query: Examples, n_way: int, phase: Phase
    ) -> Tensor:
        """Return minus the log marginal likelihood of support and query, a row and output."""
        both = Examples(*(torch.cat(pair) for pair in zip(support, query, strict=True)))
        X = self.features(state, both.x, both.mask)
        Y = self._targets(state, both, n_way)
        posterior = self._condition(state, X, Y, both.mask)
        return -gp.log_likelihood(posterior, Y, both.mask) / (both.mask.sum() * Y.shape[-1])

    def meta_gradient(
        self, state: State, episodes: Episodes, phase: Phase, execution: Execution
    ) -> tuple[State, Tensor]:
        """Return gradient and losses; a matrix that does not factor gets ten times the jitter."""

        def attempt(learner: DeepKernel) -> tuple[State, Tensor]:
            return Learner.meta_gradient(learner, state, episodes, phase, execution)

        return self._escalated(attempt, lambda found: found[1])

    def adapt(self, state: State, support: Examples, n_way: int | None = None) -> Predictor:
        """Condition on support sets; see `Learner.adapt`."""

        def attempt(learner: DeepKernel) -> Predictor:
            return Learner.adapt(learner, state, support, n_way)

        return self._escalated(attempt, lambda predictor: predictor.context["L"])

    def _escalated(
        self, attempt: Callable[[DeepKernel], _T], telling: Callable[[_T], Tensor]
    ) -> _T:
        found = attempt(self)
        for power in range(1, _ESCALATIONS + 1):
            if bool(torch.isfinite(telling(found)).all()):
                return found
            jitter = max(self.jitter, 1e-6) * 10**power
            warnings.warn(
                f"a kernel matrix was not positive definite; trying again with jitter {jitter:g}",
                JitterWarning,
                stacklevel=3,
            )
            found = attempt(replace(self, jitter=jitter))
        return found

    def features(self, state: State, x: Tensor, mask: Tensor) -> Tensor:
        """Return what the kernel sees of inputs `(n, *shape)`: `(n, d)` over length scales."""
        X = at_least_float32(self.network(without_net(state), x, mask))
        return X / state["gp.log_length"].exp()

    def _condition(self, state: State, X: Tensor, Y: Tensor, mask: Tensor) -> gp.Posterior:
        K, noise = self._covariance(state, X)
        return gp.condition(K, Y, mask, noise)

    def _covariance(self, state: State, X: Tensor) -> tuple[Tensor, Tensor]:
        variance = state["gp.log_variance"].exp()
        noise = state["gp.log_noise"].exp() + self.jitter * variance
        return variance * gp.kernel(self.kernel, X, X), noise

    def _targets(self, state: State, examples: Examples, n_way: int) -> Tensor:
        if self.regression:
            return examples.y - state["gp.mean"]
        signs = 2.0 * nnf.one_hot(examples.y, n_way) - 1.0
        return signs.to(state["gp.mean"].dtype) - state["gp.mean"]


@dataclass(frozen=True)
class ScaleFreeDeepKernel(DeepKernel):
    """Deep kernel for episodes whose targets have a level and a scale of their own.

    The loss averages over both in closed form (`learners.gaussian_process`); variance and noise
    are in units of the unknown scale. What predicts takes targets as they are.
    """

    regression: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.regression:
            raise LearnerError("class numbers have no level and scale: set regression=True")

    def loss(
        self, state: State, support: Examples, query: Examples, n_way: int, phase: Phase
    ) -> Tensor:
        """Return minus the log marginal likelihood, up to a constant, a row and output."""
        both = Examples(*(torch.cat(pair) for pair in zip(support, query, strict=True)))
        K, noise = self._covariance(state, self.features(state, both.x, both.mask))
        Y = self._targets(state, both, n_way)
        likelihood = gp.scale_free_log_likelihood(K, Y, both.mask, noise)
        return -likelihood / (both.mask.sum() * Y.shape[-1])


def predict_distribution(predictor: Predictor, x: Tensor | NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Return means `(B, m, n_out)` and standard deviations of the targets.

    A deep kernel's deviations are `(B, m)`, one for all outputs and without the noise; those of a
    conditional neural process are `(B, m, n_out)` and hold the noise.

    Args:
        predictor: what `adapt` gave for a batch of support sets, or for one.
        x: query inputs with the leading axis that the support set had.

    Raises:
        LearnerError: if the predictor's learner has no variances, or as `predict` says.
    """
    distribution = getattr(predictor.learner, "distribution", None)
    if distribution is None:
        raise LearnerError(
            f"a {type(predictor.learner).__name__} gives no variances; adapt a DeepKernel or a "
            "ConditionalNeuralProcess"
        )
    batch, mask = predictor.queries(x)
    query = Examples(batch, mask.long(), mask)

    def one(context: State, query: Examples) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = distribution(predictor.state, context, query)
        return found

    with torch.no_grad():
        mean, variance = over_episodes(one, predictor.context, query)
    return (mean[0], variance[0].sqrt()) if predictor.single else (mean, variance.sqrt())
