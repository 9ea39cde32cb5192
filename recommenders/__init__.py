"""Recommenders: they learn from a view of past runs and say what to run next.

>>> names()
('auto', 'best_on_average', 'empirical_bayes', 'nearest', 'portfolio', 'random')
>>> make("portfolio", seed=1).name
'portfolio'
"""

from metastore.types import Observation
from recommenders.asking import Answer, Question, ask
from recommenders.enqueueing import enqueue
from recommenders.recommender import (
    AskedTask,
    Evidence,
    Neighbour,
    Recommendation,
    Recommender,
)
from recommenders.registry import make, names

__all__ = [
    "Answer",
    "AskedTask",
    "Evidence",
    "Neighbour",
    "Observation",
    "Question",
    "Recommendation",
    "Recommender",
    "ask",
    "enqueue",
    "make",
    "names",
]
