"""How the surrogates that learn from past datasets are meta-trained, and kept.

Apart from them, for it needs torch.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from learners.episode import Examples, examples
from learners.errors import CheckpointError
from learners.execution import Execution
from learners.learner import Learner, State
from learners.samplers import Sampler
from learners.training import Budget, Training, meta_train
from metastore.view import FloatArray
from recommenders.learned_runs import PastRuns, keep, rows_of
from recommenders.lineage import Course
from recommenders.refreshing import Beginning, beginning, drop
from recommenders.run_episodes import Runs

META_BATCH = 16
MOST = 4_000
FEWEST = 100

CHECKPOINT_EVERY = 100
"""Steps, of which a thousand take ten seconds."""

KEPT = 64
"""Of each kind so many are kept, the newest: every new run teaches another one."""


@dataclass(frozen=True)
class Plan:
    """How to train.

    Args:
        iterations: meta-training steps; 0 for as many as the number of runs makes worth it.
        seed: of the network and the episodes.
        device: "cpu", "cuda", or "auto" for the latter where there is one.
        cache: folder to keep what was learned in, by content; training that was killed goes on.
        progress: whether to show a progress bar.
        refresh: whether to begin from what is in the cache and learned from nearly the same runs
            (`recommenders.refreshing`), rather than from scratch; without a cache it is nothing.
    """

    iterations: int = 0
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None
    progress: bool = False
    refresh: bool = True

    def steps(self, runs: int) -> int:
        """Return how many meta-iterations so many runs are worth."""
        return self.iterations or int(np.clip(runs // 4, FEWEST, MOST))

    def on(self) -> str:
        """Return the device."""
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device

    def train(self, learner: Learner, sampler: Sampler, course: Course) -> State:
        """Return what a learner learned, on the processor.

        What is kept of the course is read, or gone on with if training was killed; a damaged file
        is dropped with a warning.

        Args:
            learner: what to train.
            sampler: its episodes.
            course: what they are of, and how long to train.
        """
        begun = beginning(course, learner, self.cache, self.refresh)
        try:
            state = self._trained(learner, sampler, course.rate, begun)
        except CheckpointError as error:
            if begun.path is None:
                raise
            drop(begun.path, error)
            begun = beginning(course, learner, self.cache, self.refresh)
            state = self._trained(learner, sampler, course.rate, begun)
        if begun.path is not None:
            if course.datasets:
                keep(begun.path, rows_of(course.past, course.datasets))
            forget_older(begun.path, KEPT)
        return {name: value.cpu() for name, value in state.items()}

    def _trained(self, learner: Learner, sampler: Sampler, rate: float, begun: Beginning) -> State:
        settings = Training(
            meta_batch=META_BATCH,
            rate=rate,
            schedule="cosine",
            clip=10.0,
            seed=self.seed,
            checkpoint=begun.path,
            checkpoint_every=CHECKPOINT_EVERY,
            progress=self.progress,
            # Whether the other processes of a torchrun ask for a surrogate, too, nobody knows.
            execution=Execution(device=self.on(), sharded=False),
            about=begun.lineage.about(),
            start=begun.start,
        )
        return meta_train(learner, sampler, Budget(begun.lineage.iterations), settings).state


def forget_older(path: Path, kept: int) -> None:
    """Delete all but the newest of what is kept of one kind, and its tensors.

    Args:
        path: one of them, which stays.
        kept: how many stay.
    """
    kind = path.stem.rpartition("-")[0]
    aged = []
    for other in path.parent.glob(f"{kind}-*.json"):
        with contextlib.suppress(OSError):  # another process was quicker
            aged.append((other != path, -other.stat().st_mtime, other))
    for _, _, other in sorted(aged)[kept:]:
        for part in (other, *path.parent.glob(f"{other.stem}.*.safetensors")):
            with contextlib.suppress(OSError):  # it may belong to somebody else
                part.unlink()


def tensors(past: PastRuns) -> list[Runs]:
    """Return the runs of past datasets as episodes are drawn from."""
    return [
        (torch.from_numpy(points).float(), torch.from_numpy(np.asarray(scores)).float())
        for points, scores in past
    ]


def run_set(points: FloatArray, scores: FloatArray) -> Examples:
    """Return runs as a set to learn from: points `(n, d)` and scores `(n,)`."""
    return examples(torch.from_numpy(points).float(), torch.from_numpy(scores).float())
