"""What learners by comparison share: one embedding network, and how its rows are normalised.

While training, support and query are embedded in one batch. `finish` then measures the mean
and variance of every normalisation on training episodes (population statistics: Wu and
Johnson, "Rethinking Batch in BatchNorm", 2021, section 3.2), so that a prediction depends on
nothing but the support set and the query itself. A state that was never finished, such as a
fresh one, has no such moments: under it queries are normalised together.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.episode import Episodes, Examples
from learners.execution import Execution, alone, over_episodes
from learners.immediate import once
from learners.learner import Learner, Phase, State
from learners.losses import at_least_float32
from learners.networks import Network, normalising, under_net, without_net


@dataclass(frozen=True)
class EmbeddingLearner(Learner):
    """A learner that embeds and compares.

    Args:
        network: maps inputs `(n, *shape)` to embeddings `(n, d)`.
    """

    network: Network

    def init(self, seed: int) -> State:
        """Return the network's parameters under `net.`."""
        return under_net(self.network.init(torch.Generator().manual_seed(seed)))

    @abstractmethod
    def compare(
        self, state: State, support: Examples, z: Tensor, query_z: Tensor, n_way: int
    ) -> Tensor:
        """Return log-odds `(n_query, n_way)` from embeddings `(n, d)` and `(n_query, d)`."""

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return the embedded support set."""
        z = at_least_float32(self.network(without_net(state), support.x, support.mask))
        return {"z": z, "y": support.y, "mask": support.mask}

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return log-odds of the queries, each embedded by itself."""
        query_z = at_least_float32(self.network(without_net(state), query.x, query.mask))
        support = Examples(context["z"], context["y"], context["mask"])
        return self.compare(state, support, context["z"], query_z, n_way)

    def loss(
        self, state: State, support: Examples, query: Examples, n_way: int, phase: Phase
    ) -> Tensor:
        """Return the loss of the query set, both sets embedded in one batch."""
        z, query_z = self.embed_together(state, support, query)
        return self.embedded_loss(state, support._replace(x=z), query._replace(x=query_z), n_way)

    def embedded_loss(self, state: State, support: Examples, query: Examples, n_way: int) -> Tensor:
        """Return the loss where `x` of both sets holds embeddings: by default cross-entropy."""
        return self.criterion(self.compare(state, support, support.x, query.x, n_way), query)

    def chunk(self, episodes: Episodes, execution: Execution) -> int:
        """Return one episode where convolutions on a CPU take most of the time, or all."""
        if execution.chunk is None and self._embeds_alone(execution):
            return 1
        return super().chunk(episodes, execution)

    def meta_gradient(
        self, state: State, episodes: Episodes, phase: Phase, execution: Execution
    ) -> tuple[State, Tensor]:
        """Return gradient and losses, each part of the work run as is fastest for it.

        On a CPU convolutions are, one episode after the other: then normalisation is one kernel,
        and channels can lie last. What compares embeddings is many small products, fastest over
        all episodes at once.
        """
        if not self._embeds_alone(execution) or execution.chunk is not None or len(episodes) == 1:
            return super().meta_gradient(state, episodes, phase, execution)
        with torch.enable_grad(), execution.autocast():
            leaves = {name: value.detach().requires_grad_() for name, value in state.items()}
            found = [self.embed_together(leaves, *_only(one)) for one in episodes.split(1)]
            z, query_z = (torch.stack(part) for part in zip(*found, strict=True))

            def one(support: Examples, query: Examples) -> Tensor:
                return self.embedded_loss(leaves, support, query, episodes.n_way)

            embedded = episodes.support._replace(x=z), episodes.query._replace(x=query_z)
            losses: Tensor = over_episodes(one, *embedded)
        entries = torch.autograd.grad(losses.mean(), list(leaves.values()), allow_unused=True)
        pairs = zip(leaves.items(), entries, strict=True)
        gradient = {name: torch.zeros_like(w) if g is None else g for (name, w), g in pairs}
        return gradient, losses.detach()

    def _embeds_alone(self, execution: Execution) -> bool:
        return self.network.normalises and execution.device == "cpu" and not execution.compiled

    def embed_together(
        self, state: State, support: Examples, query: Examples
    ) -> tuple[Tensor, Tensor]:
        """Return the embeddings of both sets, normalised as one batch."""
        x, mask = torch.cat([support.x, query.x]), torch.cat([support.mask, query.mask])
        with once() if alone() else nullcontext():
            z = at_least_float32(self.network(without_net(state), x, mask))
        return z[: support.x.shape[0]], z[support.x.shape[0] :]

    @torch.no_grad()
    def finish(self, state: State, episodes: Episodes) -> State:
        """Return the state with population statistics of the normalisations.

        The mean over episodes of the batch mean, and of the batch variance plus the spread of
        the batch means: the moments of all episodes together where they are of equal size.
        """
        plain = {k: v for k, v in state.items() if not k.endswith((".mean", ".variance"))}
        rows = [
            self.statistics(plain, *_only(episode), episodes.n_way) for episode in episodes.split(1)
        ]
        finished = dict(plain)
        for name in rows[0]:
            values = torch.stack([row[name] for row in rows])
            finished[name] = values.mean(0)
            if name.endswith(".variance"):
                means = torch.stack([row[name.replace(".variance", ".mean")] for row in rows])
                finished[name] += means.var(0, unbiased=False)
        return finished

    def statistics(self, state: State, support: Examples, query: Examples, n_way: int) -> State:
        """Return the moments of every normalisation on one episode, under their state's names."""
        if not normalising(self.network):
            return {}
        x, mask = torch.cat([support.x, query.x]), torch.cat([support.mask, query.mask])
        return under_net(self.network.statistics(without_net(state), x, mask))


def _only(episodes: Episodes) -> tuple[Examples, Examples]:
    """Return the support and the query set of a batch of one episode."""
    support, query = (Examples(*(v[0] for v in e)) for e in (episodes.support, episodes.query))
    return support, query
