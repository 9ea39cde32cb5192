"""How candidates did on earlier tasks: the runs of fine-tuning that the store remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from metastore.errors import UnknownNameError
from recommenders.starts.beliefs import log_odds
from recommenders.starts.cross_validation import FloatArray
from recommenders.starts.superseded_runs import superseded

if TYPE_CHECKING:
    from metastore.store import MetaStore
    from metastore.view import View
    from recommenders.starts.support_set import SupportSet

ALGORITHM = "finetune"
METRIC = "accuracy"
START = "start"
"""Name under which a fine-tuning's config holds the start, or what it was done without."""
MODE = "mode"
"""Name under which it holds the mode of its tuning."""

_TESTED = 100


def fine_tunings(store: MetaStore, support: SupportSet) -> tuple[View | None, str]:
    """Return all past fine-tunings, this task's own among them, and the task's name in them.

    The task is recorded before the view says which datasets are alike. The view is None where
    the store has none.
    """
    view = _told(store)
    if view is None:
        return None, ""
    task = store.label(support.dataset())
    return view if task in view.datasets else store.described(view), task


def others(view: View, task: str) -> View:
    """Return a view without a task's runs and those of its near-duplicates."""
    known = {*view.datasets, *view.meta.datasets}
    kept = view.without([name for name in view.group(task) if name in known])
    return replace(kept, excluded=tuple(sorted({*kept.excluded, task})))


def past_tasks(
    store: MetaStore,
    choices: Sequence[tuple[str, str | None]],
    leave_out: SupportSet | None = None,
) -> FloatArray:
    """Return log-odds of accuracy `(n_tasks, n_choices)`, NaN where a choice did not run.

    Several tunings of a start on a task that have the same mode count by their mean. What a start
    did with other weights than it has now does not count.

    Args:
        store: its runs of `ALGORITHM` with `METRIC`.
        choices: names of starts, "from scratch" and plain classifiers, each with the mode of its
            tuning; None for any.
        leave_out: a support set whose own runs, and its near-duplicates', stay out.
    """
    view = _view(store, leave_out)
    if view is None:
        return np.empty((0, len(choices)))
    scores = view.matrix()
    made_of = [view.config(c) for c in range(view.n_configs)]
    past = np.full((view.n_datasets, len(choices)), np.nan)
    for j, (choice, mode) in enumerate(choices):
        columns = [
            c
            for c, config in enumerate(made_of)
            if config.get(START) == choice and mode in (None, config.get(MODE, mode))
        ]
        for d, row in enumerate(scores[:, columns]):
            if np.isfinite(row).any():
                past[d, j] = log_odds(float(np.nanmean(row)), _TESTED)
    return past


def _view(store: MetaStore, leave_out: SupportSet | None) -> View | None:
    if leave_out is None:
        return _told(store)
    view, task = fine_tunings(store, leave_out)
    return None if view is None else others(view, task)


def _told(store: MetaStore) -> View | None:
    """Return the fine-tunings of starts as they are now; None where there never was one."""
    try:
        return store.view(METRIC, ALGORITHM, without_runs=superseded(store, ALGORITHM))
    except UnknownNameError:
        return None
