"""Recommendations in words and rows, for people and for programs."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from recommenders.asking import Answer
from recommenders.backtest import BacktestResult
from recommenders.budgeting import Plan
from recommenders.recommender import Neighbour, Recommendation
from recommenders.registry import names

SHOWN_NEIGHBOURS = 3
ALIKE = 1e-9
WORTH_SAYING = 0.05
"""Risk of failure from which on it is said."""


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
        "expected_seconds": None if answer.plan is None else answer.plan.seconds,
        "recommendations": [
            {
                "algorithm": one.algorithm,
                "config": dict(one.config),
                "value": one.value,
                "interval": list(one.interval),
                "seconds": one.seconds,
                "explanation": explanation(one, answer.metric),
                "evidence": asdict(one.evidence),
            }
            for one in answer.recommendations
        ],
    }


def in_words(answer: Answer) -> list[str]:
    """Return sentences that say what the recommendations rest on."""
    if not answer.recommendations:
        if answer.plan is not None and math.isfinite(answer.plan.seconds):
            return ["Nothing to recommend fits into the budget; a larger --budget may hold some."]
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
    if answer.plan is not None:
        sentences.append(_budget_words(answer.plan))
    if answer.left_out:
        names = ", ".join(answer.left_out[:5])
        sentences.append(
            f"left out as near-duplicates of {answer.dataset}: {names} "
            "(--near-duplicates learns from them)"
        )
    return [f"{_capital(sentence).rstrip('.')}." for sentence in sentences]


def _budget_words(plan: Plan) -> str:
    """Say how long the batch takes, and what that rests on."""
    if not math.isfinite(plan.seconds):
        return "no past run says how long it took, so the budget could not be kept"
    count = len(plan.recommendations)
    words = f"{_count(count, 'config')} in about {_number(plan.seconds, digits=3)} s"
    if plan.scale != 1:
        words += f", {_number(plan.scale, digits=2)} times what was expected, as runs so far"
    if plan.guessed:
        words += f"; {plan.guessed} of the durations are guessed from other configs"
    if plan.ample:
        return f"there is time enough for what is best a run: {words}"
    return f"chosen by what each is expected to be worth a second: {words}"


def _capital(sentence: str) -> str:
    """Return a sentence with a capital, unless it begins with a recommender's name."""
    if sentence.split(maxsplit=1)[0] in names():
        return sentence
    return sentence[0].upper() + sentence[1:]


def explanation(one: Recommendation, metric: str) -> str:
    """Return one sentence that says why a config, what to expect, and where that is shaky.

    Args:
        one: the recommendation.
        metric: the metric it was asked for.

    >>> from recommenders.recommender import Evidence
    >>> credit = Neighbour("credit", 0.3, 0.2, 1, 0.85, 1, 20)
    >>> adult = Neighbour("adult", 0.4, 0.1, 1, 0.8, 4, 20)
    >>> evidence = Evidence("nearest", (credit, adult), thin=("max_depth",))
    >>> one = Recommendation("forest", {"max_depth": 40}, 0.83, (0.80, 0.86), 40.0, evidence)
    >>> print(explanation(one, "accuracy"))
    1 of your 2 nearest datasets (credit) had its best run here; expected accuracy 0.83 (0.8 to \
0.86) in about 40 s; far from the densest evidence in max_depth
    """
    said = [_headline(one), _new(one), _expected(one, metric), _thin(one)]
    return "; ".join(words for words in said if words)


def _because(one: Recommendation) -> str:
    """Return the datasets that speak for a recommendation."""
    near = one.evidence.neighbours[:SHOWN_NEIGHBOURS]
    words = "; ".join(_neighbour(neighbour) for neighbour in near)
    headline = _headline(one)
    if not headline and _alike(one):
        count = one.evidence.n_datasets
        words = f"of what it did on {count} datasets that count alike, such as {words}"
    return "; ".join(filter(None, (headline, _new(one), words, _thin(one))))


def _alike(one: Recommendation) -> bool:
    """Whether the past datasets that are shown count alike, so that none is near."""
    weights = [neighbour.weight for neighbour in one.evidence.neighbours]
    return len(weights) > 1 and max(weights) - min(weights) < ALIKE


def _headline(one: Recommendation) -> str:
    """Say on how many of the nearest datasets the config was the best, or among the best."""
    if one.evidence.abstained or _alike(one):
        return ""
    near = one.evidence.neighbours
    best = [n.dataset for n in near if n.rank == 1]
    good = [n.dataset for n in near if 0 < n.rank <= max(1, n.configs // 10)]
    few = best if best else good
    if not few:
        return ""
    shown = ", ".join(few[:SHOWN_NEIGHBOURS]) + ", ..." * (len(few) > SHOWN_NEIGHBOURS)
    nearest = f"{len(few)} of your {len(near)} nearest datasets ({shown})"
    if best:
        return f"{nearest} had {'its' if len(few) == 1 else 'their'} best run here"
    return f"on {nearest} it was among the best tenth"


def _new(one: Recommendation) -> str:
    """Say that a config never ran, and which past one it was before it fitted the given space."""
    if one.evidence.changed:
        return f"a past configuration that was changed to fit the space ({one.evidence.changed})"
    return "nobody ran it yet" if one.evidence.new else ""


def _thin(one: Recommendation) -> str:
    names = ", ".join(one.evidence.thin)
    return f"far from the densest evidence in {names}" if names else ""


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
    return f"{one.algorithm}: {_expected(one, metric)}"


def _expected(one: Recommendation, metric: str) -> str:
    words = f"expected {metric} {_number(one.value)}"
    if math.isfinite(one.interval[0]):
        words += f" ({_number(one.interval[0])} to {_number(one.interval[1])})"
    if math.isfinite(one.seconds):
        words += f" in about {_number(one.seconds, digits=2)} s"
    if one.evidence.risk >= WORTH_SAYING:
        words += f"; {100 * one.evidence.risk:.0f}% likely to fail, as others did here"
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
