"""A mixture of Gaussian processes learned from past datasets, conditioned on what was observed.

Empirical Bayes over datasets (Swersky, Snoek and Adams, 2013; Wang, Kim and Kaelbling, 2018,
"Regret bounds for meta Bayesian optimization with an unknown Gaussian process prior"): past
datasets, weighted by their meta-features (`recommenders.nearest`), give the prior mean and
covariance of scores over configs; observed scores condition it. Where it departs from them:
it averages over components that trust the past to different degrees, among them one that does
not look at it (`recommenders.bayes_mixture`), weighted by the marginal likelihood of what was
observed, and maximises the expected improvement under the whole mixture. So the weight of the
past falls as observations disagree with it.

With nothing observed the first config is the one of the best weighted mean, the following ones
cover likewise (`recommenders.coverage`), mostly in regrets and partly in scores: a dataset on which
configs hardly differ says less, and one on which they differ most does not say everything. A single
best guess wants nearer neighbours than a covariance, so weights are squared for
it, which makes the kernel of `recommenders.distances` narrower by the square root of 2.

Where past scores are predictions and a few hyperparameters spoil everything, so that seven
eighths of the variance lie below the median, the mixture sees good scores only once it has a few:
past ones below the median of their dataset, and observed ones below the median of the observed,
count as the median. What is left to find late is then not drowned by what must be avoided.

Where real runs of few datasets are the past, half of every gain is what a config would gain on
those datasets themselves (`recommenders.uncovered`): a covariance of ten datasets is soon too sure.

Two kinds of component guard against a past that misleads. A cold one knows configs, not past
scores. A reverse one takes the prior mean upside down: then the first disappointing scores are
enough to turn around, where otherwise one bad config after another would have to be tried.

How the constants were chosen: widths, noise and prior of the kinds and what the first guess
counts on every second dataset group of auto-sklearn's table (half 0 of
`benchmarks.recommend.dense`), on random sub-tables of it with 20 to 60 datasets,
and on this project's own table of 55 datasets (`benchmarks.recommend.collect`), whole and by
algorithm, with and without meta-features; priors of the guards so that permuted and reversed
pasts cost little there (`tests.test_empirical_bayes`); the kinds where past scores are predictions
on every fifth task of openml_pimp's two tables from the first and from the second on (40% of
them; of four sets of kinds). That good scores alone are looked at, from when and in which spaces,
was chosen on the same tasks and on parts of blackbox_geoalgo's XGBoost and DeepAR tables. What is
added for few datasets was chosen on 5, 10, 20 and 28 of those tasks as the past of others, without
meta-features: mean regret over 50 configs 3.3, 2.1 and 1.7 in place of 3.8, 2.1 and 1.9 on 5, 10
and 20 SVC tasks, 2.4, 1.8 and 2.4 in place of 2.5, 2.1 and 2.3 on random forests; with all 80 it is
no better, nor where real runs rule. Its weights were chosen so that permuted and reversed pasts of
25 datasets cost no more than without it. What is gained on few past datasets counts half (a third,
two thirds, three quarters were tried, too) by 16 draws of 5, 10 and 20 datasets of half 0 and of
this project's own: mean regrets 2.9, 3.9, 1.0 became 2.7, 3.5, .9 (balanced accuracy), 1.5, 2.8,
.45 became 1.5, 2.2, .46 (AUC), 2.9, 3.1, 3.0 became 3.1, 2.8, 2.4 (own); with three datasets
nothing changes, with 55 and more little, and with predictions it is worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray
from recommenders.bayes_kinds import Kind
from recommenders.bayes_mixture import Conditioned
from recommenders.bayes_prior import TINY, Prior, upper_half
from recommenders.cells import spread_over
from recommenders.nearest import Nearest
from recommenders.portfolio import covering
from recommenders.sessions import Case, Choice
from recommenders.uncovered import Uncovered

SHARPEN = 2.0
ALIKE = 3.0
"""What all datasets weigh alike in a first guess, in mean spreads, beside the spread of each."""

MOST_SEEN = 256
ENOUGH = 5
"""Observed scores from which on their median says what is good."""

SPOILT = 0.125
"""Share of a dataset's variance left by counting low scores as its median, up to which one does."""

RAN = 0.5
"""Share of the past scores of a pool that are of real runs, from which on they rule."""

GUARDS = (
    *(Kind(0.0, 1.0, noise, 0.5, cold=True) for noise in (0.1, 0.3)),
    Kind(1.0, 0.0, 0.3, 0.2, reverse=True),
)
KINDS = (
    *(Kind(width, 0.0, noise, 0.5) for width in (0.0, 0.3, 0.6, 1.0) for noise in (0.1, 0.3, 1.0)),
    *GUARDS,
)
"""What components take scores to be: see `recommenders.bayes_mixture`."""

PREDICTED_KINDS = (
    *(Kind(width, 0.1, noise, 1.0) for width in (0.0, 0.3, 1.0) for noise in (0.03, 0.1, 0.3)),
    *GUARDS,
)
"""The same where most past scores are predictions: what is wrong with those is alike for configs
that are alike, and so a part of the new dataset's scores is left to the configs' encoding."""

FEW = 32
"""Active datasets up to which the covariance that they give is not to be relied on alone."""

FEW_KINDS = (
    *PREDICTED_KINDS,
    *(
        Kind(width, residual, noise, 0.1, learned=True)
        for residual in (0.1, 0.3, 1.0)
        for width in (0.0, 0.3, 1.0)
        for noise in (0.03, 0.1, 0.3)
    ),
    *(Kind(0.0, 1.0, noise, 1.0, cold=True, learned=True) for noise in (0.03, 0.1, 0.3)),
)
"""The same where datasets are few, too: more is left to how alike configs are, and by the
lengthscales that the processes of past datasets have (their weighted geometric mean)."""

COVERED = 0.5
"""How much of a gain is what a config would gain on the past datasets, where those are few."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What the past says of scores, what components take them to be, and how sure that is.

    `thin` is whether real runs rule, of few datasets alone.
    """

    prior: Prior
    kinds: tuple[Kind, ...]
    thin: bool = False


@dataclass(frozen=True, eq=False)
class Lessons:
    """Of all scores, and of the upper half where that is looked at."""

    whole: Lesson
    upper: Lesson | None = None


class EmpiricalBayes(Nearest):
    """Expected improvement under a mixture of Gaussian processes learned from past datasets."""

    name: ClassVar[str] = "empirical_bayes"

    def prepare(self) -> None:
        """Learn how near past datasets are to each other."""
        super().prepare()
        self._last: tuple[Case, Lessons] | None = None

    def choose(self, case: Case, n: int) -> Choice:
        """Return best guess and coverage first, expected improvement once there are scores."""
        usable = ((case.weights > 0) & (case.spread > 0)).any()
        if not usable:
            return Choice(covering(case, n), case.weights)
        if not self.adapt or not len(case.seen.columns):
            sharp = case.weights**SHARPEN * _spreads(case)
            return Choice(covering(replace(case, weights=sharp / sharp.sum()), n), case.weights)
        told = _telling(case.seen.scores)
        columns, scores = case.seen.columns[told], case.seen.scores[told]
        left = np.flatnonzero(~case.seen.taken)
        lessons = self._lessons(case)
        lesson = lessons.whole
        if lessons.upper is not None and len(scores) >= ENOUGH:
            lesson, scores = lessons.upper, np.maximum(scores, np.median(scores))
        posterior = Conditioned(lesson.prior, lesson.kinds, columns, scores).posterior(left)
        chance = None if case.chance is None else case.chance[left]
        weights = np.zeros(len(case.weights))
        weights[lesson.prior.rows] = posterior.datasets
        uncovered = Uncovered.of(case, left) if lesson.thin else None
        return Choice(left[posterior.improvements(n, chance, uncovered, COVERED)], weights)

    def _lessons(self, case: Case) -> Lessons:
        """Return what the past says of a case, the same at every step of it on one level."""
        kept = self._last
        if kept is None or any(
            getattr(kept[0], name) is not getattr(case, name)
            for name in ("table", "weights", "best")
        ):
            kept = self._last = (case, self.lessons(case))
        return kept[1]

    def lessons(self, case: Case) -> Lessons:
        """Return what the past says of a case before anything is observed."""
        points = self.past.surrogates.points(case.table.keys)
        prior = Prior.of(case, points)
        if _ran(case.table.known[prior.rows]):
            return Lessons(Lesson(prior, KINDS, thin=len(prior.rows) <= FEW))
        upper = Prior.of(upper_half(case), points)
        left = upper.merits.var(axis=1) / (prior.merits.var(axis=1) + TINY)
        features = self._features(prior, points)
        whole = _predicted(prior, features)
        return Lessons(whole, _predicted(upper, features) if np.median(left) <= SPOILT else None)

    def _features(self, prior: Prior, points: FloatArray) -> FloatArray | None:
        """Return configs `(P, d)` over the lengthscales of few datasets; None of many or none."""
        if len(prior.rows) > FEW or not points.shape[1]:
            return None
        names = [self.past.datasets[row] for row in prior.rows.tolist()]
        lengths = self.past.surrogates.lengthscales(names, prior.weights)
        return None if lengths is None else points / lengths


def _predicted(prior: Prior, features: FloatArray | None) -> Lesson:
    """Return what is taken from predictions, with what was learned of the configs if anything."""
    if features is None:
        return Lesson(prior, PREDICTED_KINDS)
    return Lesson(replace(prior, features=features), FEW_KINDS)


def _spreads(case: Case) -> FloatArray:
    """Return what a regret of each dataset `(D,)` counts for before anything is observed.

    What it is in scores; where real runs rule, plus a share that is the same for all datasets,
    since one of large spread would drown the others. Predictions of few runs are no such guide.
    """
    if not _ran(case.table.known[(case.weights > 0) & (case.spread > 0)]):
        return case.spread
    sharp = case.weights**SHARPEN
    return case.spread + ALIKE * float(sharp @ case.spread) / float(sharp.sum())


def _ran(known: NDArray[np.bool_]) -> bool:
    """Whether real runs rule among the past scores of a pool, which may be empty."""
    return bool(known.size) and float(known.mean()) >= RAN


def _telling(scores: FloatArray) -> IntArray:
    """Return which of `(k,)` observed scores to learn from: at most `MOST_SEEN`.

    Half of them are the best, the others are evenly spread over the rest.
    """
    if len(scores) <= MOST_SEEN:
        return np.arange(len(scores))
    order = np.argsort(-scores, kind="stable")
    best, rest = order[: MOST_SEEN // 2], order[MOST_SEEN // 2 :]
    return np.sort(np.concatenate([best, spread_over(rest, MOST_SEEN // 2)]))
