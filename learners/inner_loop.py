"""The inner loop: a few steps of gradient descent on the support set of one episode.

MAML (Finn et al. 2017), first-order MAML, ANIL (Raghu et al. 2020), Meta-SGD (Li et al. 2017)
and MAML++ (Antoniou et al. 2019) are configurations of this one engine.

Notation
    theta       meta-parameters, `net.*` in the state
    phi_t       parameters of an episode after t steps, phi_0 = theta
    alpha       step sizes, `rate.*` in the state where they are learned
    L_s, L_q    loss on the support and on the query set

    phi_{t+1} = phi_t - alpha_t * dL_s/dphi(phi_t)        for the parameters that adapt
    meta-loss = L_q(phi_T), or sum_t w_t L_q(phi_t)       (multi-step loss)

First order: every dL_s/dphi is a constant, so d phi_T / d theta is the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.func import grad

from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.execution import Execution, on_tape, over_episodes, spare_workers
from learners.immediate import differentiated_now
from learners.inner_settings import NORM, InnerLoop, step_weights
from learners.learner import Learner, Phase, State
from learners.losses import at_least_float32
from learners.networks import Conv4, Network, without_net
from learners.recompute import through_steps
from learners.settled import Settled, body_and_head

__all__ = ["GradientLearner", "InnerLoop"]

_PIXELS = 2**14
"""Pixels of a set, or of several, up to which convolutions are computed at once on a CPU."""


@dataclass(frozen=True)
class GradientLearner(Learner):
    """A network that learns an episode by gradient descent from a meta-learned start.

    Args:
        network: the network; its outputs are class log-odds or regression means.
        loop: the inner loop.
        regression: whether targets are numbers rather than classes.
        prediction_steps: steps when predicting; those of the loop by default.
    """

    network: Network
    loop: InnerLoop = field(default_factory=InnerLoop)
    regression: bool = False
    prediction_steps: int | None = None

    @property
    def classification(self) -> bool:
        """Whether `y` holds class numbers."""
        return not self.regression

    def predicting(self, steps: int) -> GradientLearner:
        """Return the same learner with another number of inner steps when predicting."""
        return replace(self, prediction_steps=steps)

    def init(self, seed: int) -> State:
        """Return the network's parameters, and the step sizes where they are learned."""
        params = self.network.init(torch.Generator().manual_seed(seed))
        moving = [name for name in params if self.loop.moves(name)]
        if not moving:
            raise LearnerError(
                f"no parameter's name starts with one of {self.loop.adapts}; the network has "
                f"{sorted(params)}"
            )
        state: State = {}
        for name, value in params.items():
            per_step = self.loop.step_norm and name.endswith(NORM)
            state[f"net.{name}"] = (
                value.expand(self.loop.steps, *value.shape).clone() if per_step else value
            )
        if self.loop.learned_rates != "none":
            by_weight = self.loop.learned_rates == "weight"
            for name in moving:
                shape = params[name].shape if by_weight else (self.loop.steps,)
                state[f"rate.{name}"] = torch.full(shape, self.loop.rate)
        return state

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return the adapted parameters after `prediction_steps`, and the support set."""
        steps = self.prediction_steps or self.loop.steps
        fast, inner, read = self._start(state), self, support
        if self._moves_head_alone:
            inner, read, _ = self._over_features(state, support, None)
        for step in range(steps):
            fast = inner._step(state, fast, read, step, first_order=True)
        context = {f"fast.{name}": value for name, value in fast.items()}
        if self._leans_on_support:
            context |= {"support.x": support.x, "support.mask": support.mask}
        return context

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return the adapted network's outputs."""
        prefix = "fast."
        fast = {k.removeprefix(prefix): v for k, v in context.items() if k.startswith(prefix)}
        step = (self.prediction_steps or self.loop.steps) - 1
        support = (
            Examples(context["support.x"], query.y, context["support.mask"])
            if self._leans_on_support
            else None
        )
        return self._query(state, fast, support, query, step)

    def loss(
        self, state: State, support: Examples, query: Examples, n_way: int, phase: Phase
    ) -> Tensor:
        """Return the query loss after the last step, or the weighted sum over all steps."""
        if self._moves_head_alone:
            inner, read, asked = self._over_features(state, support, query)
            return inner.loss(state, read, asked, n_way, phase)
        fast = self._start(state, support.mask.shape[:-1])
        total: Tensor | None = None
        for step in range(self.loop.steps):
            fast = self._step(state, fast, support, step, phase.first_order)
            if phase.step_weights is not None:
                each = self._query_loss(state, fast, support, query, step)
                weighted = phase.step_weights[step] * each
                total = weighted if total is None else total + weighted
        if total is None:
            total = self._query_loss(state, fast, support, query, self.loop.steps - 1)
        return total

    def phase(self, iteration: int) -> Phase:
        """Return the order of derivatives and the step weights at a meta-iteration."""
        first_order = self.loop.first_order or iteration < self.loop.first_order_until
        if iteration >= self.loop.multi_step_until:
            return Phase(first_order)
        return Phase(first_order, step_weights(iteration, self.loop))

    def chunk(self, episodes: Episodes, execution: Execution) -> int:
        """Return all episodes for plain layers; as many as stay in cache for convolutions."""
        if execution.chunk is not None or execution.device != "cpu":
            return super().chunk(episodes, execution)
        if isinstance(self.network, Settled):
            return 1
        if not self.network.normalises:
            return len(episodes)
        if self.several(execution):
            return max(1, _PIXELS // episodes.support.x[0, :, 0].numel())
        images = episodes.support.x.shape[1] + episodes.query.x.shape[1]
        passes = 1 if self._moves_head_alone else self.loop.steps
        return max(1, min(16, 320 // (images * passes)))

    def several(self, execution: Execution) -> bool:
        """Whether the network computes several episodes at once by itself: `Conv4` on a CPU."""
        plain = execution.device == "cpu" and execution.dtype == "float32"
        computes = isinstance(self.network, Conv4) and not self._moves_head_alone
        return computes and plain and not (execution.compiled or execution.recompute)

    def workers(self, execution: Execution) -> int:
        """Return as many as there may be where convolutions on a CPU take most of the time."""
        if execution.workers is None and self.several(execution):
            return spare_workers()
        return super().workers(execution)

    def meta_gradient(
        self, state: State, episodes: Episodes, phase: Phase, execution: Execution
    ) -> tuple[State, Tensor]:
        """Return gradient and losses; step after step where `execution.recompute` says so."""
        if not execution.recompute:
            return super().meta_gradient(state, episodes, phase, execution)
        total = {name: torch.zeros_like(value) for name, value in state.items()}
        losses = []
        for part in episodes.split(self.chunk(episodes, execution)):
            with execution.autocast():
                each, found = over_episodes(
                    lambda support, query: self._recomputed(state, support, query, phase),
                    part.support,
                    part.query,
                )
            losses.append(found)
            total = {name: value + each[name].sum(0) for name, value in total.items()}
        return {name: value / len(episodes) for name, value in total.items()}, torch.cat(losses)

    def _recomputed(
        self, state: State, support: Examples, query: Examples, phase: Phase
    ) -> tuple[State, Tensor]:
        weights = phase.step_weights
        if weights is None:
            weights = torch.zeros(self.loop.steps, device=support.x.device)
            weights[-1] = 1.0

        def step(state: State, fast: State, t: int) -> State:
            return self._step(state, fast, support, t, phase.first_order)

        def loss(state: State, fast: State, t: int) -> Tensor:
            return self._query_loss(state, fast, support, query, t)

        total, of_start, value = through_steps(state, self._start(state), step, loss, weights)
        for name, gradient in of_start.items():
            total[f"net.{name}"] = total[f"net.{name}"] + gradient
        return total, value

    def parameters(self, state: State, step: int = 0) -> State:
        """Return the network's own parameters before an inner step, by its own names.

        Those that MAML++ keeps for every step are the step's; later steps have the last ones.
        """
        return self._params(state, {}, step)

    @property
    def _leans_on_support(self) -> bool:
        return self.network.normalises and not self.loop.query_statistics

    @property
    def _moves_head_alone(self) -> bool:
        """Whether the layers before the head give the same features at every step."""
        heads = all(prefix.startswith("head") for prefix in self.loop.adapts)
        return heads and not self.loop.step_norm and body_and_head(self.network) is not None

    def _over_features(
        self, state: State, support: Examples, query: Examples | None
    ) -> tuple[GradientLearner, Examples, Examples]:
        """Return this learner over features, and both sets as features; no query is no rows."""
        parts = body_and_head(self.network)
        if parts is None:
            raise LearnerError(f"{self.network} has no layer to tell from the others as its head")
        body, head = parts
        if query is None:
            query = Examples(*(part[:0] for part in support))
        n, params = support.x.shape[0], without_net(state)
        if self._leans_on_support or not body.normalises:
            x = torch.cat([support.x, query.x])
            z = body(params, x, torch.cat([support.mask, torch.zeros_like(query.mask)]))
            read, asked = z[:n], z[n:]
        else:
            read = body(params, support.x, support.mask)
            asked = body(params, query.x, query.mask)
        return (
            replace(self, network=head),
            support._replace(x=at_least_float32(read)),
            query._replace(x=at_least_float32(asked)),
        )

    def _start(self, state: State, batch: tuple[int, ...] = ()) -> State:
        """Return phi_0, one for each episode of a batch.

        On the tape filters lie in memory as convolutions there read them fastest.
        """
        start = {
            name: state[f"net.{name}"] for name in _network_names(state) if self.loop.moves(name)
        }
        if not on_tape():
            return start
        return {name: _for_each(value, batch) for name, value in start.items()}

    def _step(
        self, state: State, fast: State, support: Examples, step: int, first_order: bool
    ) -> State:
        """Return phi_{t+1}; see the module's notation."""
        fixed, at = (_detached(state), _detached(fast)) if first_order else (state, fast)
        if first_order:
            # They can be features, which lead back to the state.
            support = support._replace(x=support.x.detach())

        def support_loss(fast: State) -> Tensor:
            params = self._params(fixed, fast, step)
            return self.criterion(self.network(params, support.x, support.mask), support)

        gradient = _gradient(support_loss, at, first_order)
        return {
            name: value - self._rate(state, name, step) * gradient[name]
            for name, value in fast.items()
        }

    def _rate(self, state: State, name: str, step: int) -> Tensor | float:
        if self.loop.learned_rates == "none":
            return self.loop.rate
        rate = state[f"rate.{name}"]
        return rate if self.loop.learned_rates == "weight" else rate[min(step, self.loop.steps - 1)]

    def _params(self, state: State, fast: State, step: int) -> State:
        params = {}
        for name in _network_names(state):
            value = fast.get(name, state[f"net.{name}"])
            if self.loop.step_norm and name.endswith(NORM):
                value = value[min(step, self.loop.steps - 1)]
            params[name] = value
        return params

    def _query_loss(
        self, state: State, fast: State, support: Examples, query: Examples, step: int
    ) -> Tensor:
        params = self._params(state, fast, step)
        if query.mask.ndim == 1 or query.x[0, :, 0].numel() <= _PIXELS:
            return self.criterion(self._outputs(params, support, query), query)
        # The activations of many queries would neither stay in cache nor be needed again.
        parts = {name: torch.unbind(value) for name, value in fast.items()}
        losses = []
        for i in range(len(query.mask)):
            asked = Examples(*(part[i] for part in query))
            seen = None if support is None else Examples(*(part[i] for part in support))

            def loss(at: State, seen: Examples | None = seen, asked: Examples = asked) -> Tensor:
                return self.criterion(self._outputs(at, seen, asked), asked)

            own = params | {name: part[i] for name, part in parts.items()}
            losses.append(differentiated_now(loss, own))
        return torch.stack(losses)

    def _query(
        self, state: State, fast: State, support: Examples | None, query: Examples, step: int
    ) -> Tensor:
        return self._outputs(self._params(state, fast, step), support, query)

    def _outputs(self, params: State, support: Examples | None, query: Examples) -> Tensor:
        if support is None or not self._leans_on_support:
            return self.network(params, query.x, query.mask)
        axis = support.mask.ndim - 1
        x = torch.cat([support.x, query.x], axis)
        mask = torch.cat([support.mask, torch.zeros_like(query.mask)], axis)
        n = support.mask.shape[axis]
        return self.network(params, x, mask).narrow(axis, n, query.mask.shape[axis])


def _network_names(state: State) -> list[str]:
    return [name.removeprefix("net.") for name in state if name.startswith("net.")]


def _gradient(function: Callable[[State], Tensor], at: State, constant: bool) -> State:
    """Return the gradient of a function; `constant` if nothing will ask for that of the gradient.

    The tape, where it is at hand, gives the same by fewer steps.
    """
    if not on_tape():
        found: State = grad(lambda at: function(at).sum())(at)
        return found
    if constant:
        at = {name: value.detach().requires_grad_() for name, value in at.items()}
    entries = torch.autograd.grad(
        function(at).sum(), list(at.values()), create_graph=not constant, allow_unused=True
    )
    pairs = zip(at.items(), entries, strict=True)
    return {name: torch.zeros_like(w) if g is None else g for (name, w), g in pairs}


def _for_each(value: Tensor, batch: tuple[int, ...]) -> Tensor:
    """Return a parameter for each episode; filters with channels last in memory."""
    if value.ndim != 4:
        return value.expand((*batch, *value.shape))
    last = value.permute(0, 2, 3, 1)
    return last.expand((*batch, *last.shape)).contiguous().movedim(-1, -3)


def _detached(state: State) -> State:
    return {name: value.detach() for name, value in state.items()}
