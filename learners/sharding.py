"""Several processes train one learner: each takes a part of every batch, gradients are summed.

Start them with torchrun; nothing else changes:

    torchrun --nproc-per-node 2 train.py

The meta-gradient is a mean over episodes, so the sum of the parts' gradients, each weighted by
its share of the batch, is the whole batch's. All processes make the same outer step; the first
one alone shows progress, and writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from learners.episode import Episodes
from learners.errors import LearnerError

State = dict[str, Tensor]


@dataclass(frozen=True)
class Shard:
    """One process among those that train together.

    Args:
        rank: its number.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and shows progress."""
        return self.rank == 0

    def part(self, episodes: Episodes) -> Episodes:
        """Return this process's episodes of a batch: as even a share as can be.

        Raises:
            LearnerError: if there are fewer episodes than processes.
        """
        if len(episodes) < self.world:
            raise LearnerError(
                f"a meta-batch of {len(episodes)} cannot be shared by {self.world} processes; "
                "raise Training(meta_batch=...) or start fewer"
            )
        return episodes[self._rows(len(episodes))]

    def whole(self, gradient: State, losses: Tensor, n: int) -> tuple[State, Tensor]:
        """Return the whole batch's meta-gradient and losses from those of the parts.

        Args:
            gradient: of the mean loss over this process's part.
            losses: of this process's episodes.
            n: episodes of the whole batch.
        """
        if self.world == 1:
            return gradient, losses
        every = losses.new_zeros(n)
        every[self._rows(n)] = losses
        share = losses.shape[0] / n
        # One message for everything: many small ones would cost their latency each.
        row = torch.cat([every, *(share * value.flatten() for value in gradient.values())])
        dist.all_reduce(row)
        summed = torch.split(row, [n, *(value.numel() for value in gradient.values())])
        parts = zip(gradient.items(), summed[1:], strict=True)
        return {name: part.reshape(value.shape) for (name, value), part in parts}, summed[0]

    def agreed(self, flag: bool, device: str) -> bool:
        """Return what the first process says, so that all stop after the same iteration."""
        return bool(self.told(float(flag), device))

    def told(self, value: float, device: str) -> float:
        """Return the first process's number."""
        if self.world == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64, device=device)
        dist.broadcast(said, src=0)
        return float(said.item())

    def _rows(self, n: int) -> slice:
        return slice(n * self.rank // self.world, n * (self.rank + 1) // self.world)


@contextmanager
def joined(device: str) -> Iterator[Shard]:
    """Join the processes that torchrun started; alone, do nothing.

    A process group that the caller made is used and left as it is.

    Args:
        device: of the training, "cpu" or "cuda"; each process then takes a GPU of its own.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if dist.is_available() and dist.is_initialized():
        yield Shard(dist.get_rank(), dist.get_world_size())
        return
    if world == 1:
        yield Shard()
        return
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Shard(dist.get_rank(), world)
    finally:
        dist.destroy_process_group()
