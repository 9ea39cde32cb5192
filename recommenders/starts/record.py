"""How candidates did on earlier tasks: the runs of fine-tuning that the store remembers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metastore.errors import UnknownNameError
from metastore.reading import dataset_labels
from metastore.types import dataset_id
from recommenders.starts.beliefs import log_odds
from recommenders.starts.cross_validation import FloatArray

if TYPE_CHECKING:
    from metastore.store import MetaStore
    from recommenders.starts.support_set import SupportSet

ALGORITHM = "finetune"
METRIC = "accuracy"
KEY = "start"
"""Name under which a fine-tuning's config holds the start, or what it was done without."""
MODE = "mode"
"""Name under which it holds the mode of its tuning."""

_TESTED = 100


def past_tasks(
    store: MetaStore,
    choices: Sequence[tuple[str, str | None]],
    leave_out: SupportSet | None = None,
) -> FloatArray:
    """Return log-odds of accuracy `(n_tasks, n_choices)`, NaN where a choice did not run.

    Several tunings of a start on a task that have the same mode count by their mean.

    Args:
        store: its runs of `ALGORITHM` with `METRIC`.
        choices: names of starts, "from scratch" and plain classifiers, each with the mode of its
            tuning; None for any.
        leave_out: a support set whose own runs, and its near-duplicates', stay out.
    """
    try:
        view = store.view(METRIC, ALGORITHM)
    except UnknownNameError:
        return np.empty((0, len(choices)))
    if leave_out is not None:
        number = str(dataset_id(leave_out.dataset()))
        with store.reader() as con:
            label = dataset_labels(con).get(number)
        view = view if label is None or label not in view.datasets else view.without([label])
    scores = view.matrix()
    made_of = [view.config(c) for c in range(view.n_configs)]
    past = np.full((view.n_datasets, len(choices)), np.nan)
    for j, (choice, mode) in enumerate(choices):
        columns = [
            c
            for c, config in enumerate(made_of)
            if config.get(KEY) == choice and mode in (None, config.get(MODE, mode))
        ]
        for d, row in enumerate(scores[:, columns]):
            if np.isfinite(row).any():
                past[d, j] = log_odds(float(np.nanmean(row)), _TESTED)
    return past
