"""Tables in which every dataset has configurations of its own, ready to be asked about in folds.

A table is imported into a new store with its meta-features, as anybody's would be. Datasets that
the store takes for near-duplicates, or that have the same numbers of rows, features and classes,
fall into the same fold, and whoever is asked about one learns from the other folds alone.

Notation: D datasets, P configs of one dataset, d columns of an encoded config.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

import metastore
from benchmarks.realdata import realdata
from metastore.search_space import SearchSpace
from metastore.space_inference import infer
from metastore.view import FloatArray, View
from recommenders.replay import Answers
from recommenders.scores import Past

FOLDS = 5
PARTS = ("all", "untouched", "development")
SHAPE = ("NumberOfInstances", "NumberOfFeatures", "NumberOfClasses")


@dataclass(frozen=True)
class Source:
    """A real table: its files, its metric, and the library's default configuration.

    `default` takes the number of features of a dataset.
    """

    runs: str
    metafeatures: str
    metric: str
    default: Callable[[float], dict[str, Any]]


def _svc_default(features: float) -> dict[str, Any]:
    # gamma="scale" is 1 / (features x variance), and the variance is 1 after scaling.
    return {"C": 1.0, "coef0": 0.0, "gamma": 1 / features, "kernel": "rbf", "tol": 1e-3}


def _forest_default(features: float) -> dict[str, Any]:
    own = {
        "bootstrap": True,
        "criterion": "gini",
        "max_features": float(np.sqrt(features) / features),  # "sqrt", as the share it stands for
        "min_samples_leaf": 1,
        "min_samples_split": 2,
    }
    named = {f"randomforestclassifier__{name}": value for name, value in own.items()}
    return {"columntransformer__numeric__imputer__strategy": "mean"} | named


SOURCES = {
    "svc": Source(
        "openml_pimp/runs_svc.parquet",
        "openml_pimp/metafeatures.parquet",
        "predictive_accuracy",
        _svc_default,
    ),
    "random_forest": Source(
        "openml_pimp/runs_random_forest.parquet",
        "openml_pimp/metafeatures.parquet",
        "predictive_accuracy",
        _forest_default,
    ),
}


@dataclass(frozen=True, eq=False)
class Task:
    """A dataset whose configs are the pool.

    Args:
        name: the dataset.
        answers: what its P configs scored.
        points: `(P, d)` the configs, encoded.
        default: the config of the pool that is nearest to the library's default.
        near: past datasets, the nearest in shape (logarithms of rows, features, classes) first.
    """

    name: str
    answers: Answers
    points: FloatArray
    default: int
    near: tuple[str, ...] = ()

    def nearest(self, point: FloatArray, tried: list[int]) -> int:
        """Return the config of the pool nearest to a point `(d,)` that was not tried yet."""
        squared = ((self.points - point) ** 2).sum(axis=1)
        squared[tried] = np.inf
        return int(np.argmin(squared))

    def score(self, column: int) -> float:
        """Return the score of a config, the worst of the pool where it failed."""
        score = float(self.answers.score[column])
        return score if np.isfinite(score) else float(np.nanmin(self.answers.score))

    def config(self, column: int) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(self.answers.keys[column][1])
        return config


@dataclass(frozen=True, eq=False)
class Fold:
    """Datasets that are asked about, and what may be learned from."""

    table: str
    number: int
    space: SearchSpace
    past: Past
    tasks: tuple[Task, ...]

    @cached_property
    def histories(self) -> dict[str, tuple[list[dict[str, Any]], FloatArray]]:
        """Configs and scores, larger-is-better, of every past dataset, by name."""
        view = self.past.view
        found = {}
        for row, name in enumerate(view.datasets):
            cells = np.flatnonzero(view.cell_dataset == row)
            configs = [view.config(int(c)) for c in view.cell_config[cells]]
            found[name] = (configs, view.cell_score[cells])
        return found


@dataclass(frozen=True, eq=False)
class Table:
    """One table, cut into folds."""

    name: str
    view: View
    space: SearchSpace
    groups: Mapping[str, int]
    folds: tuple[Fold, ...]


def load(name: str, few: int = 0) -> Table:
    """Import a table into a new store and cut it into folds.

    Args:
        name: one of `SOURCES`.
        few: keep this many datasets only, for a trial.
    """
    source = SOURCES[name]
    with tempfile.TemporaryDirectory(prefix="headstart-own-") as folder:
        store = metastore.open(folder)
        store.import_table(realdata(source.runs))
        store.import_metafeatures(realdata(source.metafeatures))
        view = store.view(source.metric)
    if few:
        view = view.without(view.datasets[few:])
    return cut(name, view, source.default)


def part_of(table: Table, part: str) -> Table:
    """Return a table of which some tasks alone are asked about; who is learned from stays.

    Args:
        table: the whole table.
        part: "all"; "development", the tasks by which constants of the recommenders were chosen
            (every fifth by name from the first and from the second on); or "untouched", the rest.
    """
    names = sorted(table.view.datasets)
    development = {*names[0::5], *names[1::5]}

    def kept(task: Task) -> bool:
        return part == "all" or (task.name in development) == (part == "development")

    folds = (replace(f, tasks=tuple(t for t in f.tasks if kept(t))) for f in table.folds)
    return replace(table, folds=tuple(fold for fold in folds if fold.tasks))


def cut(name: str, view: View, default: Callable[[float], dict[str, Any]]) -> Table:
    """Cut a view into folds by near-duplicate group."""
    groups = grouped(view)
    view = replace(view, groups=groups)
    space = infer([view.config(c) for c in range(view.n_configs)])
    space = SearchSpace(
        {k: d for k, d in space.distributions.items() if not d.single()},
        space.conditions,
        space.alternatives,
        space.optional,
        space.structured,
        space.whole_floats,
    )
    past = Past.of(view)
    numbers = sorted(set(groups.values()))
    shuffled = np.random.default_rng(0).permutation(numbers).tolist()
    place = {number: i % FOLDS for i, number in enumerate(shuffled)}
    shapes = _shapes(view)
    folds = []
    for fold in range(FOLDS):
        names = [n for n in view.datasets if place[groups[n]] == fold]
        if not names:
            continue
        rest = past.without(names)
        tasks = tuple(_task(view, n, space, default, shapes) for n in names)
        tasks = tuple(replace(task, near=_nearest(task.name, shapes, rest)) for task in tasks)
        folds.append(Fold(name, fold, space, rest, tasks))
    return Table(name, view, space, groups, tuple(folds))


def _task(
    view: View,
    name: str,
    space: SearchSpace,
    default: Callable[[float], dict[str, Any]],
    shapes: Mapping[str, FloatArray],
) -> Task:
    answers = Answers.of(view, name)
    points = space.encode([json.loads(text) for _, text in answers.keys])
    task = Task(name, answers, points, 0)
    config = default(float(np.exp(shapes[name][1])))
    return replace(task, default=task.nearest(space.encode([config])[0], []))


def _nearest(name: str, shapes: Mapping[str, FloatArray], past: Past) -> tuple[str, ...]:
    def distance(other: str) -> float:
        return float(((shapes[other] - shapes[name]) ** 2).sum())

    return tuple(sorted(past.datasets, key=distance))


def _shapes(view: View) -> dict[str, FloatArray]:
    """Return logarithms of rows, features and classes of each dataset."""
    columns = [view.meta.names.index(name) for name in SHAPE]
    values = np.log(np.maximum(view.meta.aligned(view.datasets)[:, columns], 1))
    values = np.where(np.isfinite(values), values, np.nanmean(values, axis=0))
    return dict(zip(view.datasets, values, strict=True))


def grouped(view: View) -> dict[str, int]:
    """Return the number of every dataset's group: the store's, joined where shapes are equal."""
    shapes = {n: tuple(s.tolist()) for n, s in _shapes(view).items()}
    group: dict[str, int] = {}
    by_key: dict[object, int] = {}
    for name in view.datasets:
        keys = [shapes[name], view.groups.get(name, name)]
        found = sorted({by_key[key] for key in keys if key in by_key})
        number = found[0] if found else len(by_key)
        for other in found[1:]:
            group = {n: number if g == other else g for n, g in group.items()}
            by_key = {k: number if g == other else g for k, g in by_key.items()}
        group[name] = number
        by_key.update(dict.fromkeys(keys, number))
    return group
