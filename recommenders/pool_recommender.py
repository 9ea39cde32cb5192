"""The base of recommenders that choose from a pool: everything but the choice.

Resolving the task and the pool, leaving out what was observed, and turning an answer into
recommendations with evidence. A subclass opens sessions.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self, SupportsFloat

import numpy as np

from metastore.errors import InvalidInputError
from metastore.search_space import as_space
from metastore.space_reconcile import Reconciliation
from metastore.types import Observation, RunStatus, canonical_json
from metastore.view import FloatArray, View
from recommenders.durations import Durations, Took
from recommenders.encoding import Key
from recommenders.new_configs import EACH, new_configs
from recommenders.per_second import worth_most
from recommenders.recommender import AskedTask, Candidate, Evidence, Recommendation, Spaces
from recommenders.scores import Past, Table
from recommenders.sessions import Seen, Session, Step, evidence
from recommenders.spaces import SpacePool, pool_of
from recommenders.tasks import resolve
from recommenders.threads import one_thread

PAIR = 2

TIMED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.PRUNED, RunStatus.TIMEOUT})
"""Statuses of runs that tell how long a config takes, or how long at least."""


AT_ONCE = 2048
"""New configs at most that one question is a reason to draw."""

CHOICE = 300
"""Past configs that were not tried yet, from which on no new ones are drawn."""


class PoolRecommender(ABC):
    """Chooses configs from a pool, in sessions.

    Args:
        seed: fixes whatever is left to chance.

    Raises:
        InvalidInputError: if the seed is no whole number.
    """

    name: ClassVar[str]

    def __init__(self, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise InvalidInputError(f"seed: expected a whole number, got {seed!r}")
        self.seed = int(seed)
        self._past: Past | None = None
        self._learned_durations: list[Durations | None] = []
        self._offered: SpacePool | None = None
        self._with_new: dict[int, tuple[Key, ...]] = {}

    @property
    def past(self) -> Past:
        """What was learned from.

        Raises:
            InvalidInputError: before `fit`.
        """
        if self._past is None:
            raise InvalidInputError(f"{self.name}: call fit(view) before recommend(...)")
        return self._past

    def fit(self, view: View, search_space: Spaces | None = None) -> Self:
        """Learn from `view`, and return self.

        Args:
            view: past runs.
            search_space: by algorithm, where an answer may lie, a `SearchSpace` or Optuna's
                distributions by parameter; None for what past configs show. `reconciled` says
                which past configs fit into it.

        Raises:
            InvalidInputError: if `view` is none, or `search_space` no mapping by algorithm.
        """
        if not isinstance(view, View):
            raise InvalidInputError(
                "view: expected the past runs of one metric, such as store.view('accuracy'), got "
                f"{type(view).__name__}"
            )
        if search_space is not None and not isinstance(search_space, Mapping):
            raise InvalidInputError(
                "search_space: expected {algorithm: SearchSpace, ...}, got "
                f"{type(search_space).__name__}"
            )
        spaces = {
            algorithm: as_space(space, f"search_space of algorithm {algorithm!r}")
            for algorithm, space in (search_space or {}).items()
        }
        with one_thread():
            self.fit_past(Past.of(view))
            if search_space is not None:
                past = self.past.default_pool.keys
                self._offered = pool_of(spaces, past, self.seed)
        return self

    @property
    def reconciled(self) -> Mapping[str, Reconciliation]:
        """Which past configs fit the given search space, by algorithm: which do not, and why."""
        return {} if self._offered is None else self._offered.reconciled

    def fit_past(self, past: Past) -> Self:
        """Learn from a prepared past, which several recommenders can share."""
        self._past = past
        self._learned_durations = []
        self._offered = None
        self._with_new = {}
        self.prepare()
        return self

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Learn whatever a subclass needs from `self.past`; nothing by default."""

    @abstractmethod
    def session(self, task: AskedTask, table: Table) -> Session:
        """Open a session for a resolved task over a pool."""

    def recommend(
        self,
        task: Any,
        observed: Sequence[Observation] | None = (),
        n: int = 1,
        candidates: Sequence[Candidate] | None = None,
    ) -> list[Recommendation]:
        """Return at most `n` distinct configs to run next, the most urgent first.

        Args:
            task: what is asked about, see `recommenders.tasks.resolve`.
            observed: what was already run on this task, values in the metric's own direction;
                None for nothing.
            n: how many to return; fewer come back only when the pool has no more. It grows with
                what was observed, and for one question by some two thousand new configs at most.
            candidates: the pool to choose from; None for the search space that was fitted with,
                or else the view's: its configs and, once runs on the task ended or those are too
                few, new ones from recorded or inferred spaces (`recommenders.new_configs`).

        Raises:
            InvalidInputError: if `n` is not a positive integer, nothing was fitted, what was
                observed are no `Observation` values, or candidates no pairs.
            UnknownNameError: if `task` is a name that the view does not know.
        """
        check_count("n", n)
        asked, observed = resolve(task, self.past.view), () if observed is None else observed
        with one_thread():
            table, seen = self._pool(list(observed), candidates, int(n))
            step = self.session(asked, table).step(seen, int(n))
            seconds = self._seconds(asked, table, observed)
        return [self._speak(table, step, i, seconds) for i in range(len(step.choice.columns))]

    def recommend_within(
        self,
        task: Any,
        left: float,
        observed: Sequence[Observation] | None = (),
        candidates: Sequence[Candidate] | None = None,
        most: int | None = None,
    ) -> Recommendation | None:
        """Return the config that is expected to be worth most a second.

        Where no past run has a duration it is the most urgent one, of unknown duration.

        Args:
            task: as in `recommend`.
            left: seconds that it may take; infinity for no limit.
            observed: as in `recommend`; durations of `Observation.seconds` count.
            candidates: as in `recommend`.
            most: how many configs will be run at most, this one among them; None for any number.
                With few of them there is time for longer ones.

        Returns:
            None where nothing fits into the time.

        Raises:
            InvalidInputError: if `left` is no number of seconds, `most` not positive, or as in
                `recommend`.
            UnknownNameError: as in `recommend`.
        """
        if isinstance(left, bool) or not isinstance(left, SupportsFloat) or math.isnan(left):
            raise InvalidInputError(f"left: expected seconds, infinity for no limit, got {left!r}")
        if most is not None:
            check_count("most", most)
        if not self.timed:
            return next(iter(self.recommend(task, observed, 1, candidates)), None)
        asked, observed = resolve(task, self.past.view), () if observed is None else observed
        with one_thread():
            table, seen = self._pool(list(observed), candidates, 1)
            seconds = self._seconds(asked, table, observed)
            found = worth_most(
                self.session(asked, table), seen, seconds, left, math.inf if most is None else most
            )
        return None if found is None else self._speak(table, *found, seconds)

    @property
    def _durations(self) -> Durations | None:
        """How long configs take; learned when first asked for, which no backtest does."""
        if not self._learned_durations:
            self._learned_durations.append(Durations.of(self.past))
        return self._learned_durations[0]

    @property
    def timed(self) -> bool:
        """Whether any past run has a duration."""
        return self._durations is not None

    def _seconds(
        self, task: AskedTask, table: Table, observed: Sequence[Observation]
    ) -> FloatArray:
        """Return how long each config of the table `(P,)` is expected to take on a task."""
        if self._durations is None:
            return np.full(len(table.keys), np.nan)
        whole: dict[int, list[float]] = {}
        least: dict[int, float] = {}
        for one in observed:
            if one.seconds is None or not one.seconds > 0 or one.status not in TIMED:
                continue
            column = table.number[one.algorithm, canonical_json(one.config)]
            if one.status == RunStatus.COMPLETED:
                whole.setdefault(column, []).append(float(one.seconds))
            else:
                least[column] = max(float(one.seconds), least.get(column, 0.0))
        told = {column: (seconds, True) for column, seconds in least.items()}
        told |= {column: (float(np.mean(some)), False) for column, some in whole.items()}
        return self._durations.expected(task, table, Took.of(told))

    def _pool(
        self, observed: Sequence[Observation], candidates: Sequence[Candidate] | None, n: int
    ) -> tuple[Table, Seen]:
        """Return the table of the pool and of what was observed, and what was seen in it.

        Args:
            observed: what was already run on the task.
            candidates: the pool, None for one's own.
            n: how many will be chosen of it.
        """
        for one in observed:
            _check(one)
        done = [(o.algorithm, canonical_json(o.config)) for o in observed]
        if candidates is None and self._offered is not None:
            table = self.past.table(self._offered.keys)
        elif candidates is None:
            table = self._own_pool(observed, set(done), n)
        else:
            pool = {_candidate(one) for one in candidates}
            table = self.past.table(tuple(sorted(pool)))
        offered = len(table.keys)
        strange = tuple(sorted(set(done) - table.number.keys()))
        if strange:
            table = table.joined(self.past.table(strange))
        return table, self._seen(table, offered, done, observed)

    def _own_pool(self, observed: Sequence[Observation], done: set[Key], n: int) -> Table:
        """Return past configs and, once runs ended or more are asked for than there are, new ones.

        A warm start rests on configs that did well elsewhere. What a new one is worth shows in
        the runs near it, and the more were observed, the more are drawn: a pool never runs dry.
        Where very many past ones are left, they are choice enough.
        """
        table = self.past.default_pool
        left = len(table.keys) - len(done & table.number.keys())
        ended = any(one.usable or one.failed for one in observed if one.status != RunStatus.RUNNING)
        if n <= left and (not ended or left >= CHOICE):
            return table
        rounds = 1 + (len(done) + min(n, AT_ONCE)) // EACH
        if rounds not in self._with_new:
            drawn = new_configs(table.keys, self.seed, rounds, self.past.view.spaces)
            self._with_new[rounds] = tuple(sorted({*table.keys, *drawn}))
        return self.past.table(self._with_new[rounds])

    def _seen(
        self, table: Table, offered: int, done: list[Key], observed: Sequence[Observation]
    ) -> Seen:
        values: dict[int, list[float]] = {}
        broken = set[int]()
        taken = np.arange(len(table.keys)) >= offered
        for key, one in zip(done, observed, strict=True):
            column = table.number[key]
            taken[column] = True
            if one.usable and one.value is not None:
                values.setdefault(column, []).append(self.past.view.score(float(one.value)))
            elif one.failed:
                broken.add(column)
        columns = sorted(values)
        scores = [float(np.mean(values[c])) for c in columns]
        failed = np.array(sorted(broken - values.keys()), dtype=np.int64)
        return Seen(
            np.array(columns, dtype=np.int64), np.array(scores, dtype=np.float64), taken, failed
        )

    def _speak(self, table: Table, step: Step, place: int, seconds: FloatArray) -> Recommendation:
        """Turn one choice into a recommendation, in the metric's own direction."""
        column = int(step.choice.columns[place])
        algorithm, text = table.keys[column]
        value = self.past.view.value
        low, high = self.past.bounds
        expected, *ends = np.clip(
            [value(float(x[place])) for x in (step.score, step.low, step.high)], low, high
        ).tolist()
        return Recommendation(
            algorithm=algorithm,
            config=json.loads(text),
            value=expected,
            interval=(min(ends), max(ends)),
            seconds=float(seconds[column]),
            evidence=self._evidence(table, step, place),
        )

    def _evidence(self, table: Table, step: Step, place: int) -> Evidence:
        """Return why a config was chosen, and what it was before it fitted a given space."""
        found = evidence(self.past, table, step, place)
        key = table.keys[int(step.choice.columns[place])]
        changed = "" if self._offered is None else self._offered.moved.get(key, "")
        return replace(found, changed=changed) if changed else found


def _candidate(one: Any) -> Key:
    pair = isinstance(one, Sequence) and not isinstance(one, str) and len(one) == PAIR
    if not pair or not isinstance(one[0], str):
        raise InvalidInputError(
            "candidates: expected (algorithm, config) pairs, such as ('sklearn.svm.SVC', "
            f"{{'C': 1.0}}), got {str(one)[:80]!r}"
        )
    return one[0], canonical_json(one[1])


def check_count(name: str, count: Any) -> None:
    """Raise `InvalidInputError` unless a count is a positive whole number."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise InvalidInputError(f"{name}: expected a positive whole number, got {count!r}")


def _check(one: Observation) -> None:
    if not isinstance(one, Observation):
        raise InvalidInputError(
            "observed: expected Observation(algorithm, config, value) values, got "
            f"{type(one).__name__}"
        )
    if isinstance(one.value, str | bytes) or not isinstance(one.value, SupportsFloat | None):
        raise InvalidInputError(f"observed: expected a number or None as value, got {one.value!r}")
    if isinstance(one.seconds, str | bytes) or not isinstance(one.seconds, SupportsFloat | None):
        raise InvalidInputError(
            f"observed: expected a number of seconds or None, got {one.seconds!r}"
        )
    if one.status not in list(RunStatus):
        raise InvalidInputError(
            f"observed: no status {one.status!r}; expected one of {', '.join(RunStatus)}"
        )
