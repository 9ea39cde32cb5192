"""The learner protocol: one episode's pure functions, and what runs a batch of them.

A learner is an immutable value: a network and settings. What it learned is its *state*, a
flat dict of tensors. It says what happens in one episode:

    context = fit(state, support)              nothing is kept anywhere else
    scores  = scores(state, context, query)    (n_query, n_out): log-odds, or a regression mean

and this module runs it over the leading axis of a batch, in chunks under `torch.func.vmap`
or one after the other, with the same result up to rounding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import grad_and_value

from learners.episode import Episodes, Examples, outside, tensor_of
from learners.errors import LearnerError
from learners.execution import Execution, in_turn, over_episodes, taped
from learners.given import queries, support_like
from learners.losses import cross_entropy, mean_squared_error
from learners.own_module import ModuleNetwork

State = dict[str, Tensor]
"""A flat dict of tensors: everything that was learned, and nothing else."""


@dataclass(frozen=True)
class Learner(ABC):
    """What every method gives: `init`, `fit`, `scores`, and a loss of one episode.

    Subclasses are frozen dataclasses.
    """

    @property
    def classification(self) -> bool:
        """Whether `y` holds class numbers; otherwise regression targets."""
        return True

    @property
    def ordered(self) -> bool:
        """Whether the support set is read as a sequence.

        Training and evaluation then shuffle the support sets that a sampler gives: most sort
        them by class, and the place in the sequence would tell the label.
        """
        return False

    @property
    def most_ways(self) -> int | None:
        """The most classes that an episode can have; None where any number goes."""
        return None

    @abstractmethod
    def init(self, seed: int) -> State:
        """Return an untrained state; the same seed gives the same state."""

    @abstractmethod
    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return what the support set of one episode teaches, as a flat dict of tensors."""

    @abstractmethod
    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return `(n_query, n_out)` log-odds or means for one episode; `query.y` is not read."""

    def loss(
        self, state: State, support: Examples, query: Examples, n_way: int, phase: Phase
    ) -> Tensor:
        """Return the scalar that meta-training lowers: by default the loss on the query set."""
        scores = self.scores(state, self.fit(state, support, n_way), query, n_way)
        return self.criterion(scores, query)

    def criterion(self, scores: Tensor, examples: Examples) -> Tensor:
        """Return cross-entropy in nats, or mean squared error, over the real rows."""
        if self.classification:
            return cross_entropy(scores, examples.y, examples.mask)
        return mean_squared_error(scores, examples.y, examples.mask)

    def phase(self, iteration: int) -> Phase:
        """Return what of the loss depends on the meta-iteration; by default nothing."""
        return Phase()

    def finish(self, state: State, episodes: Episodes) -> State:
        """Return the state to predict with, given training episodes; by default the same."""
        return state

    def chunk(self, episodes: Episodes, execution: Execution) -> int:
        """Return how many episodes to run under one `vmap`."""
        if execution.chunk is None:
            return len(episodes)
        return execution.chunk or len(episodes)

    def several(self, execution: Execution) -> bool:
        """Whether `loss` also takes several episodes at once, by a leading axis of its arguments.

        Then it returns their losses `(B,)`, and `vmap` is not needed.
        """
        return False

    def workers(self, execution: Execution) -> int:
        """Return how many threads share the chunks of a batch: one, unless said otherwise.

        What is compiled, and a GPU, are for one thread alone.
        """
        alone = execution.compiled or execution.device != "cpu"
        return 1 if alone else execution.workers or 1

    def meta_gradient(
        self, state: State, episodes: Episodes, phase: Phase, execution: Execution
    ) -> tuple[State, Tensor]:
        """Return the gradient of the mean loss, and the losses `(B,)` themselves."""
        return chunked_gradient(self, state, episodes, phase, execution)

    def check_ways(self, n_way: int) -> None:
        """Check the number of classes of an episode.

        Raises:
            LearnerError: if this learner was made for fewer.
        """
        if self.most_ways is not None and n_way > self.most_ways:
            raise LearnerError(
                f"this {type(self).__name__} was made for at most {self.most_ways} classes, got "
                f"an episode of {n_way}; make and train one with a larger n_way"
            )

    def adapt(self, state: State, support: Examples, n_way: int | None = None) -> Predictor:
        """Learn from support sets; pure: neither learner nor state changes.

        Args:
            state: what meta-training gave.
            support: one set `(n, ...)`, or a batch `(B, n, ...)`.
            n_way: classes; by default one more than the highest label.

        Returns:
            A predictor for queries of the same episodes.

        Raises:
            LearnerError: if the labels are not what this learner takes, or the set is not one.
        """
        if self.classification == support.y.is_floating_point():
            raise LearnerError(
                f"{type(self).__name__} expects "
                f"{'int64 class numbers' if self.classification else 'float targets'}, got "
                f"labels of type {support.y.dtype}"
            )
        if n_way is None:
            n_way = int(support.y.max()) + 1 if self.classification else 0
        self.check_ways(n_way)
        if self.classification and outside(support.y, n_way):
            raise LearnerError(
                f"labels must be integers from 0 to {n_way - 1}, got {support.y.min().item()} to "
                f"{support.y.max().item()}"
            )
        single = support.mask.ndim == 1
        support = support_like(
            state, support, classification=self.classification, whole=self.own_inputs
        )
        batch = Examples(*(part[None] for part in support)) if single else support
        with torch.no_grad():
            context = over_episodes(lambda one: self.fit(state, one, n_way), batch)
        return Predictor(self, state, context, n_way, single, tuple(batch.x.shape[2:]))

    @property
    def own_inputs(self) -> bool:
        """Whether a user's own module reads the inputs, whole numbers as they are."""
        return isinstance(getattr(self, "network", None), ModuleNetwork)


@dataclass(frozen=True)
class Phase:
    """Where in meta-training a loss is taken.

    Args:
        first_order: whether the inner gradients count as constants.
        step_weights: weight of the query loss after each inner step `(steps,)`; None where
            only the last counts.
    """

    first_order: bool = False
    step_weights: Tensor | None = None


@dataclass(frozen=True)
class Predictor:
    """What a learner made of support sets; immutable.

    Args:
        learner: who made it.
        state: the meta-trained state.
        context: what the support sets taught, with leading axis B.
        n_way: classes; 0 for regression.
        single: whether one set without a leading axis was given.
        shape: of one input of the support set.
    """

    learner: Learner
    state: State = field(repr=False)
    context: State = field(repr=False)
    n_way: int
    single: bool
    shape: tuple[int, ...] | None = None

    @torch.no_grad()
    def predict(self, x: Tensor | NDArray[Any], mask: Tensor | None = None) -> Tensor:
        """Return scores `(n_query, n_out)`, or `(B, n_query, n_out)` for a batch.

        Args:
            x: inputs with the leading axis that the support set had; a tensor or a NumPy array.
            mask: False for padding; all True by default.

        Returns:
            Log-odds of the classes (add any constant), or means of the targets.

        Raises:
            LearnerError: if the inputs are bytes, not of the support set's shape, or not finite.
        """
        x, mask = self.queries(x, mask)
        if self.learner.classification and not x.shape[1]:
            none = x.new_zeros((len(x), 0, self.n_way))
            return none[0] if self.single else none
        query = Examples(x, torch.zeros(x.shape[:2], dtype=torch.long, device=x.device), mask)

        def one(context: State, part: Examples) -> Tensor:
            return self.learner.scores(self.state, context, part, self.n_way)

        scores: Tensor = over_episodes(one, self.context, query)
        if self.learner.classification:
            # A network can have room for more classes than the episode has.
            scores = scores[..., : self.n_way]
        return scores[0] if self.single else scores

    def queries(
        self, x: Tensor | NDArray[Any], mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return inputs `(B, n_query, *shape)` as the state computes with them, and their mask.

        Raises:
            LearnerError: as `predict`.
        """
        x = tensor_of(x)
        if self.single:
            x, mask = x[None], None if mask is None else mask[None]
        return queries(self.state, x, mask, self.shape, whole=self.learner.own_inputs)


def chunked_gradient(
    learner: Learner, state: State, episodes: Episodes, phase: Phase, execution: Execution
) -> tuple[State, Tensor]:
    """Return the gradient of the mean loss over the batch, summed over chunks.

    d/ds (1/B) sum_b loss_b(s) is a sum over episodes, so any split gives the same gradient.
    """

    def of(part: Episodes) -> tuple[State, Tensor]:
        function = _gradient_of(learner, part, phase.first_order, execution)
        with execution.autocast():
            gradient, (_, each) = function(state, part.support, part.query, phase.step_weights)
        return gradient, each

    total = {name: torch.zeros_like(value) for name, value in state.items()}
    losses = []
    parts = list(episodes.split(learner.chunk(episodes, execution)))
    for gradient, each in in_turn(of, parts, learner.workers(execution)):
        losses.append(each)
        for name in state:
            total[name] += gradient[name]
    return {name: value / len(episodes) for name, value in total.items()}, torch.cat(losses)


_COMPILED: dict[tuple[Learner, int, bool], Callable[..., Any]] = {}


def _gradient_of(
    learner: Learner, part: Episodes, first_order: bool, execution: Execution
) -> Callable[..., Any]:
    n_way, compiled = part.n_way, execution.compiled
    several = len(part) > 1 and learner.several(execution)

    def summed(
        state: State, support: Examples, query: Examples, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        phase = Phase(first_order, weights)

        def one(support: Examples, query: Examples) -> Tensor:
            return learner.loss(state, support, query, n_way, phase)

        losses: Tensor = one(support, query) if several else over_episodes(one, support, query)
        return losses.sum(), losses.detach()

    if (several or len(part) == 1) and not compiled:
        return by_tape(summed)
    function = grad_and_value(summed, has_aux=True)
    if not compiled:
        return function
    key = (learner, n_way, first_order)
    if key not in _COMPILED:
        execution.check_compiler()
        _COMPILED[key] = torch.compile(function, dynamic=False)
    return _COMPILED[key]


def by_tape(summed: Callable[..., tuple[Tensor, Any]]) -> Callable[..., Any]:
    """Return `grad_and_value(summed, has_aux=True)` by PyTorch's own tape.

    Where nothing is batched by `vmap`, the tape takes a sixth less time over a MAML step.
    """

    def function(state: State, *batch: Any) -> tuple[State, tuple[Tensor, Tensor]]:
        with torch.enable_grad(), taped():
            leaves = {name: value.detach().requires_grad_() for name, value in state.items()}
            value, losses = summed(leaves, *batch)
            found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        pairs = zip(leaves.items(), found, strict=True)
        gradient = {name: torch.zeros_like(w) if g is None else g for (name, w), g in pairs}
        return gradient, (value.detach(), losses)

    return function
