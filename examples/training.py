"""Training and recording, in as many processes as asked for; every one writes to the store."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import metastore
from examples.algorithms import FOLDS, SPLIT, SVC, accuracy
from examples.tables import tables
from metastore.tabular import Table
from recommenders.estimators import to_estimator

Choice = tuple[str, dict[str, Any]]
"""An algorithm and a config of it."""

SVC_GRID = {"clf__C": [0.1, 1.0, 10.0, 100.0], "clf__gamma": [1e-4, 1e-3, 1e-2, 1e-1]}

_open = cache(metastore.open)
_tables = cache(tables)


@dataclass(frozen=True, slots=True)
class Job:
    """What one process does in one go: some configs, or a grid search, on one table.

    Args:
        store: the store's folder.
        table: the table's name.
        choices: what to run.
        tag: what these runs are for, recorded with each.
        seed: seed of algorithms that leave something to chance.
        grid: whether to do a grid search beside it.
    """

    store: Path
    table: str
    choices: Sequence[Choice]
    tag: str
    seed: int = 0
    grid: bool = False


def work(job: Job) -> list[float]:
    """Train and record a job's runs; return the accuracy of each of its choices."""
    store, table = _open(job.store), _tables()[job.table]
    dataset = store.dataset(table)
    if job.grid:
        _grid_search(store, dataset, table)
    results = []
    for algorithm, config in job.choices:
        with store.run(
            dataset, algorithm, config, seed=job.seed, split=SPLIT, tags={"demo": job.tag}
        ) as run:
            folds = accuracy(table, algorithm, config, job.seed)
            run.result(accuracy=sum(folds) / len(folds))
        results.append(sum(folds) / len(folds))
    return results


def _grid_search(store: metastore.MetaStore, dataset: metastore.DatasetRef, table: Table) -> None:
    """Record a search that scikit-learn does, as somebody has it in a script already."""
    from sklearn.model_selection import GridSearchCV, StratifiedKFold  # noqa: PLC0415

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    search = GridSearchCV(to_estimator(SVC, {}), SVC_GRID, cv=folds, scoring="accuracy")
    search.fit(table.features, table.target)
    store.record_search(search, dataset, tags={"demo": "grid search"})


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that train on one thread each."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        yield pool


def run_all(pool: ProcessPoolExecutor, jobs: Sequence[Job], what: str) -> list[list[float]]:
    """Run jobs, show on stderr how far they are, and return their results in order."""
    from rich.console import Console  # noqa: PLC0415 - workers do without
    from rich.progress import Progress  # noqa: PLC0415

    waiting = {pool.submit(work, job): number for number, job in enumerate(jobs)}
    results: list[list[float]] = [[] for _ in jobs]
    with Progress(console=Console(file=sys.stderr)) as progress:
        bar = progress.add_task(what, total=sum(len(job.choices) for job in jobs))
        for done in as_completed(waiting):
            number = waiting[done]
            results[number] = done.result()
            progress.advance(bar, len(jobs[number].choices))
    return results
