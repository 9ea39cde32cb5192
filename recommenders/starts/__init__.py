"""Recommended starts: which initialization to fine-tune for a few labelled examples, and doing it.

`recommend` and `answer` rank candidates and need torch; `finetune` runs plain classifiers without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

_PLACES = {
    "Asked": "recommending",
    "FineTuned": "finetuned",
    "StartAdvice": "advice",
    "StartEvidence": "advice",
    "StartsAnswer": "advice",
    "answer": "recommending",
    "finetune": "finetuning",
    "load": "finetuned",
    "recommend": "recommending",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first asked for: some of it brings torch along."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only what is asked for

    return getattr(import_module(f"recommenders.starts.{_PLACES[name]}"), name)
