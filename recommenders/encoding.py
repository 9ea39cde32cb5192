"""Turning configs into numbers where a score has to be predicted from other configs.

Every hyperparameter becomes columns in [0, 1]: numbers are scaled between the smallest and the
largest value seen, in logarithms where they are positive and span two orders of magnitude;
anything else is one column a category. A hyperparameter that a config lacks, or that is None,
sits in the middle with a column that says so. Configs of different algorithms lie far apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from metastore.view import FloatArray

Key = tuple[str, str]
"""An algorithm's name and the canonical JSON of a config of it."""

MAX_CATEGORIES = 32
LOG_SPAN = 100.0
APART = 3.0


@dataclass(frozen=True)
class _Column:
    """How one hyperparameter becomes columns."""

    low: float
    high: float
    log: bool
    categories: tuple[str, ...]
    absent: bool

    @classmethod
    def infer(cls, values: list[Any]) -> _Column:
        numbers = [float(v) for v in values if _is_number(v)]
        others = sorted({json.dumps(v) for v in values if v is not None and not _is_number(v)})
        low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
        return cls(
            low,
            high,
            low > 0 and high / low >= LOG_SPAN,
            tuple(others[:MAX_CATEGORIES]) if len(others) > 1 or numbers else (),
            any(v is None for v in values) and len(values) > 1,
        )

    def encode(self, values: list[Any]) -> FloatArray:
        columns = []
        if self.high > self.low:
            x = np.array([float(v) if _is_number(v) else np.nan for v in values])
            low, high = self.low, self.high
            if self.log:
                x = np.log(np.maximum(x, low * 1e-3))
                low, high = float(np.log(low)), float(np.log(high))
            x = (np.clip((x - low) / (high - low), -0.5, 1.5)).astype(np.float64)
            columns.append(np.where(np.isnan(x), 0.5, x))
        if self.categories:
            texts = [None if v is None or _is_number(v) else json.dumps(v) for v in values]
            columns.extend(
                np.array([text == c for text in texts], dtype=np.float64) for c in self.categories
            )
        if self.absent:
            columns.append(np.array([v is None for v in values], dtype=np.float64))
        return np.stack(columns, axis=1) if columns else np.empty((len(values), 0))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Encoder:
    """Maps configs to points; inferred from configs alone, never from scores.

    >>> encoder = Encoder.infer([("svm", '{"C":1.0}'), ("svm", '{"C":100.0}')])
    >>> encoder.encode([("svm", '{"C":10.0}')]).tolist()
    [[0.5]]
    """

    algorithms: tuple[str, ...]
    columns: tuple[tuple[str, _Column], ...]

    @classmethod
    def infer(cls, keys: Iterable[Key]) -> Encoder:
        """Return an encoder of the hyperparameters that these configs have."""
        pairs = list(keys)
        configs = [json.loads(text) for _, text in pairs]
        names = sorted({name for config in configs for name in config})
        return cls(
            tuple(sorted({algorithm for algorithm, _ in pairs})),
            tuple((n, _Column.infer([c.get(n) for c in configs])) for n in names),
        )

    def encode(self, keys: Iterable[Key]) -> FloatArray:
        """Return the points `(n, d)` of `n` configs; a value never seen lies at the edge."""
        pairs = list(keys)
        configs = [json.loads(text) for _, text in pairs]
        blocks = [column.encode([c.get(n) for c in configs]) for n, column in self.columns]
        if len(self.algorithms) > 1:
            names = [algorithm for algorithm, _ in pairs]
            blocks.append(
                APART * np.array([[a == b for b in self.algorithms] for a in names], dtype=float)
            )
        return np.concatenate(blocks, axis=1) if blocks else np.empty((len(pairs), 0))
