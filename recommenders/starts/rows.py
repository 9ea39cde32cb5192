"""Starts, and advice about them, as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from metastore.rows import Row, Rows
from metastore.start_checks import fault
from metastore.starts import Start
from recommenders.starts.advice import StartsAnswer

_MOST = 4

_REGISTRY = (
    "start", "method", "takes", "most_classes", "validation", "trained_on", "licence", "id",
)  # fmt: skip
_FULL = ("seconds", "source")


def registry_rows(starts: Sequence[Start], *, full: bool = False) -> Rows:
    """Return the registry as rows, one a start.

    Args:
        starts: of the registry.
        full: with what is too long for a table that people read.
    """
    rows: list[Row] = [
        {
            "start": one.name,
            "method": one.method,
            "takes": _takes(one),
            "most_classes": "any" if one.n_way is None else one.n_way or "predicts numbers",
            "validation": _validation(one, None if full else _MOST),
            "trained_on": len(one.trained_on),
            "licence": one.licence,
            "id": str(one.start_id)[:8],
            **({"seconds": one.seconds, "source": one.source} if full else {}),
        }
        for one in starts
    ]
    return Rows((*_REGISTRY, *(_FULL if full else ())), rows)


def advice_rows(answer: StartsAnswer) -> list[dict[str, Any]]:
    """Return the ranking as rows, the best first; None where something is not known."""
    return [
        {
            "rank": rank,
            "choice": one.choice,
            "accuracy": round(one.accuracy, 4),
            "low": round(one.interval[0], 4),
            "high": round(one.interval[1], 4),
            "held_out": _known(one.evidence.held_out),
            "n_held": one.evidence.n_held,
            "log_loss": _known(one.evidence.log_loss),
            "validation": _known(one.evidence.validation),
            "novelty": _known(one.evidence.novelty),
            "logme": _known(one.evidence.scores.get("logme", math.nan)),
            "past_tasks": one.evidence.past_tasks,
            "seconds": _known(one.seconds),
        }
        for rank, one in enumerate(answer.ranked, 1)
    ]


def _takes(start: Start) -> str:
    size = " x ".join(map(str, start.input_shape))
    return f"{start.kind} {size}".strip()


def _validation(start: Start, most: int | None) -> str:
    if why := fault(start):
        return f"cannot be used: {why}"
    said = [
        f"{one.value:.0%} ({one.n_way} classes, {one.k_shot} each)"
        if one.n_way
        else f"error {one.value:.3g} ({one.k_shot} rows)"
        for one in start.accuracies
    ]
    return ", ".join(said[:most])


def _known(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
