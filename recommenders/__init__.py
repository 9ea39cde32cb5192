"""Recommenders: they learn from a view of past runs and say what to run next.

What is named here is imported when it is first asked for, so that a process which needs one part
of the package waits for no other.

>>> from recommenders import make, names, usual
>>> names()[:6]
('auto', 'best_on_average', 'copula', 'deep_kernel', 'deep_mixture', 'empirical_bayes')
>>> names()[6:]
('learned_similarity', 'maml', 'nearest', 'portfolio', 'random', 'ranker', 'rgpe')
>>> usual()
('auto', 'best_on_average', 'empirical_bayes', 'nearest', 'portfolio', 'random')
>>> make("portfolio", seed=1).name
'portfolio'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.lazy import lazily

if TYPE_CHECKING:
    from metastore.types import Observation
    from recommenders.asking import Answer, Question, ask
    from recommenders.enqueueing import enqueue
    from recommenders.optuna_sampler import HeadstartSampler
    from recommenders.recommender import (
        AskedTask,
        Evidence,
        Neighbour,
        Recommendation,
        Recommender,
    )
    from recommenders.registry import make, names, usual
    from recommenders.search_cv import HeadstartSearchCV

__all__ = [
    "Answer",
    "AskedTask",
    "Evidence",
    "HeadstartSampler",
    "HeadstartSearchCV",
    "Neighbour",
    "Observation",
    "Question",
    "Recommendation",
    "Recommender",
    "ask",
    "enqueue",
    "make",
    "names",
    "usual",
]

__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(__all__, "recommender"),
        **dict.fromkeys(("Answer", "Question", "ask"), "asking"),
        **dict.fromkeys(("make", "names", "usual"), "registry"),
        "HeadstartSampler": "optuna_sampler",
        "HeadstartSearchCV": "search_cv",
        "enqueue": "enqueueing",
    },
)
