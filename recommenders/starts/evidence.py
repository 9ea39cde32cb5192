"""What a support set says of a start: held-out adaptation, embeddings, likeness to its tasks.

Held-out adaptation runs the learner's own rule on every fold of a plan at once: folds are a
leading axis of episodes. A learner that embeds and compares embeds each row once.

Notation
    n   rows;  m  held-out answers;  d  width of an embedding;  T  tasks trained on
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learners.embedding import EmbeddingLearner
from learners.episode import Examples
from learners.execution import over_episodes
from learners.inner_loop import GradientLearner
from learners.learner import Learner, State
from learners.networks import MLP, Conv4, Network, without_net
from learners.samplers import Sampler
from recommenders.starts.cross_validation import FloatArray, Folds, HeldOut, IntArray

#: Images or rows that one chunk of folds may hold: more would leave the cache.
_CHUNK = 1024
_NEAREST = 5


@torch.no_grad()
def held_out(
    learner: Learner, state: State, support: Examples, n_way: int, folds: Folds
) -> HeldOut:
    """Return what a start answers for each held-out row after adapting to the others.

    Args:
        learner: the start's.
        state: what it learned.
        support: the whole support set `(n, ...)`, unpadded.
        n_way: its classes.
        folds: what to hold out; at least one fold.

    Raises:
        LearnerError: if the learner does not take such sets.
    """
    rows, labels = folds.rows, support.y.cpu().numpy().astype(np.int64)
    if compares(learner):
        found = _compared(learner, state, support, n_way, folds)
    else:
        found = _adapted(learner, state, support, n_way, folds)
    return HeldOut(found, labels[rows], rows)


def compares(learner: Learner) -> bool:
    """Whether rows are embedded one by one, whatever the set, and then compared."""
    kind = type(learner)
    return (
        isinstance(learner, EmbeddingLearner)
        and kind.fit is EmbeddingLearner.fit
        and kind.scores is EmbeddingLearner.scores
    )


def _compared(
    learner: Any, state: State, support: Examples, n_way: int, folds: Folds
) -> FloatArray:
    """Embed once, and compare fold by fold."""
    z = embedded(learner, state, support)

    def one(train: Examples, query: Examples) -> Tensor:
        answers: Tensor = learner.compare(state, train, train.x, query.x, n_way)
        return answers

    return _over_folds(one, support._replace(x=z), folds)


def _adapted(
    learner: Learner, state: State, support: Examples, n_way: int, folds: Folds
) -> FloatArray:
    def one(train: Examples, query: Examples) -> Tensor:
        return learner.scores(state, learner.fit(state, train, n_way), query, n_way)

    learner.check_ways(n_way)
    return _over_folds(one, support, folds)[:, :n_way]


def _over_folds(one: Any, support: Examples, folds: Folds) -> FloatArray:
    """Return answers `(m, n_out)` in the order of `folds.rows`, some folds at a time."""
    longest = max(map(len, folds.train)) + max(map(len, folds.held))
    size = max(1, _CHUNK // longest)
    found: list[Tensor] = []
    for first in range(0, len(folds), size):
        part = slice(first, first + size)
        train, query = _gathered(support, folds.train[part]), _gathered(support, folds.held[part])
        found.append(over_episodes(one, train, query)[query.mask])
    answers: FloatArray = torch.cat(found).double().cpu().numpy()
    return answers


def _gathered(support: Examples, rows: Sequence[IntArray]) -> Examples:
    """Return a batch of sets `(B, longest, ...)`, padded."""
    longest = max(map(len, rows))
    index = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=bool)
    for i, one in enumerate(rows):
        index[i, : len(one)], mask[i, : len(one)] = one, True
    at = torch.from_numpy(index).to(support.x.device)
    return Examples(support.x[at], support.y[at], torch.from_numpy(mask).to(support.x.device))


@torch.no_grad()
def embedded(learner: Learner, state: State, examples: Examples) -> Tensor:
    """Return the embeddings of a set `(n, d)`.

    They are what a learner compares by, or what lies before the last layer of a network whose
    outputs are the answer. Where the network's rows see each other, they see the whole set.
    """
    network, params = getattr(learner, "network", None), without_net(state)
    if isinstance(learner, GradientLearner):
        params = learner.parameters(state)
    if not isinstance(learner, EmbeddingLearner):
        network, params = without_head(network, params)
    if network is None:
        return examples.x.flatten(1).float()
    found: Tensor = network(params, examples.x, examples.mask)
    return found.flatten(1).float()


def without_head(network: Network | None, params: State) -> tuple[Network | None, State]:
    """Return a network that ends before its last layer, if it has one of a kind that we know."""
    if isinstance(network, Conv4):
        return replace(network, n_out=0), params
    if isinstance(network, MLP) and "head.weight" in params:
        weight = params["head.weight"]
        d = weight.shape[0]
        head = {"head.weight": torch.eye(d).to(weight), "head.bias": weight.new_zeros(d)}
        return replace(network, sizes=(*network.sizes[:-1], d)), params | head
    return network, params


@torch.no_grad()
def task_embeddings(learner: Learner, state: State, sampler: Sampler, n: int) -> FloatArray:
    """Return the embedding of each of `n` training episodes `(n, d)`; see `task_embedding`.

    Args:
        learner: whose network embeds.
        state: what it learned.
        sampler: its training episodes.
        n: how many.
    """
    found: list[Tensor] = []
    index = 0
    while len(found) < n:
        batch = sampler.sample(index, min(8, n - len(found)))
        for episode in batch.split(1):
            support = Examples(*(part[0] for part in episode.support))
            found.append(task_embedding(learner, state, support, episode.n_way))
        index += 1
    means: FloatArray = torch.stack(found).double().cpu().numpy()
    return means


@torch.no_grad()
def task_embedding(learner: Learner, state: State, support: Examples, n_way: int) -> Tensor:
    """Return the embedding `(d,)` of a task: the learner's own, or the mean over its rows."""
    own = getattr(learner, "task_embedding", None)
    if own is not None:
        whole: Tensor = own(state, support, n_way)
        return whole
    weight = support.mask.to(torch.float32)[:, None]
    return (embedded(learner, state, support) * weight).sum(0) / weight.sum()


def novelty(embedding: FloatArray, tasks: FloatArray) -> float:
    """Return how far a task is from those trained on, over how far those are from each other.

    Distance is to the nearest few of the tasks; theirs is the median of the same, each left out.
    About 1 for a task like them, larger for a stranger; NaN with fewer than three tasks.

    Args:
        embedding: mean embedding of the task `(d,)`.
        tasks: mean embeddings of tasks trained on `(T, d)`.

    >>> novelty(np.array([9.0]), np.array([[0.0], [1.0], [2.0], [3.0]])) > 3
    True
    """
    if len(tasks) < 3:
        return math.nan
    near = min(_NEAREST, len(tasks) - 1)
    among = np.linalg.norm(tasks[:, None] - tasks[None], axis=-1)
    usual = float(np.median(np.sort(among, axis=1)[:, 1 : near + 1].mean(1)))
    away = float(np.sort(np.linalg.norm(tasks - embedding, axis=1))[:near].mean())
    return away / usual if usual > 0 else (1.0 if away == 0 else math.inf)
