"""What is known of the candidates for one support set, and which of them are worth trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recommenders.starts.belief_settings import Settings, usual
from recommenders.starts.beliefs import (
    Belief,
    Prior,
    away,
    conditioned,
    following,
    learned,
    prior,
    untold,
)
from recommenders.starts.candidates import BY_LINE, BY_STEPS, Shown, Trial
from recommenders.starts.choice import FROM_SCRATCH
from recommenders.starts.cross_validation import FloatArray, IntArray
from recommenders.starts.fitted import VOTE
from recommenders.starts.signals import observed

if TYPE_CHECKING:
    from torch import nn


WORTH_TRYING = 0.05
"""What takes long is tried where it is the best with no less probability than this."""
WORTH_GAINING = 0.01
"""And where it is expected to beat the best so far by no less accuracy than this, where it does."""


@dataclass(frozen=True)
class Asked:
    """How a recommendation is made.

    Args:
        n: how many to return.
        modules: the user's own torch modules by the name of their start.
        seed: of folds and draws.
        seconds: of the processor, after which nothing more is held out (see
            `recommenders.starts.patience`); None for no limit.
        without_starts: whether plain classifiers and training from scratch are candidates.
        by_steps: whether the best starts by gradient steps are candidates.
        by_vote: whether several candidates together are one.
        settings: how far what is believed beforehand is believed; None for what is usual for
            images or for tables.
    """

    n: int = 3
    modules: Mapping[str, nn.Module] = field(default_factory=dict, hash=False)
    seed: int = 0
    seconds: float | None = None
    without_starts: bool = True
    by_steps: bool = True
    by_vote: bool = True
    settings: Settings | None = None

    def settings_for(self, kind: str) -> Settings:
        """Return the settings for support sets of a kind."""
        return usual(kind) if self.settings is None else self.settings


@dataclass(frozen=True, eq=False)
class Case:
    """What is known of the candidates for one support set.

    Args:
        trial: the support set and its folds.
        shown: what J candidates show.
        past: log-odds of their accuracy on earlier tasks `(T, J)`, NaN where they did not run.
        validation: log-odds of accuracy by validation `(J,)`, NaN where there is none; of a
            start by gradient steps that of its own rule.
        asked: how the recommendation is made.
    """

    trial: Trial
    shown: tuple[Shown, ...]
    past: FloatArray
    validation: FloatArray
    asked: Asked

    @property
    def settings(self) -> Settings:
        """How far what is believed beforehand is believed."""
        return self.asked.settings_for(self.trial.support.kind)

    @cached_property
    def belief(self) -> Belief:
        """What to expect of each candidate: validation, past tasks and held-out rows."""
        if self.trial.alike:
            return self._untold()
        after = learned(self.before, self.past, self.settings)
        return conditioned(after, *self.said, self.asked.seed)

    def _untold(self) -> Belief:
        """What to expect of each where nothing tells classes apart: its share of held-out rows.

        No more than that of the most frequent class, which is also what those have that were not
        held out.
        """
        counts = self.trial.support.counts
        most = float(counts.max() / counts.sum())
        held = [one.held for one in self.shown]
        shares = [most if one is None else min(one.accuracy, most) for one in held]
        return untold(np.array(shares), int(counts.sum()), self.asked.seed)

    @cached_property
    def before(self) -> Prior:
        """What is believed before past tasks and held-out rows."""
        settings = self.settings
        raw = np.array([one.start is None for one in self.shown])
        novelty = np.array([one.novelty for one in self.shown])
        alone = prior(self.validation, novelty, raw, self.trial.n_way, settings)
        scratch = np.array([one.choice == FROM_SCRATCH for one in self.shown])
        alone = Prior(alone.mean + settings.scratch * scratch, alone.covariance)
        gain, spread = self._gains(away(novelty))
        before = following(alone, self.own, gain, spread)
        return following(before, self._first_part, gain, spread)

    def _gains(self, far: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what steps, lines and votes add to whom they follow, and its deviation `(J,)`."""
        settings, kinds = self.settings, [one.variant or one.choice for one in self.shown]
        said = {
            BY_STEPS: (settings.steps, settings.steps_novel, settings.steps_spread),
            BY_LINE: (settings.line, settings.line_novel, settings.line_spread),
            VOTE: (settings.vote, 0.0, settings.vote_spread),
        }
        gain, novel, spread = np.array([said.get(kind, (0.0, 0.0, 0.0)) for kind in kinds]).T
        return gain + novel * far, spread

    @cached_property
    def _first_part(self) -> IntArray:
        """For a vote the place of the first of its parts, for others their own `(J,)`."""
        places = {one.label: j for j, one in enumerate(self.shown)}
        first = [one.parts[0].label if one.parts else one.label for one in self.shown]
        return np.array([places[label] for label in first])

    @cached_property
    def said(self) -> tuple[FloatArray, FloatArray]:
        """What held-out rows say of log-odds `(J,)`, NaN where nothing, and its covariance."""
        settings = self.settings
        held = [one.held for one in self.shown]
        value, covariance = observed(held, self.trial.kept, settings)
        # What more steps add was measured on images; on tables a third is judged as the whole is.
        images = self.trial.support.kind == "images"
        fewer = np.array([images and one.choice == FROM_SCRATCH for one in self.shown])
        more = np.array([any(part.held is None for part in one.parts) for one in self.shown])
        return value + settings.remaining * fewer + settings.unheld * more, covariance

    @cached_property
    def own(self) -> IntArray:
        """For a start by steps or a linear head the place of its own rule, else its own `(J,)`."""
        rules = {one.choice: j for j, one in enumerate(self.shown) if not one.variant}
        return np.array([rules[one.choice] for one in self.shown])

    def chance(self, j: int) -> float:
        """Return the probability that a candidate is the best."""
        return float((self.belief.draws.argmax(1) == j).mean())

    def worth_trying(self, j: int) -> bool:
        """Whether a candidate may win, and by enough."""
        accuracy, draws = self.belief.accuracy, self.belief.draws
        others = np.delete(np.arange(len(self.shown)), j)
        if not len(others):
            return True
        best = others[accuracy[others].argmax()]
        gain = np.maximum(draws[:, j] - draws[:, best], 0).mean()
        return self.chance(j) >= WORTH_TRYING and float(gain) >= WORTH_GAINING

    def but(self, j: int, found: Shown) -> Case:
        """Return the case with another word on one candidate."""
        return replace(self, shown=(*self.shown[:j], found, *self.shown[j + 1 :]))

    def without(self, dropped: Sequence[int]) -> Case:
        """Return the case without some candidates."""
        kept = [j for j in range(len(self.shown)) if j not in dropped]
        shown = tuple(self.shown[j] for j in kept)
        return replace(self, shown=shown, past=self.past[:, kept], validation=self.validation[kept])
