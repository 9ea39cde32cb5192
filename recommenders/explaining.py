"""Recommendations in words and rows, for people and for programs."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from recommenders.asking import Answer
from recommenders.backtest import BacktestResult
from recommenders.recommender import Neighbour, Recommendation
from recommenders.registry import names

SHOWN_NEIGHBOURS = 3
ALIKE = 1e-9


def rows(answer: Answer) -> list[dict[str, Any]]:
    """Return one row a recommendation, for CSV."""
    return [
        {
            "position": place,
            "algorithm": one.algorithm,
            "config": dict(one.config),
            "metric": answer.metric,
            "value": one.value,
            "low": one.interval[0],
            "high": one.interval[1],
            "seconds": one.seconds,
            "abstained": one.evidence.abstained,
        }
        for place, one in enumerate(answer.recommendations, start=1)
    ]


def text(answer: Answer, width: int = 100) -> str:
    """Return the answer as a person reads it: what to run, what to expect, and why.

    Args:
        answer: what was answered.
        width: characters a line.
    """
    lines = []
    for place, one in enumerate(answer.recommendations, start=1):
        head = f"{place}. {sentence(one, answer.metric)}"
        lines += textwrap.wrap(head, width, subsequent_indent="   ", break_long_words=False)
        for label, words in (("with", config_words(one.config)), ("because", _because(one))):
            if words:
                lines += textwrap.wrap(
                    f"{label} {words}",
                    width,
                    initial_indent="   ",
                    subsequent_indent="     ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
    said = [
        textwrap.fill(words, width, break_long_words=False, break_on_hyphens=False)
        for words in in_words(answer)
    ]
    return "\n".join([*lines, "", *said]).lstrip("\n")


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
        if answer.observed:
            return [
                f"Every config that the store knows was tried on {answer.dataset} already "
                f"({answer.observed} of them); --as-new asks as if none had been."
            ]
        return ["Nothing to recommend: no other dataset has runs of this metric."]
    first = answer.recommendations[0].evidence
    sentences = []
    if first.abstained:
        sentences.append(
            f"I don't know this kind of dataset: {first.note or 'it is unlike all others'}"
        )
    elif first.note:
        sentences.append(first.note)
    sentences.append(
        f"learned from {_count(first.n_runs, 'run')} on {_count(first.n_datasets, 'dataset')} by "
        f"{first.method}"
        + (f", and {_count(answer.observed, 'run')} on this one" if answer.observed else "")
    )
    if answer.by_default:
        sentences.append(
            f"asked about {answer.metric}, which most datasets have (--metric names another)"
        )
    if answer.left_out:
        names = ", ".join(answer.left_out[:5])
        sentences.append(
            f"left out as near-duplicates of {answer.dataset}: {names} "
            "(--near-duplicates learns from them)"
        )
    return [f"{_capital(sentence).rstrip('.')}." for sentence in sentences]


def _capital(sentence: str) -> str:
    """Return a sentence with a capital, unless it begins with a recommender's name."""
    if sentence.split(maxsplit=1)[0] in names():
        return sentence
    return sentence[0].upper() + sentence[1:]


def _because(one: Recommendation) -> str:
    """Return the datasets that speak for a recommendation."""
    near = one.evidence.neighbours[:SHOWN_NEIGHBOURS]
    words = "; ".join(_neighbour(neighbour) for neighbour in near)
    weights = [neighbour.weight for neighbour in one.evidence.neighbours]
    if len(weights) > 1 and max(weights) - min(weights) < ALIKE:
        count = one.evidence.n_datasets
        return f"of what it did on {count} datasets that count alike, such as {words}"
    return words


def backtest_rows(found: BacktestResult) -> list[dict[str, Any]]:
    """Return one row a recommender of a backtest, for a table: regrets x100 with errors."""
    shown = []
    for row in found.rows():
        cells = {"recommender": row["recommender"]}
        for k in found.budgets:
            cells[f"@{k}"] = f"{row[f'regret@{k}']:.2f} ±{row[f'se@{k}']:.2f}"
        cells["over random"] = f"{row['gain_over_random']:+.2f}"
        cells["over single best"] = f"{row['gain_over_single']:+.2f}"
        cells["harmed"] = f"{100 * row['harmed']:.0f}%"
        cells["in 80% interval"] = f"{100 * row['coverage']:.0f}%" if row["coverage"] >= 0 else ""
        cells["seconds"] = f"{row['seconds']:.1f}"
        shown.append(cells)
    return shown


def backtest_words(found: BacktestResult) -> str:
    """Return what the columns of a backtest mean, in sentences."""
    return (
        f"{len(found.datasets)} datasets, each left out with its near-duplicates and then asked "
        f"about. @k: mean normalised regret in {found.metric} after k configs, x100, with its "
        "standard error; 0 is the best of all tried there, 100 the worst. Over random and over "
        f"the single best config: regret saved after {found.budget}. Harmed: share of datasets "
        "that end worse than with random search."
    )


def config_words(config: Mapping[str, Any]) -> str:
    """Return a config as `name=value` pairs."""
    return " ".join(f"{name}={value}" for name, value in config.items())


def sentence(one: Recommendation, metric: str) -> str:
    """Return a recommendation as one sentence.

    Args:
        one: the recommendation.
        metric: the metric it was asked for.
    """
    words = f"{one.algorithm}: expected {metric} {_number(one.value)}"
    if math.isfinite(one.interval[0]):
        words += f" ({_number(one.interval[0])} to {_number(one.interval[1])})"
    if math.isfinite(one.seconds):
        words += f" in about {_number(one.seconds, digits=2)} s"
    return words


def _neighbour(near: Neighbour) -> str:
    distance = f" at distance {near.distance:.2f}" if math.isfinite(near.distance) else ""
    if near.rank:
        return (
            f"{near.dataset}{distance}: {_number(near.value)}, rank {near.rank} of {near.configs}"
        )
    return f"{near.dataset}{distance}: predicted from {_count(near.runs, 'run')}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _number(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}" if math.isfinite(value) else "unknown"
