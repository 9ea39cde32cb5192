"""Where advice goes beyond what was tried: hyperparameters with little evidence around a value.

The evidence around a value is the share of past runs of the algorithm within a window around it,
a tenth of the range on the parameter's scale (log where all numbers are positive and span two
decades), for a category the share of the runs that have it. It is thin below a tenth of the
evidence around the value that has most.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from metastore.space_columns import is_number, json_text
from metastore.view import FloatArray, IntArray, View
from recommenders.recommender import Recommendation

WINDOW = 0.1
THIN = 0.1
DECADES = 100.0
MOST = 2_000
"""Past configs looked at; of more, evenly many."""


def thinly_covered(view: View, found: Sequence[Recommendation]) -> list[tuple[str, ...]]:
    """Return, for each recommendation, the hyperparameters in which its evidence is thin."""
    runs = np.bincount(view.cell_config, minlength=view.n_configs)
    algorithms = {one.algorithm for one in found}
    by_algorithm = {algorithm: _Runs.of(view, algorithm, runs) for algorithm in algorithms}
    return [
        tuple(
            name
            for name, value in one.config.items()
            if by_algorithm[one.algorithm].thin(name, value)
        )
        for one in found
    ]


class _Runs:
    """What was tried of one algorithm: values by name, and how many runs each stands for."""

    def __init__(self, configs: list[dict[str, Any]], runs: IntArray) -> None:
        self.configs = configs
        self.runs = runs
        self._known_numbers: dict[str, tuple[FloatArray, IntArray]] = {}
        self._known_counts: dict[str, dict[str, int]] = {}

    @classmethod
    def of(cls, view: View, algorithm: str, runs: IntArray) -> _Runs:
        if algorithm not in view.algorithms:
            return cls([], np.empty(0, dtype=np.int64))
        number = view.algorithms.index(algorithm)
        columns = np.flatnonzero(view.config_algorithms == number)
        columns = columns[:: max(1, len(columns) // MOST)]
        configs = [json.loads(str(view.config_texts[i])) for i in columns.tolist()]
        return cls(configs, runs[columns])

    def thin(self, name: str, value: Any) -> bool:
        """Whether few runs lie around a value, compared with where most lie."""
        known, runs = self._numbers(name)
        if is_number(value) and len(known) > 1:
            return _thin_number(float(value), known, runs)
        counts = self._counts(name)
        return bool(counts) and counts.get(json_text(value), 0) < THIN * max(counts.values())

    def _numbers(self, name: str) -> tuple[FloatArray, IntArray]:
        """Return the numbers that a hyperparameter had, and how many runs each stands for."""
        if name not in self._known_numbers:
            values = [config.get(name) for config in self.configs]
            having = [i for i, value in enumerate(values) if is_number(value)]
            known = np.array([values[i] for i in having], dtype=np.float64)
            self._known_numbers[name] = known, self.runs[having]
        return self._known_numbers[name]

    def _counts(self, name: str) -> dict[str, int]:
        """Return how many runs each value of a hyperparameter has, by its JSON text."""
        if name not in self._known_counts:
            counts = self._known_counts.setdefault(name, {})
            for config, n in zip(self.configs, self.runs.tolist(), strict=True):
                if name in config:
                    text = json_text(config[name])
                    counts[text] = counts.get(text, 0) + n
        return self._known_counts[name]


def _thin_number(value: float, known: FloatArray, runs: IntArray) -> bool:
    low, high = min(known.min(), value), max(known.max(), value)
    if low == high:
        return False
    if low > 0 and high >= DECADES * low:
        value, known = float(np.log(value)), np.log(known)
        low, high = np.log(low), np.log(high)
    half = WINDOW * (high - low) / 2
    order = np.argsort(known)
    known, total = known[order], np.concatenate([[0], np.cumsum(runs[order])])

    def around(centres: FloatArray) -> IntArray:
        ends = np.searchsorted(known, centres + half, side="right")
        counts: IntArray = total[ends] - total[np.searchsorted(known, centres - half)]
        return counts

    return bool(around(np.array([value]))[0] < THIN * around(known).max())
