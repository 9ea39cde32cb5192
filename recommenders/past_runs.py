"""The runs of one past dataset in an order that does not depend on when they were recorded."""

from __future__ import annotations

from metastore.view import FloatArray
from recommenders.encoding import Key
from recommenders.scores import Past


def runs_of(past: Past, row: int) -> tuple[list[Key], FloatArray]:
    """Return keys and regrets `(n,)` of a dataset's runs, at most as many as surrogates use."""
    runs = past.surrogates.own(past.datasets[row])
    order = sorted(range(len(runs.keys)), key=runs.keys.__getitem__)
    return [runs.keys[i] for i in order], runs.regrets[order]
