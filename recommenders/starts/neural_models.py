"""Models of torch that answer for rows: an adapted learner, or a network that was moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learners.learner import Learner, Predictor, State
from learners.networks import Network, Params
from recommenders.starts.gradient_tuning import Chunks, scored
from recommenders.starts.heads import Tunable
from recommenders.threads import one_thread_of_torch

_ROWS = 512


@dataclass(frozen=True, eq=False)
class LearnerModel:
    """A learner after it read a support set.

    Args:
        learner: the method.
        state: what meta-training gave it.
        context: what the support set taught it, with a leading axis of 1.
        n_classes: classes of the task; further outputs of the learner are left out.
    """

    learner: Learner
    state: State = field(repr=False)
    context: State = field(repr=False)
    n_classes: int

    def log_odds(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log-odds `(n, n_classes)`, some rows at a time."""
        device = next(iter(self.context.values())).device
        predictor = Predictor(self.learner, self.state, self.context, self.n_classes, single=True)
        rows, chunks = torch.from_numpy(x).to(device), Chunks(_ROWS)

        def work() -> torch.Tensor:
            parts = [predictor.predict(rows[part]) for part in chunks.of(len(rows))]
            return torch.cat(parts)[:, : self.n_classes]

        with one_thread_of_torch(len(x)):
            return _numbers(chunks.run(work))


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """A network whose outputs, or a head on them, are the classes.

    Args:
        network: the architecture.
        params: its parameters, with a head and the statistics of its normalisations.
        head: prefix of the head's parameters.
    """

    network: Network
    params: Params = field(repr=False)
    head: str

    def log_odds(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log-odds `(n, n_classes)`, some rows at a time."""
        device = next(iter(self.params.values())).device
        whole = Tunable(self.network, self.params, self.head)
        with one_thread_of_torch(len(x)):
            rows = torch.from_numpy(x).to(device)
            return _numbers(scored(whole, self.params, rows, Chunks(_ROWS)))


def _numbers(scores: Any) -> NDArray[np.float64]:
    found: NDArray[np.float64] = scores.double().cpu().numpy()
    return found
