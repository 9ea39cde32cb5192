"""Recommended starts: which initialization to fine-tune for a few labelled examples, and doing it.

`recommend` and `answer` rank candidates and need torch; `finetune` runs plain classifiers without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.lazy import lazily

if TYPE_CHECKING:
    from recommenders.starts.advice import StartAdvice, StartEvidence, StartsAnswer
    from recommenders.starts.case import Asked
    from recommenders.starts.finetuned import FineTuned, load
    from recommenders.starts.finetuning import finetune
    from recommenders.starts.recommending import answer, recommend

__all__ = [
    "Asked",
    "FineTuned",
    "StartAdvice",
    "StartEvidence",
    "StartsAnswer",
    "answer",
    "finetune",
    "load",
    "recommend",
]

# Some of it brings torch along.
__getattr__ = lazily(
    __name__,
    {
        "Asked": "case",
        "FineTuned": "finetuned",
        "StartAdvice": "advice",
        "StartEvidence": "advice",
        "StartsAnswer": "advice",
        "answer": "recommending",
        "finetune": "finetuning",
        "load": "finetuned",
        "recommend": "recommending",
    },
)
