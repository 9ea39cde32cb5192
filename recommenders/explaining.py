"""Recommendations in words and rows, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from recommenders.asking import Answer
from recommenders.recommender import Neighbour, Recommendation

SHOWN_NEIGHBOURS = 3


def rows(answer: Answer) -> list[dict[str, Any]]:
    """Return one row a recommendation, for a table."""
    return [
        {
            "": place,
            "algorithm": one.algorithm,
            "config": dict(one.config),
            answer.metric: _number(one.value),
            "80% interval": f"{_number(one.interval[0])} .. {_number(one.interval[1])}",
            "seconds": _number(one.seconds, digits=3),
        }
        for place, one in enumerate(answer.recommendations, start=1)
    ]


def as_json(answer: Answer) -> dict[str, Any]:
    """Return the whole answer as plain values."""
    return {
        "dataset": answer.dataset,
        "metric": answer.metric,
        "higher_is_better": answer.higher_is_better,
        "observed": answer.observed,
        "left_out": list(answer.left_out),
        "abstained": any(one.evidence.abstained for one in answer.recommendations),
        "recommendations": [
            {
                "algorithm": one.algorithm,
                "config": dict(one.config),
                "value": one.value,
                "interval": list(one.interval),
                "seconds": one.seconds,
                "evidence": asdict(one.evidence),
            }
            for one in answer.recommendations
        ],
    }


def in_words(answer: Answer) -> list[str]:
    """Return sentences that say what the recommendations rest on."""
    if not answer.recommendations:
        return ["nothing to recommend: no past run is of use here"]
    first = answer.recommendations[0].evidence
    sentences = []
    if first.abstained:
        sentences.append(
            f"I don't know this kind of dataset: {first.note or 'it is unlike all others'}"
        )
    elif first.note:
        sentences.append(first.note)
    sentences.append(
        f"learned from {first.n_runs:,} runs on {first.n_datasets} datasets by {first.method}"
        + (f", and {answer.observed} runs on this one" if answer.observed else "")
    )
    if answer.left_out:
        names = ", ".join(answer.left_out[:5])
        sentences.append(
            f"left out as near-duplicates of {answer.dataset}: {names} "
            "(--near-duplicates learns from them)"
        )
    return [f"{sentence[0].upper()}{sentence[1:].rstrip('.')}." for sentence in sentences]


def evidence_lines(answer: Answer) -> list[str]:
    """Return, for each recommendation, the datasets that speak for it."""
    lines = []
    for place, one in enumerate(answer.recommendations, start=1):
        said = [_neighbour(near) for near in one.evidence.neighbours[:SHOWN_NEIGHBOURS]]
        if said:
            lines.append(f"{place}. {'; '.join(said)}")
    return lines


def config_words(config: Mapping[str, Any]) -> str:
    """Return a config as `name=value` pairs."""
    return " ".join(f"{name}={value}" for name, value in config.items())


def sentence(one: Recommendation, metric: str) -> str:
    """Return a recommendation as one sentence.

    Args:
        one: the recommendation.
        metric: the metric it was asked for.
    """
    text = f"{one.algorithm} {config_words(one.config)}: expected {metric} {_number(one.value)}"
    if math.isfinite(one.interval[0]):
        text += f" ({_number(one.interval[0])} to {_number(one.interval[1])})"
    if math.isfinite(one.seconds):
        text += f" in about {_number(one.seconds, digits=2)} s"
    return text


def _neighbour(near: Neighbour) -> str:
    distance = f" at distance {near.distance:.2f}" if math.isfinite(near.distance) else ""
    if near.rank:
        return (
            f"{near.dataset}{distance}: {_number(near.value)}, rank {near.rank} of {near.configs}"
        )
    return f"{near.dataset}{distance}: predicted from {near.runs} runs"


def _number(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}" if math.isfinite(value) else "unknown"
