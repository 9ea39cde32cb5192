"""Which rows of a small labelled set are held out when, and what held-out answers say.

Every candidate is judged on the same folds, so that two candidates are compared row by row. A
fold holds out at most a share of every class; a class of two to five examples gives one at a
time, and a class with one example is always learned from and never held out.

Notation
    n   rows;  C  classes;  m  held-out answers, a row once a repeat;  k  folds of a repeat
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_FOLDS = 5
_LEAST_CHANCE = 1e-12
_COLDEST, _HOTTEST = -6.0, 6.0


@dataclass(frozen=True, eq=False)
class Folds:
    """A plan of what is learned from and what is held out.

    Args:
        train: rows to learn from, one array a fold.
        held: rows to hold out, one array a fold.
        n_repeats: how often each row that can be is held out.
        lone: numbers of the classes with one example.
    """

    train: tuple[IntArray, ...]
    held: tuple[IntArray, ...]
    n_repeats: int
    lone: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.train)

    @property
    def rows(self) -> IntArray:
        """The row of every held-out answer `(m,)`."""
        return np.concatenate(self.held) if self.held else np.empty(0, np.int64)

    @property
    def kept(self) -> float:
        """Mean share of the rows that a fold learns from; 1 where nothing can be held out."""
        if not self.held:
            return 1.0
        sizes = [(len(t), len(h)) for t, h in zip(self.train, self.held, strict=True)]
        return float(np.mean([t / (t + h) for t, h in sizes]))

    def first(self, n: int) -> Folds:
        """Return the first `n` folds alone: whole repeats, and a part of one."""
        n_repeats = min(self.n_repeats, max(1, n * self.n_repeats // max(1, len(self))))
        return Folds(self.train[:n], self.held[:n], n_repeats, self.lone)

    def split(self, n: int) -> tuple[Folds, Folds]:
        """Return the first `n` folds, and the others."""
        rest = Folds(self.train[n:], self.held[n:], max(1, self.n_repeats - 1), self.lone)
        return self.first(n), rest

    def repeats(self, n: int) -> Folds:
        """Return the first `n` repeats alone."""
        return self.first(len(self) // max(1, self.n_repeats) * n)


def plan(labels: IntArray, n_repeats: int = 4, seed: int = 0) -> Folds:
    """Return a plan of repeated, stratified folds.

    Args:
        labels: class numbers `(n,)`.
        n_repeats: how often each row is held out; a different deal each time.
        seed: fixes the deals.

    Returns:
        Folds; none where no class has two examples.

    >>> folds = plan(np.array([0, 0, 1, 1, 1, 2]), n_repeats=1)
    >>> len(folds), folds.lone, sorted(folds.rows.tolist())
    (3, (2,), [0, 1, 2, 3, 4])
    """
    counts = np.bincount(labels)
    lone = tuple(np.flatnonzero(counts == 1).tolist())
    n_folds = min(MOST_FOLDS, int(counts.max(initial=0)))
    if n_folds < 2:
        return Folds((), (), 0, lone)
    rng = np.random.default_rng(seed)
    train: list[IntArray] = []
    held: list[IntArray] = []
    for _ in range(n_repeats):
        fold = np.full(len(labels), -1)
        for label in np.flatnonzero(counts > 1):
            members = rng.permutation(np.flatnonzero(labels == label))
            first = rng.integers(n_folds)
            fold[members] = (first + np.arange(len(members))) % n_folds
        order = rng.permutation(len(labels))
        train += [order[fold[order] != f] for f in range(n_folds)]
        held += [np.flatnonzero(fold == f) for f in range(n_folds)]
    return Folds(tuple(train), tuple(held), n_repeats, lone)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a candidate answered for held-out rows.

    Args:
        log_odds: `(m, C)`; any constant may be added to a row.
        labels: the right classes `(m,)`.
        rows: which row of the set each answer is for `(m,)`.
    """

    log_odds: FloatArray
    labels: IntArray
    rows: IntArray

    def __post_init__(self) -> None:
        if self.log_odds.shape[:1] != self.labels.shape or self.labels.shape != self.rows.shape:
            raise InvalidInputError(
                "expected log-odds (m, C) with labels (m,) and rows (m,), got "
                f"{self.log_odds.shape}, {self.labels.shape} and {self.rows.shape}"
            )

    def joined(self, other: HeldOut) -> HeldOut:
        """Return the answers of both, these first."""
        return HeldOut(
            np.concatenate([self.log_odds, other.log_odds]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.rows, other.rows]),
        )

    @cached_property
    def correct(self) -> FloatArray:
        """Share of right answers for each distinct row, in the order of `each`.

        Where several classes share the top, each is right to that part.
        """
        top = self.log_odds == self.log_odds.max(1, keepdims=True)
        return self._by_row(top[np.arange(len(top)), self.labels] / top.sum(1))

    @cached_property
    def each(self) -> IntArray:
        """The distinct rows that were held out, sorted."""
        return np.unique(self.rows)

    @property
    def n_rows(self) -> int:
        """How many distinct rows were held out."""
        return len(self.each)

    @property
    def accuracy(self) -> float:
        """Mean of `correct`."""
        return float(self.correct.mean())

    @property
    def balanced(self) -> float:
        """Mean over classes of the share of their rows that is right."""
        first = np.unique(self.rows, return_index=True)[1]
        of_class = self.labels[first]
        return float(np.mean([self.correct[of_class == k].mean() for k in np.unique(of_class)]))

    def interval(self, level: float = 0.8) -> tuple[float, float]:
        """Return Wilson's score interval of the accuracy (Wilson, JASA 1927).

        Repeats do not count as further rows.
        """
        return wilson(self.accuracy, self.n_rows, level)

    @cached_property
    def temperature(self) -> float:
        """What log-odds are divided by so that their held-out log-loss is least (Guo et al. 2017).

        Labels are softened by one in n + 2, as in Platt (1999), so that answers without a mistake
        do not ask for a temperature of 0. Golden-section search over its logarithm; the loss is
        convex in the inverse.
        """
        low, high = _COLDEST, _HOTTEST
        ratio = (math.sqrt(5) - 1) / 2
        for _ in range(40):
            a, b = high - ratio * (high - low), low + ratio * (high - low)
            if self._softened(math.exp(a)) < self._softened(math.exp(b)):
                high = b
            else:
                low = a
        return math.exp((low + high) / 2)

    @property
    def log_loss(self) -> float:
        """Mean of minus the log probability of the right class, in nats, at `temperature`."""
        return float(-self._right().mean())

    @cached_property
    def chance(self) -> FloatArray:
        """Probability of the right class for each distinct row, at `temperature`."""
        return self._by_row(np.exp(self._right()))

    @cached_property
    def sure(self) -> FloatArray:
        """Probability of the class that is answered for each distinct row, at `temperature`."""
        return self._by_row(np.exp(self._log_chances(self.temperature).max(1)))

    def chances_apart(self) -> FloatArray:
        """Return probabilities of classes for every answer `(m, C)`, each apart from its own row.

        The temperature is that of the other rows: five groups of rows take turns. What several
        candidates answer together looks better than it is where their temperatures, which say
        who is listened to, were fitted to the rows that judge.
        """
        group = np.searchsorted(self.each, self.rows) % MOST_FOLDS
        found = np.empty_like(self._centred)
        for number in np.unique(group):
            judged, others = group == number, np.flatnonzero(group != number)
            heat = self._only(others).temperature if len(others) else 1.0
            scaled = self._centred[judged] / heat
            found[judged] = np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True))
        return found

    def _only(self, answers: IntArray) -> HeldOut:
        return HeldOut(self.log_odds[answers], self.labels[answers], self.rows[answers])

    def _softened(self, temperature: float) -> float:
        chances = self._log_chances(temperature)
        soft = 1 / (self.n_rows + 2)
        right = chances[np.arange(len(chances)), self.labels]
        return float(-((1 - soft) * right + soft * chances.mean(1)).mean())

    def _log_chances(self, temperature: float) -> FloatArray:
        """Return log probabilities `(m, C)`, none below that of `_LEAST_CHANCE`."""
        scaled = np.maximum(self._centred / temperature, math.log(_LEAST_CHANCE))
        found: FloatArray = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
        return found

    def _right(self) -> FloatArray:
        chances = self._log_chances(self.temperature)
        found: FloatArray = chances[np.arange(len(chances)), self.labels]
        return found

    @cached_property
    def _centred(self) -> FloatArray:
        centred: FloatArray = self.log_odds - self.log_odds.max(1, keepdims=True)
        return centred

    def _by_row(self, values: FloatArray) -> FloatArray:
        _, which = np.unique(self.rows, return_inverse=True)
        return np.bincount(which, values) / np.bincount(which)


def wilson(share: float, n: int, level: float = 0.8) -> tuple[float, float]:
    """Return Wilson's score interval of a share of `n` (Wilson, JASA 1927, equation 5).

    >>> low, high = wilson(1.0, 10)
    >>> round(low, 3), round(high, 3)
    (0.859, 1.0)
    """
    if n < 1:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)
