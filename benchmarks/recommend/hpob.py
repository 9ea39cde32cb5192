"""HPO-B (Pineda Arango et al., 2021): its files, its protocol, and the published rows.

    python -m benchmarks.recommend.hpob [--data FOLDER] [--method NAME ...] [--space ID ...]
        [--out FILE]

FOLDER holds the benchmark's `meta-train-dataset.json`, `meta-test-dataset.json` and
`bo-initializations.json`. A file of runs is `{search space: {dataset: {"X": [[...]], "y":
[[...]]}}}`, X in [0, 1] and y an accuracy; the initializations are `{search space: {dataset:
{"test0": [5 row numbers], ...}}}`.

Protocol: the test datasets of a search space one by one, the training datasets of the space as
the past; five given configs, then 100 trials; regret is 1 - the best so far of the accuracies,
min-max normalised on the dataset; the mean is over pairs of space and dataset (86 in the
benchmark) and over five given starts. A k in the table counts trials after the given ones. Rows
that repeat a config are one config here, with the mean of their accuracies.

Without `--data` the table has the published rows and an empty row of ours: nothing is claimed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import metastore
import recommenders
from benchmarks.results import Report, table
from metastore.errors import InvalidInputError
from metastore.store import MetaStore
from metastore.types import canonical_json
from metastore.view import FloatArray
from recommenders.encoding import Key
from recommenders.recommender import AskedTask
from recommenders.replay import regrets, seen_of
from recommenders.scores import Past

TRAIN, TEST, STARTS = "meta-train-dataset.json", "meta-test-dataset.json", "bo-initializations.json"
METRIC = "accuracy"
TRIALS = 100
SHOWN = (5, 15, 25, 50, 100)
PAIRS = 86
PUBLISHED: dict[str, tuple[float, ...]] = {
    "random": (14.2, 10.2, 8.6, 7.2, 5.4),
    "GP": (10.6, 6.4, 5.1, 3.5, 2.6),
    "RGPE": (10.4, 6.4, 5.6, 4.6, 2.8),
    "FSBO": (8.1, 4.3, 2.9, 1.8, 1.05),
}
"""Mean regret x100 after `SHOWN` trials, as published (Pineda Arango et al., 2021; Wistuba and
Grabocka, 2021)."""
PUBLISHED_SUBSET = {"NAP": 0.48, "OptFormer": 0.84, "FSBO": 1.31}
"""The same after 100 trials on a subset of 115 runs (Maraval et al., 2023)."""


@dataclass(frozen=True, eq=False)
class Problem:
    """All runs of one dataset in one search space: configs `(n, d)` and accuracies `(n,)`."""

    space: str
    dataset: str
    configs: FloatArray
    accuracy: FloatArray

    @property
    def algorithm(self) -> str:
        """What the store calls the search space."""
        return f"hpob:{self.space}"

    @property
    def name(self) -> str:
        """What the store calls the dataset."""
        return f"openml:{self.dataset}"

    @property
    def config_keys(self) -> list[Key]:
        """Return the n configs as the store knows them; rows may repeat one."""
        names = [f"x{i:02d}" for i in range(self.configs.shape[1])]
        rows = self.configs.tolist()
        texts = (canonical_json(dict(zip(names, row, strict=True))) for row in rows)
        return [(self.algorithm, text) for text in texts]


def read(file: Path, spaces: Iterable[str] = ()) -> Iterator[Problem]:
    """Yield the problems of a file of runs, of some search spaces or of all.

    Raises:
        InvalidInputError: if the file is not laid out as HPO-B's are.
    """
    wanted = set(spaces)
    body = _json(file)
    for space, datasets in body.items():
        if wanted and space not in wanted:
            continue
        if not isinstance(datasets, dict):
            raise _strange(file, f"search space {space!r} holds a {type(datasets).__name__}")
        for dataset, runs in datasets.items():
            try:
                configs = np.array(runs["X"], dtype=np.float64)
                accuracy = np.array(runs["y"], dtype=np.float64).reshape(-1)
            except (KeyError, TypeError, ValueError) as error:
                reason = f"{space!r}, dataset {dataset!r}: {type(error).__name__} {error}"
                raise _strange(file, reason) from error
            if configs.ndim != 2 or len(configs) != len(accuracy) or not len(configs):
                shapes = f"X of shape {configs.shape} and {len(accuracy)} y"
                raise _strange(file, f"{space!r}, dataset {dataset!r} has {shapes}")
            yield Problem(space, dataset, configs, accuracy)


def _json(file: Path) -> dict[str, Any]:
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _strange(file, str(error)) from error
    if not isinstance(body, dict):
        raise _strange(file, f"it holds a {type(body).__name__}")
    return body


def _strange(file: Path, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"{file.name}: expected HPO-B's layout, {{search space: {{dataset: {{'X': [[...]], 'y': "
        f"[[...]]}}}}}}; {reason}"
    )


def import_into(store: MetaStore, problems: Iterable[Problem]) -> int:
    """Import problems into a store, a search space being an algorithm; return the new runs."""
    new = 0
    with tempfile.TemporaryDirectory(prefix="headstart-hpob-") as folder:
        for number, problem in enumerate(problems):
            path = Path(folder) / f"{number}.parquet"
            pq.write_table(as_table(problem), path)
            new += store.import_table(path).new_runs
    return new


def as_table(problem: Problem) -> pa.Table:
    """Return a problem as a table of runs, as `MetaStore.import_table` takes it."""
    count = len(problem.accuracy)
    return pa.table(
        {
            "dataset": [problem.name] * count,
            "algorithm": [problem.algorithm] * count,
            "config": [text for _, text in problem.config_keys],
            "metric": [METRIC] * count,
            "value": problem.accuracy,
            "higher_is_better": [True] * count,
        }
    )


def starts(folder: Path) -> dict[str, dict[str, list[list[int]]]]:
    """Return the given rows by search space, dataset and start."""
    body = _json(folder / STARTS)
    return {
        space: {dataset: [runs[s] for s in sorted(runs)] for dataset, runs in datasets.items()}
        for space, datasets in body.items()
    }


def run(past: Past, problem: Problem, start: list[int], method: str, seed: int) -> FloatArray:
    """Return the regret `(TRIALS + 1,)` after the given configs and after every trial."""
    keys = problem.config_keys
    pool = tuple(sorted(set(keys)))
    number = {key: i for i, key in enumerate(pool)}
    at = np.array([number[key] for key in keys])
    score = np.bincount(at, problem.accuracy) / np.bincount(at)
    regret = regrets(score)
    fitted = recommenders.make(method, seed=seed).fit_past(past)
    session = fitted.session(AskedTask(problem.name), past.table(pool))
    columns = list(dict.fromkeys(at[start].tolist()))
    path = [regret[columns].min()]
    for _ in range(TRIALS):
        if len(columns) < len(pool):
            columns.append(int(session.step(seen_of(columns, score), 1).choice.columns[0]))
        path.append(min(path[-1], regret[columns[-1]]))
    return np.array(path)


def measure(folder: Path, method: str, spaces: Iterable[str] = ()) -> tuple[FloatArray, int]:
    """Return the mean regret `(TRIALS + 1,)` of a recommender, and over how many pairs it is."""
    given = starts(folder)
    wanted = list(spaces) or list(_json(folder / TEST))
    paths, pairs = [], 0
    for space in wanted:
        with tempfile.TemporaryDirectory(prefix="headstart-hpob-") as scratch:
            store = metastore.open(scratch)
            import_into(store, read(folder / TRAIN, [space]))
            past = Past.of(store.view(METRIC, f"hpob:{space}"))
        for problem in read(folder / TEST, [space]):
            pairs += 1
            for seed, start in enumerate(given[space][problem.dataset]):
                paths.append(run(past, problem, start, method, seed))
            print(f"  {space}, {problem.dataset}, {method}: {paths[-1][-1]:.4f}", flush=True)
    return np.array(paths).mean(axis=0), pairs


def rows(ours: dict[str, tuple[FloatArray, int]]) -> list[dict[str, Any]]:
    """Return the published rows and ours, for a table of text."""
    shown: list[dict[str, Any]] = [
        {"method": f"{name} (published)"}
        | {f"@{k}": f"{value:g}" for k, value in zip(SHOWN, row, strict=True)}
        for name, row in PUBLISHED.items()
    ]
    for name, (mean, pairs) in ours.items():
        cells = {f"@{k}": f"{100 * mean[k]:.2f}" for k in SHOWN}
        shown.append({"method": f"{name} (here, {pairs} of {PAIRS} pairs)"} | cells)
    if not ours:
        shown.append({"method": "auto (here)"} | {f"@{k}": "" for k in SHOWN})
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder of HPO-B's files")
    parser.add_argument("--method", action="append", help="`auto` by default")
    parser.add_argument("--space", action="append", help="search spaces; all by default")
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    settings = {"unit": "mean regret x100", "trials": TRIALS, "pairs": PAIRS}
    report = Report("recommend.hpob", False, settings)
    ours = {}
    for name in (options.method or ["auto"]) if options.data else ():
        ours[name] = measure(options.data, name, options.space or ())
    report.results["published"] = {
        n: dict(zip(SHOWN, r, strict=True)) for n, r in PUBLISHED.items()
    }
    report.results["published on 115 runs at 100"] = PUBLISHED_SUBSET
    report.results["ours"] = {
        name: {"pairs": pairs, "regret": [round(100 * x, 4) for x in mean.tolist()]}
        for name, (mean, pairs) in ours.items()
    }
    print(table(rows(ours)))
    if not ours:
        print("our row is empty: --data names the folder of HPO-B's files")
    report.write(options.out)


if __name__ == "__main__":
    main()
