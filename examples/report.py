"""What the demo prints."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from examples.algorithms import short
from examples.race import Race
from metastore.tabular import Table
from recommenders import Recommendation
from recommenders.backtest import BacktestResult

WIDTH = 96
LINE = 112


def paragraph(text: str) -> str:
    """Return text wrapped and indented."""
    indent = " " * 4
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def sources(tables: dict[str, Table]) -> str:
    """Return the tables by source, a line each."""
    by_source: dict[str, list[str]] = {}
    for name, table in tables.items():
        rows, columns = table.features.shape
        by_source.setdefault(table.source_id, []).append(f"{name} {rows}x{columns}")
    lines = [f"    {source:22}{', '.join(names)}" for source, names in by_source.items()]
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent=" " * 26, drop_whitespace=True)
        for line in lines
    )


def describe(config: dict[str, Any] | Any) -> str:
    """Return a config on one line, numbers to three digits."""
    parts = (
        f"{name.split('__')[-1]}={value:.3g}"
        if isinstance(value, float)
        else f"{name.split('__')[-1]}={value}"
        for name, value in config.items()
        if not name.endswith("max_iter") or value < 3000
    )
    return " ".join(parts)


def evidence(race: Race) -> str:
    """Return in words why the first advice was given, and the one that turned out best."""
    best = int(np.argmax(race.accuracies))
    said = [_why(race.advice[0], "The first advice")]
    if best:
        said.append(_why(race.advice[best], f"Advice {best + 1}, which turned out best,"))
    return "\n".join(said)


def _why(advice: Recommendation, what: str) -> str:
    """Return one recommendation's evidence in words."""
    told = advice.evidence
    low, high = advice.interval
    said = (
        f"{what} was {short(advice.algorithm)} {describe(advice.config)}: expected accuracy "
        f"{advice.value:.3f} (80% interval {low:.3f} to {high:.3f}), about {advice.seconds:.1f} s, "
        f"learned by {told.method} from {told.n_runs} runs on {told.n_datasets} datasets."
    )
    for near in told.neighbours[:3]:
        distance = "" if math.isnan(near.distance) else f"distance {near.distance:.2f}, "
        did = (
            f"it gave {near.value:.3f}, number {near.rank} of {near.configs} configurations"
            if near.rank
            else f"it did not run, but {near.configs} others did"
        )
        said += f" On {near.dataset} ({distance}weight {near.weight:.0%}) {did}."
    return paragraph(said + (f" Why so: {told.note}." if told.note else ""))


def comparison(race: Race) -> str:
    """Return recommended against random after each number of runs."""
    repeats = len(race.random)
    lines = [
        f"    runs  advised     random +- s.e.   ahead of  {'advice by':16} gave   what it was"
    ]
    mean, error = race.random.mean(axis=0), race.random_error
    for k, advice in enumerate(race.advice):
        method = advice.evidence.method.removeprefix("auto: ")
        line = (
            f"    {k + 1:>4}{race.recommended[k]:>9.3f}{mean[k]:>11.3f} +- {error[k]:.3f}"
            f"{race.beaten[k]:>8g}/{repeats}  {method:16} {race.accuracies[k]:.3f}  "
            f"{short(advice.algorithm).removesuffix('Classifier')} {describe(advice.config)}"
        )
        lines.append(line if len(line) <= LINE else line[: LINE - 3] + "...")
    return "\n".join(lines)


def verdict(race: Race) -> str:
    """Return who won, by the numbers, whoever it was."""
    repeats, steps = race.random.shape
    ahead = [k + 1 for k in range(steps) if race.beaten[k] > repeats / 2]
    behind = [k + 1 for k in range(steps) if race.beaten[k] < repeats / 2]
    said = (
        f"Advice is ahead of most of the {repeats} random searches after {_listed(ahead)} of "
        f"{steps} runs and behind most of them after {_listed(behind)}."
    )
    match = race.runs_to_match()
    if match is None:
        said += f" {steps} random runs do not reach, on average, what the first advice gave."
    else:
        times = "1 random run reaches" if match == 1 else f"{match} random runs reach"
        said += f" {times}, on average, what the first advice gave."
    if len(behind) >= len(ahead):
        said += " RANDOM SEARCH DOES AS WELL OR BETTER HERE: the past was no help."
    return paragraph(
        f"{said} This is one table and one set of folds; the best of several cross-validated "
        "accuracies flatters both sides alike."
    )


def _listed(steps: Sequence[int]) -> str:
    """Return numbers as ranges.

    >>> _listed([1, 2, 3, 7]), _listed([])
    ('1-3, 7', 'none')
    """
    runs: list[list[int]] = []
    for step in steps:
        if runs and step == runs[-1][-1] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs) or "none"


def backtested(result: BacktestResult) -> str:
    """Return the backtest's regrets, a line a recommender."""
    head = f"    {'':18}" + "".join(f"{f'after {k}':>16}" for k in result.budgets)
    lines = [head]
    for row in result.rows():
        cells = (f"{row[f'regret@{k}']:>9.1f} +- {_plain(row[f'se@{k}'])}" for k in result.budgets)
        lines.append(f"    {row['recommender']:18}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


def _plain(number: float) -> str:
    return f"{number:.1f}" if np.isfinite(number) else "?"
