"""One immutable table of past runs, as a recommender sees it.

A view holds the completed runs of one metric, turned to larger-is-better (`score`), repeats
averaged, one cell per (dataset, config). It is made once from the store, holds no connection,
and can be narrowed (`without`) at no cost: that is how a backtest leaves datasets out.

Notation: D datasets, C configs, N cells, P meta-features, M datasets with meta-features.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastore.config_texts import ConfigTexts
from metastore.errors import UnknownNameError
from metastore.recorded_spaces import RecordedSpaces

if TYPE_CHECKING:
    from metastore.search_space import SearchSpace

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class MetaFeatures:
    """Meta-features of datasets: the stored ones and, by name, the asked one.

    Args:
        datasets: M names.
        names: P names of meta-features.
        values: `(M, P)`; NaN where a value is missing, timed out or not applicable.
    """

    datasets: tuple[str, ...]
    names: tuple[str, ...]
    values: FloatArray

    def __repr__(self) -> str:
        return f"MetaFeatures({len(self.datasets):,} datasets, {len(self.names):,} names)"

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.datasets)}

    def __contains__(self, dataset: str) -> bool:
        return dataset in self._rows

    def of(self, dataset: str) -> FloatArray | None:
        """Return the `(P,)` meta-features of a dataset, or None where it has none."""
        row = self._rows.get(dataset)
        return None if row is None else self.values[row]

    def aligned(self, datasets: Sequence[str]) -> FloatArray:
        """Return `(len(datasets), P)`, a row of NaN for each dataset without any."""
        out = np.full((len(datasets), len(self.names)), np.nan)
        for i, name in enumerate(datasets):
            row = self._rows.get(name)
            if row is not None:
                out[i] = self.values[row]
        return out

    def joined(self, dataset: str, values: Mapping[str, float]) -> MetaFeatures:
        """Return these with one more dataset; names that are new are missing for all others."""
        names = tuple(sorted({*self.names, *values}))
        column = {name: i for i, name in enumerate(names)}
        out = np.full((len(self.datasets) + 1, len(names)), np.nan)
        out[:-1, [column[name] for name in self.names]] = self.values
        out[-1, [column[name] for name in values]] = list(values.values())
        return MetaFeatures((*self.datasets, dataset), names, out)

    @classmethod
    def empty(cls) -> MetaFeatures:
        """Return meta-features of no dataset."""
        return cls((), (), np.empty((0, 0)))


@dataclass(frozen=True, eq=False, repr=False)
class View:
    """Past runs of one metric, larger-is-better.

    Args:
        metric: the metric's name.
        higher_is_better: the metric's own direction; `score` is always larger-is-better.
        datasets: D names of datasets that have at least one cell or failure.
        algorithms: names of algorithms.
        config_algorithms: `(C,)` index into `algorithms`.
        config_texts: C canonical JSON texts.
        cell_dataset: `(N,)` index into `datasets`.
        cell_config: `(N,)` index into `config_texts`.
        cell_score: `(N,)` mean score over repeats, finite, larger-is-better.
        cell_repeats: `(N,)` how many completed runs the mean is over.
        cell_seconds: `(N,)` mean duration in seconds, NaN where unknown.
        failed_dataset: `(F,)` index into `datasets`: runs that gave no value.
        failed_config: `(F,)` index into `config_texts`.
        failed_seconds: `(F,)` duration in seconds, NaN where unknown.
        meta: meta-features, also of datasets that are left out of the view.
        groups: near-duplicate group of each dataset, by name; a name that is absent is
            alone in its group.
        excluded: names that were left out on request, with their near-duplicates.
        spaces: by algorithm, the search space that was recorded last; most have none.
    """

    metric: str
    higher_is_better: bool
    datasets: tuple[str, ...]
    algorithms: tuple[str, ...]
    config_algorithms: IntArray
    config_texts: Sequence[str]
    cell_dataset: IntArray
    cell_config: IntArray
    cell_score: FloatArray
    cell_repeats: IntArray
    cell_seconds: FloatArray
    failed_dataset: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    failed_config: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    failed_seconds: FloatArray = field(default_factory=lambda: np.empty(0))
    meta: MetaFeatures = field(default_factory=MetaFeatures.empty)
    groups: Mapping[str, int] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    spaces: Mapping[str, SearchSpace] = field(default_factory=RecordedSpaces)

    def __repr__(self) -> str:
        better = "higher" if self.higher_is_better else "lower"
        counted = {
            "datasets": self.n_datasets,
            "algorithms": len(self.algorithms),
            "configs": self.n_configs,
            "cells": self.n_cells,
            "failures": len(self.failed_config),
            "left out": len(self.excluded),
        }
        said = ", ".join(f"{count:,} {name}" for name, count in counted.items() if count)
        return f"View({self.metric}, {better} is better: {said or 'nothing'})"

    @property
    def n_datasets(self) -> int:
        """D, the number of datasets with runs."""
        return len(self.datasets)

    @property
    def n_configs(self) -> int:
        """C, the number of distinct configs."""
        return len(self.config_texts)

    @property
    def n_cells(self) -> int:
        """N, the number of evaluated (dataset, config) pairs."""
        return len(self.cell_score)

    def algorithm(self, config: int) -> str:
        """Return the algorithm's name of config number `config`."""
        return self.algorithms[int(self.config_algorithms[config])]

    def config(self, config: int) -> dict[str, Any]:
        """Return the hyperparameters of config number `config`, freshly parsed."""
        parsed: dict[str, Any] = json.loads(str(self.config_texts[config]))
        return parsed

    def places(self, texts: Collection[str]) -> IntArray:
        """Return the numbers of the configs with these canonical JSON texts, in ascending order."""
        if isinstance(self.config_texts, ConfigTexts):
            return self.config_texts.places(texts)
        wanted = set(texts)
        found = [i for i, text in enumerate(self.config_texts) if text in wanted]
        return np.array(found, dtype=np.int64)

    def score(self, value: float) -> float:
        """Turn a value of the metric into a larger-is-better score."""
        return value if self.higher_is_better else -value

    def value(self, score: float) -> float:
        """Turn a score back into a value of the metric, in its own direction."""
        return score if self.higher_is_better else -score

    @cached_property
    def density(self) -> float:
        """Share of (dataset, config) pairs that were evaluated, in [0, 1]."""
        return self.n_cells / max(1, self.n_datasets * self.n_configs)

    def matrix(self) -> FloatArray:
        """Return scores as `(D, C)`, NaN where a config was not evaluated on a dataset."""
        out = np.full((self.n_datasets, self.n_configs), np.nan)
        out[self.cell_dataset, self.cell_config] = self.cell_score
        return out

    def group(self, dataset: str) -> tuple[str, ...]:
        """Return the names in a dataset's near-duplicate group, itself included."""
        number = self.groups.get(dataset)
        if number is None:
            return (dataset,)
        return tuple(name for name, other in self.groups.items() if other == number)

    def without(self, datasets: Iterable[str]) -> View:
        """Return the view less these datasets and their near-duplicates.

        Meta-features stay, so that a left-out dataset can be asked about.

        Raises:
            UnknownNameError: if a name is in neither the view nor its meta-features.
        """
        names = set(datasets)
        unknown = names - set(self.datasets) - set(self.meta.datasets) - set(self.excluded)
        if unknown:
            raise UnknownNameError(f"no dataset named {sorted(unknown)[0]!r} in this view")
        names = {twin for name in names for twin in self.group(name)}
        keep = np.array([name not in names for name in self.datasets], dtype=bool)
        return replace(
            self._select(keep), excluded=tuple(sorted({*self.excluded, *names})), groups=self.groups
        )

    def only(self, algorithms: Iterable[str]) -> View:
        """Return the view of these algorithms' configs.

        Raises:
            UnknownNameError: if the view has no such algorithm.
        """
        names = list(algorithms)
        unknown = sorted(set(names) - set(self.algorithms))
        if unknown:
            raise UnknownNameError(
                f"no algorithm named {unknown[0]!r} in this view; it has "
                f"{', '.join(self.algorithms[:8])}"
            )
        wanted = [self.algorithms.index(algorithm) for algorithm in names]
        config = np.isin(self.config_algorithms, wanted)
        return self._keep(config[self.cell_config], config[self.failed_config])

    def where(self, wanted: Callable[[str, dict[str, Any]], bool]) -> View:
        """Return the view of the configs for which `wanted(algorithm, config)` is true."""
        config = np.array(
            [wanted(self.algorithm(i), self.config(i)) for i in range(self.n_configs)], dtype=bool
        )
        return self._keep(config[self.cell_config], config[self.failed_config])

    def _select(self, keep: NDArray[np.bool_]) -> View:
        """Keep these datasets and the configs that still have a cell or a failure."""
        return self._keep(keep[self.cell_dataset], keep[self.failed_dataset])

    def _keep(self, cells: NDArray[np.bool_], failed: NDArray[np.bool_]) -> View:
        """Keep these cells and failures, and what they still speak of."""
        dataset = np.zeros(self.n_datasets, dtype=bool)
        config = np.zeros(self.n_configs, dtype=bool)
        for datasets, configs, kept in (
            (self.cell_dataset, self.cell_config, cells),
            (self.failed_dataset, self.failed_config, failed),
        ):
            dataset[datasets[kept]] = True
            config[configs[kept]] = True
        new_dataset = np.cumsum(dataset) - 1
        new_config = np.cumsum(config) - 1
        texts = self.config_texts
        if not config.all() and isinstance(texts, ConfigTexts):
            texts = texts.take(config)
        elif not config.all():
            texts = list(compress(texts, config.tolist()))
        return replace(
            self,
            datasets=tuple(n for n, k in zip(self.datasets, dataset, strict=True) if k),
            config_algorithms=self.config_algorithms[config],
            config_texts=texts,
            cell_dataset=new_dataset[self.cell_dataset[cells]],
            cell_config=new_config[self.cell_config[cells]],
            cell_score=self.cell_score[cells],
            cell_repeats=self.cell_repeats[cells],
            cell_seconds=self.cell_seconds[cells],
            failed_dataset=new_dataset[self.failed_dataset[failed]],
            failed_config=new_config[self.failed_config[failed]],
            failed_seconds=self.failed_seconds[failed],
        )
