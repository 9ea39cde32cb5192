"""What a start for tables of any width is measured by, and what its tasks look like.

Where there are too few tables to leave some out of the training, the same training is done again
without each of them in turn: what those starts are worth on the table that they never saw is what
the one that saw all is said to be worth.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from learners.episode import examples
from learners.evaluation import evaluate
from learners.learner import Learner, State
from learners.set_encoder import SetEncoder
from learners.training import Budget, Training, meta_train
from learners.wide_tables import Table, WideShape, WideTableSampler
from metastore.starts import Accuracy
from recommenders.starts.training import EPISODES

SHOTS = (5, 10, 25)
WAYS = (2, 5)
FOLDS = 5
"""Trainings that tables are left out of, where they are too few to be left out for good."""
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


def crossed_accuracies(
    learner: Learner,
    tables: Mapping[str, Table],
    training: Training,
    budget: Budget,
    n_episodes: int = EPISODES,
) -> tuple[Accuracy, ...]:
    """Return accuracies on each table of starts that were trained on those of other folds.

    Args:
        learner: what is trained.
        tables: by name; with more than `FOLDS` some are left out together.
        training: settings of the outer loop.
        budget: iterations of each training, and seconds of all together.
        n_episodes: of every shape and table.

    Returns:
        The mean over tables with a 95% half-width of that; none where time is up before the
        last training ends, or with one table.
    """
    names, seen = sorted(tables), defaultdict[tuple[int, int], list[Accuracy]](list)
    until = time.monotonic() + (math.inf if budget.seconds is None else budget.seconds)
    folds = [names[first::FOLDS] for first in range(min(FOLDS, len(names)))]
    for fold in folds if len(names) > 1 else ():
        rest = [tables[name] for name in names if name not in fold]
        sampler = WideTableSampler(rest, WideShape(), training.seed)
        left = Budget(budget.iterations, max(0.0, until - time.monotonic()))
        found = meta_train(learner, sampler, left, training)
        if found.iterations < budget.iterations:
            return ()
        state = {name: value.cpu() for name, value in found.state.items()}
        for name in fold:
            for one in table_accuracies(learner, state, {name: tables[name]}, n_episodes):
                seen[one.n_way, one.k_shot].append(one)
    return tuple(_mean(seen[shape]) for shape in sorted(seen))


def _mean(found: Sequence[Accuracy]) -> Accuracy:
    """Return the mean of one shape's accuracies on several tables."""
    values = np.array([one.value for one in found])
    half_width = found[0].half_width
    if len(found) > 1:
        half_width = float(1.96 * values.std(ddof=1) / math.sqrt(len(values)))
    n_episodes = sum(one.n_episodes for one in found)
    return Accuracy(found[0].n_way, found[0].k_shot, float(values.mean()), half_width, n_episodes)


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
