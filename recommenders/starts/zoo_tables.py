"""What a start for tables of any width is measured by, and what its tasks look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from learners.episode import examples
from learners.evaluation import evaluate
from learners.learner import Learner, State
from learners.set_encoder import SetEncoder
from learners.wide_tables import Table, WideShape, WideTableSampler
from metastore.starts import Accuracy
from recommenders.starts.training import EPISODES

SHOTS = (5, 10, 25)
WAYS = (2, 5)
_ROWS = 20
"""Rows a class from which a task's embedding is read."""


def table_accuracies(
    learner: Learner, state: State, tables: Mapping[str, Table], n_episodes: int = EPISODES
) -> tuple[Accuracy, ...]:
    """Return accuracies on tables that were never trained on; none where there are none."""
    found = []
    for way in WAYS:
        wide = [one for one in tables.values() if int((one[1].bincount() >= 2).sum()) >= way]
        for shots in SHOTS if wide else ():
            shape = WideShape(
                (way, way), (shots,), rows=way * shots, uneven=0.0, thinned=0.0, turned=0.0
            )
            score = evaluate(learner, state, WideTableSampler(wide, shape, 1), n_episodes)
            found.append(Accuracy(way, shots, score.mean, score.half_width, score.n_episodes))
    return tuple(found)


def table_embeddings(
    learner: Learner, state: State, tables: Mapping[str, Table] | Sequence[Table]
) -> Tensor | None:
    """Return the embedding `(n_tables, width)` of each table, from some rows of its classes."""
    if not isinstance(learner, SetEncoder):
        return None
    rows = []
    for x, y in tables.values() if isinstance(tables, Mapping) else tables:
        drawn = np.concatenate(
            [np.flatnonzero(y.numpy() == label)[:_ROWS] for label in range(int(y.max()) + 1)]
        )
        taken = torch.from_numpy(drawn)
        with torch.no_grad():
            rows.append(
                learner.task_embedding(state, examples(x[taken], y[taken]), int(y.max()) + 1)
            )
    return torch.stack(rows)
