"""What fitting a support set gives: a model that answers with probabilities, and how it was made.

Three kinds of model answer alike: a learner with what it read in the support set, a network that
gradient steps moved, and a scikit-learn classifier on raw features. A vote averages several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recommenders.starts.inputs import Preparation
from recommenders.starts.support_set import SupportSet
from recommenders.starts.tuning import Tuning

if TYPE_CHECKING:
    from recommenders.starts.gradient_tuning import Point

Probabilities = NDArray[np.float64]

VOTE = "vote"
"""What a vote of several candidates is called."""


class Model(Protocol):
    """Answers for inputs that a `Preparation` made."""

    def log_odds(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log-odds `(n, n_classes)`; any constant may be added to a row.

        Args:
            x: inputs `(n, *shape)`.
        """


@dataclass(frozen=True, eq=False)
class Vote:
    """Several fitted models whose probabilities are averaged.

    Args:
        parts: each with its own preparation and temperature; they know the same classes.
    """

    parts: tuple[Fitted, ...]

    def answers(self, query: SupportSet) -> NDArray[np.float64]:
        """Return log probabilities `(n, n_classes)` for the rows of a set."""
        return log_of(np.mean([part.probabilities(query) for part in self.parts], axis=0))


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model of one support set.

    Args:
        name: of the start, "from scratch", or of a plain classifier.
        model: what answers.
        preparation: how rows become its inputs; of a vote, those of its first part.
        classes: names of the classes.
        tuning: the settings; None for a plain classifier.
        rule: when it stopped and why, in words.
        curve: points of the gradient steps; empty without any.
        notes: what a person should know, in words.
        seconds: what fitting took.
        temperature: what log-odds are divided by, so that probabilities hold (Guo et al.,
            "On Calibration of Modern Neural Networks", ICML 2017, section 4.2).
    """

    name: str
    model: Model | Vote
    preparation: Preparation
    classes: tuple[str, ...]
    tuning: Tuning | None = None
    rule: str = ""
    curve: tuple[Point, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    temperature: float = 1.0

    def log_odds(self, query: SupportSet) -> NDArray[np.float64]:
        """Return log-odds `(n, n_classes)` for the rows of a set, at temperature 1."""
        if isinstance(self.model, Vote):
            return self.model.answers(query)
        return self.model.log_odds(self.preparation.array(query))

    def probabilities(self, query: SupportSet) -> Probabilities:
        """Return the probability of each class for the rows of a set `(n, n_classes)`.

        Raises:
            InvalidInputError: if the query is of another kind or lacks columns.
        """
        return softmax(self.log_odds(query) / self.temperature)

    def accuracy(self, query: SupportSet) -> float:
        """Return the share of the labelled rows that are right; NaN where none is labelled."""
        known = query.labels >= 0
        if not known.any():
            return float("nan")
        said = self.log_odds(query).argmax(1)
        return float((said[known] == query.labels[known]).mean())

    def at(self, temperature: float) -> Fitted:
        """Return the same with another temperature."""
        return replace(self, temperature=temperature)


def fitted_vote(parts: Sequence[Fitted]) -> Fitted:
    """Return a vote of fitted models.

    Args:
        parts: two or more, of one support set, at temperatures that suit each other.
    """
    first = parts[0]
    listed = "; ".join(_said(part) for part in parts)
    return Fitted(
        VOTE,
        Vote(tuple(parts)),
        first.preparation,
        first.classes,
        rule=f"probabilities averaged of {listed}",
        seconds=sum(part.seconds for part in parts),
    )


def _said(part: Fitted) -> str:
    mode = "adapt" if part.tuning is None else part.tuning.mode
    return part.name + {"linear": ", by a linear head", "gradient": ", by steps"}.get(mode, "")


def softmax(scores: NDArray[np.float64]) -> Probabilities:
    """Return probabilities `(n, n_classes)` of log-odds; a class at -inf gets 0.

    >>> softmax(np.array([[0.0, 0.0, -np.inf]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    powers = np.exp(scores - scores.max(1, keepdims=True))
    found: Probabilities = powers / powers.sum(1, keepdims=True)
    return found


def log_of(probabilities: Any) -> NDArray[np.float64]:
    """Return log-odds of probabilities, none below those of one in a billion."""
    found: NDArray[np.float64] = np.log(np.clip(np.asarray(probabilities, np.float64), 1e-9, 1))
    return found
