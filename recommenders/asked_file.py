"""The dataset that is asked about, and the runs to learn from, as soon as both can be had.

A new table file has to be described before advice can be given, by libraries that are slow to
import. It is known only then whether it is a near-duplicate of a past dataset, whose runs must be
left out; but hardly any is. So where another process describes it, this one learns as if it were
none, and learns again in the rare case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from metastore.datasets import describe, is_table_file
from metastore.describing import Describing, recall, remember
from metastore.errors import UnknownNameError
from metastore.reading import label_of
from metastore.store import MetaStore
from metastore.types import DatasetRef
from metastore.view import MetaFeatures, View

if TYPE_CHECKING:
    from metastore.metafeatures import MetaFeature

SLOW_IMPORTS = ("scipy.special", "scipy.optimize", "scipy.stats")
"""What describing cells has to import, in steps; two thirds of a small table's time."""

SMALL_BYTES = 4_000_000

MANY_RUNS = 100_000
"""Runs that take longer to read than most libraries to import."""

SPARSE = 4
"""How many times as many (dataset, config) pairs as runs say that most scores are predicted."""

_COUNTS = (
    "SELECT (SELECT count(*) FROM configs) AS configs, "
    "(SELECT count(*) FROM datasets) AS datasets, "
    "(SELECT count(*) FROM runs) AS runs"
)

_FINGERPRINTS = "SELECT DISTINCT fingerprint FROM datasets WHERE fingerprint IS NOT NULL"


@dataclass(frozen=True)
class AskedFile:
    """A dataset that is asked about: a table file, or what else `MetaStore.label` takes.

    Args:
        store: past runs.
        dataset: what is asked about.
        target: name of the target column, or the target values.
        runs: the metric, and the algorithm or None, whose runs are wanted.
    """

    store: MetaStore
    dataset: Any
    target: Any
    runs: tuple[str, str | None]

    def labelled(self) -> tuple[str, View]:
        """Return the name of the dataset, and all runs."""
        if isinstance(self.dataset, str) and not is_table_file(self.dataset):
            return self.store.label(self.dataset, self.target), self._read()
        known = self._recalled()
        if known is not None:
            return known, self._read()
        small = _is_small_file(self.dataset)
        return self._described_here(self._read_while_importing() if small else self._read())

    def described(self, describing: Describing) -> tuple[str, View]:
        """Return the same where another process describes the file."""
        everything = self._read()
        return self._as_described(describing, everything) or self._described_here(everything)

    def described_meanwhile(
        self, describing: Describing, learn: Callable[[View], object]
    ) -> tuple[str, View, View]:
        """Return the same, and the view that was learned from meanwhile."""
        everything = self._read()
        guess = as_if_described(everything)
        # Whatever goes wrong, the other process ends first, and with it the wait for it.
        with ThreadPoolExecutor(1) as pool, describing:
            naming = pool.submit(self._as_described, describing, everything)
            learn(guess)
            found = naming.result()
        name, everything = found or self._described_here(everything)
        return name, everything, guess

    def _read(self) -> View:
        """Return all runs; what learns from configs that are not shared is imported meanwhile."""
        configs, datasets, runs = self.store.rows(_COUNTS)[0].values()
        if runs < MANY_RUNS or configs * datasets < SPARSE * runs:
            return self.store.view(*self.runs)
        with ThreadPoolExecutor(1) as pool:
            importing = pool.submit(import_module, "optuna.distributions")
            everything = self.store.view(*self.runs)
            importing.result()
        return everything

    def _as_described(self, describing: Describing, everything: View) -> tuple[str, View] | None:
        """Record what another process found; None where it found nothing."""
        found = describing.result()
        if found is None:
            return None
        self.store.record_description(*found)
        return self._described_as(everything, *found)

    def _described_here(self, everything: View) -> tuple[str, View]:
        """Describe the cells: what was wrong in another process is wrong here, and is said."""
        ref = self.store.dataset(self.dataset, self.target)
        return self._described_as(everything, ref)

    def _described_as(
        self, everything: View, ref: DatasetRef, features: Sequence[MetaFeature] = ()
    ) -> tuple[str, View]:
        """Return the name of what was described, and all runs beside it.

        Where the store cannot be written to it is asked about without being in it.
        """
        try:
            name = self._label_of(ref)
        except UnknownNameError:
            found = features or _extracted(self.dataset, self.target)
            values = {one.name: one.value for one in found if one.value is not None}
            return self.store.described_with(everything, (ref, values))
        if _is_file(self.dataset) and isinstance(self.target, str | None):
            remember(self.dataset, self.target, self.store.paths.folder, ref)
        return name, self.store.described(everything)

    def _recalled(self) -> str | None:
        """Return the name of a table file that was described before, without reading its cells."""
        if not _is_file(self.dataset) or not isinstance(self.target, str | None):
            return None
        ref = recall(self.dataset, self.target, self.store.paths.folder)
        with contextlib.suppress(UnknownNameError):  # recorded elsewhere, or lost
            return None if ref is None else self._label_of(ref)
        return None

    def _label_of(self, ref: DatasetRef) -> str:
        with self.store.reader() as con:
            return label_of(con, ref)

    def _read_while_importing(self) -> View:
        """Return all runs; what a new file needs is imported while another thread reads them."""
        described = {row["fingerprint"] for row in self.store.rows(_FINGERPRINTS)}
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(self._read)
            if describe(self.dataset, self.target)[0].fingerprint not in described:
                for module in SLOW_IMPORTS:
                    if not reading.done():
                        import_module(module)
            return reading.result()


def _extracted(dataset: Any, target: Any) -> Sequence[MetaFeature]:
    from metastore.metafeatures import extract  # noqa: PLC0415 - only for what is not recorded

    _, table = describe(dataset, target)
    return [] if table is None else extract(table)


def as_if_described(view: View) -> View:
    """Return a view whose meta-features have the names that one more table would bring."""
    from metastore.metafeatures import GROUPS  # noqa: PLC0415 - only for new tables

    measures = [measure for group in GROUPS.values() for measure in group]
    names = sorted({*view.meta.names, *(name for one in measures for name in one.names)})
    values = np.full((len(view.meta.datasets), len(names)), np.nan)
    column = {name: i for i, name in enumerate(names)}
    values[:, [column[name] for name in view.meta.names]] = view.meta.values
    return replace(view, meta=MetaFeatures(view.meta.datasets, tuple(names), values))


def teaches_the_same(one: View, other: View) -> bool:
    """Whether a recommender learns the same from two views of the same runs."""
    if one.datasets != other.datasets or one.meta.names != other.meta.names:
        return False
    if one.n_cells != other.n_cells or len(one.failed_config) != len(other.failed_config):
        return False
    mine, others = (view.meta.aligned(view.datasets) for view in (one, other))
    return _groups(one) == _groups(other) and np.array_equal(mine, others, equal_nan=True)


def _groups(view: View) -> list[int]:
    """Return which near-duplicate group each dataset of a view is of, numbered as they come."""
    groups = [view.groups.get(name, name) for name in view.datasets]
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    return [number[group] for group in groups]


def _is_file(dataset: Any) -> TypeGuard[str]:
    """Whether a dataset is meant as the path of a table file."""
    return isinstance(dataset, str) and is_table_file(dataset)


def _is_small_file(dataset: Any) -> bool:
    """Whether a dataset is the path of a file that takes no time to read twice."""
    if not _is_file(dataset):
        return False
    path = Path(dataset)
    return path.is_file() and path.stat().st_size <= SMALL_BYTES
