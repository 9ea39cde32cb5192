"""How good a fit is on rows that it did not see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recommenders.starts.cross_validation import HeldOut, plan
from recommenders.starts.fitted import Fitted
from recommenders.starts.support_set import SupportSet

Fit = Callable[[SupportSet], Fitted]


def cross_validated(fit: Fit, support: SupportSet, seed: int = 0) -> HeldOut | None:
    """Return what a fit says of every row when it did not see it, by stratified folds.

    Args:
        fit: fits part of the support set.
        support: the labelled rows.
        seed: of the folds.

    Returns:
        Answers; None where no class has two examples.
    """
    folds = plan(support.labels, 1, seed)
    if not len(folds):
        return None
    answers = [
        fit(support.take(train)).log_odds(support.take(held))
        for train, held in zip(folds.train, folds.held, strict=True)
    ]
    # A class that a fold lacks is at -inf for some learners; no probability is quite 0.
    found = np.maximum(np.concatenate(answers), -1e6)
    return HeldOut(found, support.labels[folds.rows], folds.rows)
