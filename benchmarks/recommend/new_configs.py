"""Past configs alone, or new ones beside them: real training on tables never collected from.

    python -m benchmarks.recommend.new_configs [--small] [--minutes M] [--scratch FOLDER]
        [--out FILE]

The past are runs that this project computed itself (`benchmarks.recommend.collect`): 100 configs
of four algorithms on 62 tables, or parts of that, drawn anew for each table asked about. Asked
about are small tables of PMLB that were never collected from. One arm chooses among the past
configs (and at random from the given spaces once all were tried), one among those and new ones
(`recommenders.new_configs`), both by `auto`; beside them random search. A config is scored by
3-fold cross-validation. The regret is how far the best so far is from the best that any arm found
on the table, over the distance of the median random config from that: 0 is the best known, 1 what
a random config has. Errors and paired differences are over tables.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import metastore
from benchmarks.recommend.collect import add_kept
from benchmarks.recommend.training import METRIC, Choice, cells, cross_validated, drawn, names
from benchmarks.results import Report, table, with_error
from metastore.types import Observation, canonical_json
from metastore.view import FloatArray, View
from recommenders.registry import make
from recommenders.threads import one_thread

BUDGET = 40
SHOWN = (1, 3, 5, 10, 25, 40)
SEARCHES = 5
MOST_CELLS = 10_000
PAST, BOTH, RANDOM = "past configs", "new ones beside them", "random search"


@dataclasses.dataclass(frozen=True)
class Part:
    """How much of the past there is: datasets at most, and configs of each algorithm at most."""

    datasets: int
    configs: int


PARTS = {
    "62 datasets, 100 configs": Part(62, 25),
    "12 datasets, 100 configs": Part(12, 25),
    "12 datasets, 16 configs": Part(12, 4),
}


def past(whole: View, asked: str, part: Part) -> View:
    """Return some of the past of a table, drawn by its name."""
    rng = np.random.default_rng([part.datasets, part.configs, *asked.encode()])
    view = whole.without([asked])
    kept = set(rng.permutation(view.datasets)[: part.datasets].tolist())
    view = view.without([name for name in view.datasets if name not in kept])
    of = view.config_algorithms
    configs = [rng.permutation(np.flatnonzero(of == a))[: part.configs] for a in set(of.tolist())]
    inside = np.isin(view.cell_config, np.concatenate(configs))
    columns = [one.name for one in dataclasses.fields(view) if one.name.startswith("cell_")]
    return dataclasses.replace(view, **{name: getattr(view, name)[inside] for name in columns})


class Scores:
    """Scores of configs on one table, each trained once."""

    def __init__(self, name: str, kept: Path) -> None:
        self._cells = cells(name)
        self._file = kept / f"{name}.json"
        self._known: dict[str, float] = {}
        if self._file.exists():
            self._known = json.loads(self._file.read_text(encoding="utf-8"))

    @property
    def usable(self) -> bool:
        """Whether the table can be split and is small."""
        return self._cells is not None and self._cells.features.size <= MOST_CELLS

    def __call__(self, choice: Choice) -> float:
        assert self._cells is not None
        key = canonical_json({"algorithm": choice[0], "config": choice[1]})
        if key not in self._known:
            self._known[key] = cross_validated(choice, self._cells.features, self._cells.target)
        return self._known[key]

    def keep(self) -> None:
        """Write down what was trained."""
        self._file.write_text(json.dumps(self._known), encoding="utf-8")


def advised(view: View, asked: str, scores: Scores, new: bool) -> list[float]:
    """Return the scores of what `auto` advises, told each before the next."""
    one = make("auto", seed=0).fit(view)
    keys = one.past.default_pool.keys
    pool = None if new else [(algorithm, json.loads(text)) for algorithm, text in keys]
    spare = drawn([9, *asked.encode()])
    observed: list[Observation] = []
    while len(observed) < BUDGET:
        found = one.recommend(asked, observed, 1, pool)
        choice = (found[0].algorithm, found[0].config) if found else next(spare)
        observed.append(Observation(*choice, scores(choice)))
    return [float(o.value) for o in observed if o.value is not None]


def searched(asked: str, scores: Scores) -> list[list[float]]:
    """Return the scores of several random searches."""
    found = []
    for number in range(SEARCHES):
        choices = drawn([number, *asked.encode()])
        found.append([scores(next(choices)) for _ in range(BUDGET)])
    return found


def measure(whole: View, asked: str, scores: Scores) -> dict[str, dict[str, Any]]:
    """Return all scores on one table, by part of the past and arm."""
    random = searched(asked, scores)
    found: dict[str, dict[str, Any]] = {}
    for name, part in PARTS.items():
        view = past(whole, asked, part)
        arms = {PAST: advised(view, asked, scores, False), BOTH: advised(view, asked, scores, True)}
        found[name] = arms | {RANDOM: random}
    scores.keep()
    return found


def regrets(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, FloatArray]]:
    """Return regrets `(BUDGET,)` on one table, by part of the past and arm; none where all tie."""
    everything = [np.ravel(one) for arms in found.values() for one in arms.values()]
    random = np.ravel(next(iter(found.values()))[RANDOM])
    best, usual = float(np.concatenate(everything).max()), float(np.median(random))
    if best <= usual:
        return {}
    return {
        part: {
            arm: (best - np.maximum.accumulate(np.atleast_2d(one), axis=1).mean(axis=0))
            / (best - usual)
            for arm, one in arms.items()
        }
        for part, arms in found.items()
    }


def summary(traces: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return means over tables with errors, by part of the past and arm."""
    tables = [told for told in map(regrets, traces.values()) if told]
    said: dict[str, Any] = {}
    for part in PARTS:
        rows = {arm: np.array([one[part][arm] for one in tables]) for arm in (BOTH, PAST, RANDOM)}
        ours = rows[BOTH].mean(axis=1)
        said[part] = {
            arm: {
                "regret": {str(k): round(float(row[:, k - 1].mean()), 3) for k in SHOWN},
                "mean": round(float(row.mean()), 3),
                "more than with new ones": with_error((row.mean(axis=1) - ours).tolist()),
            }
            for arm, row in rows.items()
        }
    return said


def collected(folder: Path, asked: Sequence[str]) -> View:
    """Return the collected runs, with meta-features of their tables and of those asked about."""
    store = metastore.open(folder)
    add_kept(store)
    for name in asked:
        one = cells(name)
        if one is not None:
            store.dataset((one.features, one.target), name=name)
    return store.view(METRIC)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a trial of two tables")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no table after that")
    parser.add_argument("--scratch", type=Path, help="keeps what was trained so far")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args(words)
    until = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as made, one_thread():
        kept = options.scratch or Path(made)
        kept.mkdir(parents=True, exist_ok=True)
        usable = {name: Scores(name, kept) for name in names(asked=True)}
        usable = {name: scores for name, scores in usable.items() if scores.usable}
        asked = [*usable][: 2 if options.small else None]
        whole = collected(Path(made), asked)
        traces = {}
        for name in asked:
            if time.monotonic() < until:
                traces[name] = measure(whole, name, usable[name])
                print(name, flush=True)
    settings = {
        "tables": [*traces],
        "trials": BUDGET,
        "random searches": SEARCHES,
        "unit": "regret as in the module's text; `mean` over all trials",
    }
    report = Report("recommend.new_configs", options.small, settings, summary(traces))
    for part, arms in report.results.items():
        print(f"\n{part}, {len(traces)} tables asked about")
        print(table([_row(arm, said) for arm, said in arms.items()]), flush=True)
    report.write(options.out)


def _row(arm: str, said: dict[str, Any]) -> dict[str, Any]:
    more, error = said["more than with new ones"]
    row = {"arm": arm} | {f"@{k}": v for k, v in said["regret"].items()}
    return row | {"mean": said["mean"], "more": f"{more:+.3f} ± {error:.3f}"}


if __name__ == "__main__":
    main()
