"""Omniglot at 28 x 28: 1,200 characters to train on, the rest to test on (Santoro et al. 2016).

Characters are shuffled by seed; turned by 90, 180 and 270 degrees they make new classes for
training only. The last 100 of the 1,200 choose the state to keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from benchmarks.realdata import realdata
from learners.embedding import EmbeddingLearner
from learners.execution import Execution
from learners.learner import State
from learners.networks import Network, without_net
from learners.samplers import ClassSampler, Shape, class_images, quarter_turns, split_classes
from learners.training import Trained


@dataclass(frozen=True, eq=False)
class Omniglot:
    """Images by class: `(n_classes, 20, 1, 28, 28)` bytes, or embeddings in their place."""

    train: Tensor
    validation: Tensor
    test: Tensor

    def embedded(self, trained: Trained) -> Omniglot:
        """Return embeddings `(n_classes, n_each, d)` in place of images, centred.

        Args:
            trained: a learner by comparison. Its embeddings' mean over the training characters
                becomes 0: distances do not change, and what reads them learns sooner.
        """
        learner = trained.learner
        if not isinstance(learner, EmbeddingLearner):
            raise TypeError(f"expected a learner by comparison, got {type(learner).__name__}")
        parts = [
            embedded(part, learner.network, trained.state)
            for part in (self.train, self.validation, self.test)
        ]
        mean = parts[0].mean((0, 1))
        return Omniglot(*(part - mean for part in parts))


@torch.no_grad()
def embedded(images: Tensor, network: Network, state: State) -> Tensor:
    """Return the embeddings `(n_classes, n_each, d)` of images `(n_classes, n_each, ...)`.

    With population statistics an embedding depends on its image alone, so that episodes of
    embeddings score as those of images do; but each image is embedded once.
    """
    rows = []
    with Execution().prepared():
        for part in images:
            mask = torch.ones(len(part), dtype=torch.bool)
            rows.append(network(without_net(state), part.float() / 255, mask))
    return torch.stack(rows)


@cache
def omniglot(seed: int = 0) -> Omniglot:
    """Return the split by a seed."""
    images = torch.from_numpy(class_images(realdata("omniglot/omniglot_28x28.npz")))[:, :, None]
    train, validation, test = split_classes(len(images), (1100, 100, 423), seed)
    return Omniglot(quarter_turns(images[train]), images[validation], images[test])


def samplers(
    train: Shape, test: Shape, seed: int = 0, data: Omniglot | None = None
) -> tuple[ClassSampler, ...]:
    """Return the samplers to train with, to validate with and to test with."""
    data = data or omniglot()
    return (
        ClassSampler(data.train, train, seed),
        ClassSampler(data.validation, test, 10_000 + seed),
        ClassSampler(data.test, test, 20_000 + seed),
    )
