"""How far what is believed of candidates beforehand is believed: for images, and for tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How far what is believed beforehand is believed; by default for images.

    Chosen on images of no test; `TABLES` on half of the groups of PMLB's tables.

    Args:
        task: standard deviation that all candidates share: how hard a task is.
        start: of a start's own log-odds about what its validation says.
        raw: what all candidates share that bring no weights: how far raw features tell classes.
        unknown: of a candidate's own without validation.
        scratch: what an untrained network adds to the log-odds that candidates without
            validation have beforehand.
        per_way: what the logarithm of the number of classes adds to log-odds.
        per_shot: what the logarithm of the examples a class adds.
        alike: what it takes away from a start that classes of one task resemble each other more
            than those that its validation drew from everywhere.
        drop: what the logarithm of novelty takes away from a start.
        loosen: what it adds to a start's standard deviation.
        steps: what gradient steps add to the log-odds of a start by its own rule.
        steps_novel: what they add for each unit of the logarithm of novelty.
        steps_spread: standard deviation of what they add.
        line: what a linear head on its embeddings adds to the log-odds of a start.
        line_novel: what it adds for each unit of the logarithm of novelty.
        line_spread: standard deviation of what it adds.
        vote: what a vote adds to the log-odds of the first that votes, who is expected to be best.
        vote_spread: standard deviation of what it adds.
        unheld: what those add to a vote that were not held out with the others.
        remaining: what the other steps add where an untrained network took a third of them, on
            images.
        noise: variance of held-out log-odds beyond that of drawing rows, of each candidate.
        together: the same of all candidates at once: the rows of one set are easy or hard.
        mean_weight: of the prior mean, in past tasks.
        spread_weight: of the prior covariance, in past tasks.
    """

    task: float = 0.7
    start: float = 0.5
    raw: float = 1.0
    unknown: float = 1.5
    scratch: float = 0.0
    per_way: float = -0.9
    per_shot: float = 0.8
    alike: float = 0.4
    drop: float = 1.0
    loosen: float = 0.75
    steps: float = 0.3
    steps_novel: float = 0.3
    steps_spread: float = 0.5
    line: float = 0.0
    line_novel: float = 0.3
    line_spread: float = 0.4
    vote: float = 0.4
    vote_spread: float = 0.45
    unheld: float = 0.6
    remaining: float = 0.7
    noise: float = 0.05
    together: float = 0.1
    mean_weight: float = 2.0
    spread_weight: float = 6.0


TABLES = Settings(
    task=1.0,
    start=0.35,
    raw=0.2,
    unknown=0.45,
    scratch=-0.3,
    per_shot=0.35,
    alike=0.0,
    vote=0.2,
    vote_spread=0.25,
    together=0.2,
)
"""What is believed beforehand of candidates for tables."""


def usual(kind: str) -> Settings:
    """Return the settings for support sets of a kind, "images" or "table"."""
    return Settings() if kind == "images" else TABLES
