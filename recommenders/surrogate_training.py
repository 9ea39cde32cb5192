"""How the surrogates that learn from past datasets are meta-trained, and kept.

Apart from them, for it needs torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Sequence
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
from recommenders.run_episodes import Runs

PastRuns = Sequence[tuple[FloatArray, FloatArray]]
"""Points `(n, d)` and scores `(n,)`, larger-is-better, of each past dataset."""

META_BATCH = 16
MOST = 4_000
FEWEST = 100

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
    """

    iterations: int = 0
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None
    progress: bool = False

    def steps(self, runs: int) -> int:
        """Return how many meta-iterations so many runs are worth."""
        return self.iterations or int(np.clip(runs // 4, FEWEST, MOST))

    def on(self) -> str:
        """Return the device."""
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device

    def kept(self, name: str, past: PastRuns, settings: tuple[float, ...]) -> Path | None:
        """Return the file in which what was learned so is kept, named by all that it hangs on."""
        if self.cache is None:
            return None
        self.cache.mkdir(parents=True, exist_ok=True)
        found = hashlib.sha256("|".join(map(str, settings)).encode())
        for points, scores in past:
            found.update(np.ascontiguousarray(points).tobytes())
            found.update(np.ascontiguousarray(scores).tobytes())
        return self.cache / f"{name}-{found.hexdigest()[:24]}.json"

    def train(
        self, learner: Learner, sampler: Sampler, iterations: int, path: Path | None, rate: float
    ) -> State:
        """Return what a learner learned, on the processor.

        Args:
            learner: what to train.
            sampler: its episodes.
            iterations: meta-training steps.
            path: where it is kept; a finished one is read, a damaged one dropped with a warning.
            rate: learning rate at the start, falling to 0 along a cosine.
        """
        settings = Training(
            meta_batch=META_BATCH,
            rate=rate,
            schedule="cosine",
            clip=10.0,
            seed=self.seed,
            checkpoint=path,
            progress=self.progress,
            # Whether the other processes of a torchrun ask for a surrogate, too, nobody knows.
            execution=Execution(device=self.on(), sharded=False),
        )
        try:
            trained = meta_train(learner, sampler, Budget(iterations), settings)
        except CheckpointError as error:
            if path is None:
                raise
            warnings.warn(f"{path} is dropped and learned anew: {error}", stacklevel=2)
            path.unlink(missing_ok=True)
            trained = meta_train(learner, sampler, Budget(iterations), settings)
        if path is not None:
            forget_older(path, KEPT)
        return {name: value.cpu() for name, value in trained.state.items()}


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
