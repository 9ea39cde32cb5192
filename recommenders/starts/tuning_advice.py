"""How to fine-tune a start: what the store's own past fine-tunings of it recommend.

Fine-tunings are runs like any other (algorithm "finetune", metric "accuracy", the start's name in
the config), so the recommenders that choose configurations choose tunings, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metastore.types import Observation
from metastore.view import View
from recommenders.asking import own_runs
from recommenders.registry import make
from recommenders.starts.record import ALGORITHM, START, fine_tunings, others
from recommenders.starts.tuning import GRADIENT, Tuning, tuning_space

if TYPE_CHECKING:
    from metastore.store import MetaStore
    from recommenders.starts.support_set import SupportSet

LEAST_TASKS = 3
"""Other tasks that must have been fine-tuned from a start before its past says anything."""


@dataclass(frozen=True)
class TuningAdvice:
    """A tuning to use, and why.

    Args:
        tuning: the settings.
        why: in words.
    """

    tuning: Tuning
    why: str


@dataclass(frozen=True)
class Wanted:
    """Which tunings are asked for.

    Args:
        start: a start's name, or "from scratch".
        usual: what to do where the past says nothing; among several it is always tried.
        modes: modes that the start has.
        n: how many; with more than one, fresh ones are drawn, too.
        seed: of whatever is left to chance.
    """

    start: str
    usual: Tuning
    modes: tuple[str, ...]
    n: int = 1
    seed: int = 0


def advised(store: MetaStore, support: SupportSet, wanted: Wanted) -> list[TuningAdvice]:
    """Return tunings of a start to use on a task, the best first.

    Args:
        store: past runs.
        support: the task.
        wanted: of which start, and how many.

    Returns:
        Tunings that differ, fewer than asked for where there are no more.
    """
    n = wanted.n
    view, task = past(store, wanted.start, support)
    rest = None if view is None else others(view, task)
    default = TuningAdvice(
        wanted.usual, "by default: the store has too few fine-tunings of it to tell"
    )
    if view is not None and rest is not None and rest.n_datasets >= LEAST_TASKS:
        found = _recommended(rest, own_runs(view, task), task, wanted)
        if found:
            return found if n == 1 else _distinct([*found[: n - 1], default, *found[n - 1 :]], n)
    second = [TuningAdvice(GRADIENT, "by default, as the second to try")] * (
        n > 1 and GRADIENT.mode in wanted.modes
    )
    drawn = [
        TuningAdvice(Tuning.of(config), "drawn at random, to learn from")
        for config in (tuning_space(wanted.modes).sample(3 * n, wanted.seed) if n > 1 else ())
    ]
    return _distinct([default, *second, *drawn], n)


def past(store: MetaStore, start: str, support: SupportSet) -> tuple[View | None, str]:
    """Return past fine-tunings of a start, this task's own among them, and the task's name.

    The view is None where the store has none.
    """
    view, task = fine_tunings(store, support)
    if view is None:
        return None, ""
    return view.where(lambda _, config: config.get(START) == start), task


def _recommended(
    rest: View, seen: list[Observation], task: str, wanted: Wanted
) -> list[TuningAdvice]:
    """Return what the recommender of choice says; with one answer, only of what ran before."""
    if rest.n_configs < 2:
        return []
    from metastore.search_space import SearchSpace  # noqa: PLC0415 - Optuna's distributions

    spaces = None
    if wanted.n > 1:
        space = tuning_space(wanted.modes)
        spaces = {ALGORITHM: _with_start(space, wanted.start, SearchSpace)}
    recommender = make("auto", seed=wanted.seed)
    recommender.fit(rest, spaces)
    found = []
    for one in recommender.recommend(task, seen, wanted.n):
        tuning = Tuning.of(one.config)
        if tuning.mode in wanted.modes:
            why = (
                f"recommended by {one.evidence.method} from {rest.n_cells} fine-tunings of it "
                f"on {rest.n_datasets} other tasks"
            )
            found.append(TuningAdvice(tuning, why))
    return found


def _with_start(space: Any, start: str, kind: Any) -> Any:
    """Return a space of tunings whose configs name their start."""
    from optuna.distributions import CategoricalDistribution  # noqa: PLC0415 - slow to import

    named = {START: CategoricalDistribution((start,)), **space.distributions}
    return kind(named, space.conditions, name=space.name)


def _distinct(found: list[TuningAdvice], n: int) -> list[TuningAdvice]:
    seen: dict[Tuning, TuningAdvice] = {}
    for one in found:
        seen.setdefault(one.tuning, one)
    return list(seen.values())[:n]
