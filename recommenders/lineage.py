"""What is meta-trained on which past, and where a kept state of it comes from."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from learners.checkpoint import about
from learners.errors import CheckpointError
from recommenders.learned_runs import PastRuns

_KEY = "refresh"


@dataclass(frozen=True, eq=False)
class Course:
    """What is meta-trained, and on what.

    Args:
        name: what is trained; begins the names of files.
        past: points `(n, d)` and scores `(n,)` of each past dataset.
        datasets: their names; without them nothing is refreshed.
        iterations: meta-training steps from scratch.
        rate: learning rate at the start, falling to 0 along a cosine.
        seed: of network and episodes.
        settings: what else a state hangs on.
        asked: the steps that were asked for, 0 where the number of runs calls for some.
    """

    name: str
    past: PastRuns
    datasets: tuple[str, ...]
    iterations: int
    rate: float
    seed: int
    settings: tuple[float, ...]
    asked: int = 0

    def file(self, folder: Path, refreshed: bool = False) -> Path:
        """Return the file in which the state is kept, named by all that it hangs on."""
        settings = (self.iterations, self.seed, *self.settings)
        found = hashlib.sha256("|".join(map(str, settings)).encode())
        for points, scores in self.past:
            found.update(np.ascontiguousarray(points).tobytes())
            found.update(np.ascontiguousarray(scores).tobytes())
        how = "refreshed_" if refreshed else ""
        return folder / f"{self.name}-{how}{found.hexdigest()[:24]}.json"

    def lineage(self) -> Lineage:
        """Return what is recorded of training from scratch."""
        same = (float(self.asked), float(self.seed), *map(float, self.settings))
        runs = sum(len(scores) for _, scores in self.past)
        return Lineage(same, self.datasets, runs, self.iterations)


@dataclass(frozen=True)
class Lineage:
    """Where a kept state comes from; in its checkpoint's `about`.

    Args:
        settings: what must be equal to begin from it.
        datasets: that it learned from.
        runs: how many of theirs.
        iterations: steps of its own training.
        refreshes: how many refreshes lie between it and a training from scratch.
        new: the shares that were new at each of them, added up.
        begun_from: name of the checkpoint that it began from, empty if none.
    """

    settings: tuple[float, ...]
    datasets: tuple[str, ...]
    runs: int
    iterations: int
    refreshes: int = 0
    new: float = 0.0
    begun_from: str = ""

    def about(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {_KEY: asdict(self)}

    @classmethod
    def of(cls, path: Path) -> Lineage:
        """Return the lineage of a checkpoint.

        Raises:
            CheckpointError: if it cannot be read or has none.
        """
        found = about(path)
        try:
            kept = found[_KEY]
            return cls(
                tuple(map(float, kept["settings"])),
                tuple(map(str, kept["datasets"])),
                int(kept["runs"]),
                int(kept["iterations"]),
                int(kept["refreshes"]),
                float(kept["new"]),
                str(kept["begun_from"]),
            )
        except (TypeError, KeyError, ValueError) as error:
            raise CheckpointError(f"{path.name} does not say what it learned from") from error

    def refreshed(self, course: Course, path: Path, new: float, iterations: int) -> Lineage:
        """Return the lineage of a course that begins from this one.

        Args:
            course: what is to be trained.
            path: of the checkpoint that has this lineage.
            new: the share of the course's runs that is new.
            iterations: steps.
        """
        return replace(
            course.lineage(),
            iterations=iterations,
            refreshes=self.refreshes + 1,
            new=self.new + new,
            begun_from=path.stem,
        )
