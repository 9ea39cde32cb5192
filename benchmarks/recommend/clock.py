"""Races against the clock: what is reached in a time, where configs differ in how long they take.

    python -m benchmarks.recommend.clock [--metric NAME ...] [--recommender NAME] [--small]
        [--out FILE]

Auto-sklearn's table, 106 pipelines that ran on 140 datasets with their durations: each dataset is
left out with its near-duplicates, and whoever races has 3, 10 and 50 times as long as the median
pipeline takes there. A pipeline that ends after the time counts for nothing. Measured is the
regret at a tenth, a quarter, half and all of the time, 1 until the first pipeline has ended, and
its mean over the time.

`worth a second` asks for the config that is expected to gain most a second
(`recommenders.per_second`); `run by run` is the same recommender asked for what a run brings.
`portfolio` goes through a static list, `quickest first` by how long configs took elsewhere, and
`random` draws. A recommender needs no time here: what asking takes, `end_to_end` counts.

The rule was chosen on this project's own runs (`collect`) and on every eighth dataset of this
table, metric bac_loss, which are left out of the report. How far expected durations are off is
reported beside it, as the root mean square of their logarithms to the base 10, once 0, 1, 3 and
10 random configs ran on the dataset.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.realdata import realdata
from benchmarks.results import Report, table
from metastore.types import Observation, canonical_json
from metastore.view import FloatArray, View
from recommenders.encoding import Key
from recommenders.pool_recommender import PoolRecommender
from recommenders.recommender import Candidate, Recommendation
from recommenders.registry import make
from recommenders.replay import Answers
from recommenders.threads import one_thread
from tests.views import view_from_parquet

METRICS = ("bac_loss", "auc_loss")
TIMES = (3, 10, 50)
SHARES = (0.1, 0.25, 0.5, 1.0)
SEEN = (0, 1, 3, 10)
CHOSEN_ON = 8
"""Every eighth dataset had a part in choosing the rule."""

SEED = 0
OURS, RUNWISE = "worth a second", "run by run"


@dataclass(frozen=True, eq=False)
class Task:
    """A dataset that is raced on: what each config scored there and how long it took."""

    name: str
    pool: list[Candidate]
    keys: list[Key]
    regret: FloatArray
    value: FloatArray
    seconds: FloatArray

    @classmethod
    def of(cls, view: View, name: str) -> Task:
        mine = np.flatnonzero(view.cell_dataset == view.datasets.index(name))
        configs = view.cell_config[mine].tolist()
        answers = Answers.of(view, name)
        regret = dict(zip(answers.keys, answers.regret.tolist(), strict=True))
        keys = [(view.algorithm(c), str(view.config_texts[c])) for c in configs]
        return cls(
            name,
            [(view.algorithm(c), view.config(c)) for c in configs],
            keys,
            np.array([regret[key] for key in keys]),
            np.array([view.value(float(score)) for score in view.cell_score[mine]]),
            view.cell_seconds[mine],
        )

    def observation(self, place: int) -> Observation:
        algorithm, config = self.pool[place]
        value, seconds = float(self.value[place]), float(self.seconds[place])
        return Observation(algorithm, config, value, seconds=seconds)

    def place(self, one: Recommendation) -> int:
        return self.keys.index((one.algorithm, canonical_json(one.config)))


Choose = Callable[[PoolRecommender, Task, list[int], float], int | None]
"""Returns which config to run next, given those that ran and the seconds left."""


def worth_a_second(one: PoolRecommender, task: Task, ran: list[int], left: float) -> int | None:
    seen = [task.observation(place) for place in ran]
    found = one.recommend_within(task.name, left, seen, task.pool)
    return None if found is None else task.place(found)


def run_by_run(one: PoolRecommender, task: Task, ran: list[int], left: float) -> int | None:
    seen = [task.observation(place) for place in ran]
    found = one.recommend(task.name, seen, 1, task.pool)
    return task.place(found[0]) if found else None


def ordered(order: Callable[[PoolRecommender, Task], Sequence[int]]) -> Choose:
    """Return a choice that goes through an order, whatever the runs say."""
    known: dict[str, Sequence[int]] = {}

    def choose(one: PoolRecommender, task: Task, ran: list[int], left: float) -> int | None:
        if task.name not in known:
            known.clear()
            known[task.name] = order(one, task)
        return known[task.name][len(ran)] if len(ran) < len(task.pool) else None

    return choose


def _portfolio(one: PoolRecommender, task: Task) -> list[int]:
    listed = make("portfolio", seed=SEED).fit_past(one.past)
    return [task.place(r) for r in listed.recommend(task.name, (), len(task.pool), task.pool)]


def _quickest(one: PoolRecommender, task: Task) -> list[int]:
    past = one.past.table(tuple(sorted(task.keys)))
    mean = dict(zip(past.keys, np.nanmean(np.log(past.seconds), axis=0).tolist(), strict=True))
    return sorted(range(len(task.keys)), key=lambda place: mean[task.keys[place]])


def _drawn(one: PoolRecommender, task: Task) -> list[int]:
    rng = np.random.default_rng([SEED, *task.name.encode()])
    return [int(place) for place in rng.permutation(len(task.pool))]


ARMS: dict[str, Choose] = {
    OURS: worth_a_second,
    RUNWISE: run_by_run,
    "portfolio": ordered(_portfolio),
    "quickest first": ordered(_quickest),
    "random": ordered(_drawn),
}


def race(choose: Choose, one: PoolRecommender, task: Task, seconds: float) -> FloatArray:
    """Return the regrets at `SHARES` of the time, and the mean over it."""
    ran: list[int] = []
    ends, lowest = [0.0], [1.0]
    while ends[-1] < seconds:
        place = choose(one, task, ran, seconds - ends[-1])
        if place is None:
            break
        ran.append(place)
        ends.append(ends[-1] + float(task.seconds[place]))
        lowest.append(min(lowest[-1], float(task.regret[place])))
    at = [lowest[int(np.searchsorted(ends, share * seconds, "right")) - 1] for share in SHARES]
    lengths = np.diff(np.minimum([*ends, max(seconds, ends[-1])], seconds))
    return np.array([*at, float(np.dot(lengths, lowest)) / seconds])


def errors(one: PoolRecommender, task: Task) -> FloatArray:
    """Return how far expected durations are off, `(len(SEEN),)`."""
    order = _drawn(one, task)
    out = []
    for count in SEEN:
        seen = [task.observation(place) for place in order[:count]]
        found = one.recommend(task.name, seen, len(task.pool), task.pool)
        pairs = [(r.seconds, float(task.seconds[task.place(r)])) for r in found]
        expected, took = np.log10(pairs).T
        out.append(float(np.sqrt(np.mean((expected - took) ** 2))))
    return np.array(out)


def measure(view: View, recommender: str, tasks: Sequence[str]) -> dict[str, FloatArray]:
    """Return by arm what was reached, `(tasks, times, shares + 1)`, and `errors` of durations."""
    found: dict[str, list[FloatArray]] = {arm: [] for arm in (*ARMS, "errors")}
    for name in tasks:
        task = Task.of(view, name)
        one = make(recommender, seed=SEED).fit(view.without([name]))
        usual = float(np.median(task.seconds))
        for arm, choose in ARMS.items():
            found[arm].append(np.array([race(choose, one, task, k * usual) for k in TIMES]))
        found["errors"].append(errors(one, task))
    return {arm: np.array(rows) for arm, rows in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metric", action="append", choices=METRICS, help="one of several")
    parser.add_argument("--recommender", default="auto")
    parser.add_argument("--small", action="store_true", help="a trial: seven datasets, one metric")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    metrics = options.metric or METRICS[: 1 if options.small else None]
    settings = {"recommender": options.recommender, "metrics": metrics, "times": TIMES}
    report = Report("recommend.clock", options.small, settings)
    folder = realdata("autosklearn_md")
    for metric in metrics:
        view = view_from_parquet(folder / "runs.parquet", metric, folder / "metafeatures.parquet")
        tasks = [n for i, n in enumerate(view.datasets) if i % CHOSEN_ON]
        with one_thread():
            found = measure(view, options.recommender, tasks[:: 20 if options.small else 1])
        _report(report, metric, found)
    report.write(options.out)


def _report(report: Report, metric: str, found: dict[str, FloatArray]) -> None:
    off = found.pop("errors")
    results: dict[str, Any] = {
        "tasks": len(off),
        "durations_off_log10": {
            str(k): _mean(column) for k, column in zip(SEEN, off.T, strict=True)
        },
    }
    columns = [f"{share:.0%}" for share in SHARES] + ["over the time"]
    for i, times in enumerate(TIMES):
        rows = []
        for arm, values in found.items():
            row = {name: _mean(values[:, i, j]) for j, name in enumerate(columns)}
            results.setdefault(f"{times} median runs", {})[arm] = row
            rows.append({"arm": arm} | {n: f"{m:.3f} ± {e:.3f}" for n, (m, e) in row.items()})
        print(
            f"\n{metric}, {len(off)} datasets, time of {times} median runs: regret\n{table(rows)}"
        )
        for arm in (a for a in found if a != OURS):
            gap = _mean(found[arm][:, i, -1] - found[OURS][:, i, -1])
            results[f"{times} median runs"][arm]["behind over the time"] = gap
            ours, theirs = (float(found[a][:, i, -1].mean()) for a in (OURS, arm))
            report.verdict(
                f"{metric}, time of {times} median runs: regret over the time {ours:.3f}, "
                f"{arm} {theirs:.3f}; paired difference {gap[0]:.3f} ± {gap[1]:.3f}",
                gap[0] > 2 * gap[1],
            )
    seen = ", ".join(f"{v[0]:.2f} after {k}" for k, v in results["durations_off_log10"].items())
    print(f"durations are off by a factor of 10 to the {seen} runs")
    report.results[metric] = results


def _mean(values: FloatArray) -> tuple[float, float]:
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return round(float(values.mean()), 4), round(error, 4)


if __name__ == "__main__":
    main()
