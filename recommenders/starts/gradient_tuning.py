"""Gradient steps on a support set: Adam, held-out rows to stop by, chunks that fit the memory.

Rows go through the network in chunks whose gradients are added, so that the result does not
depend on their size but through normalisations: a chunk is normalised by itself while training,
and by the statistics of the whole support set afterwards, so that a prediction depends on no
other query.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.episode import Examples
from learners.execution import keep_freed_memory
from learners.networks import Params, normalising
from metastore.errors import InvalidInputError
from recommenders.starts.augmentation import jittered
from recommenders.starts.heads import FIXED, Tunable
from recommenders.starts.tuning import Tuning

_LOOKS = 20
"""Points of the curve where rows are held out to stop by."""
_GLANCES = 4
"""Where none are: nothing is decided by them, and each costs a third of a step."""


@dataclass
class Chunks:
    """How many rows go through a network at once; halves where the memory does not suffice.

    Args:
        size: rows.
        halved: how often it was halved.
    """

    size: int = 512
    halved: int = 0

    def of(self, n: int) -> Iterator[slice]:
        """Yield slices of `n` rows."""
        for start in range(0, n, self.size):
            yield slice(start, start + self.size)

    def run(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, with smaller chunks if it runs out of memory.

        Raises:
            torch.OutOfMemoryError: if one row alone does not fit.
        """
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                if self.size <= 1:
                    raise
            self.size, self.halved = max(1, self.size // 2), self.halved + 1
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


@dataclass(frozen=True)
class Point:
    """One point of the curve of a fine-tuning.

    Args:
        step: gradient steps done.
        loss: mean cross-entropy of the support set in nats, at the step's own augmentation.
        held_loss: of the held-out rows; None without any.
        held_accuracy: share of the held-out rows that are right; None without any.
    """

    step: int
    loss: float
    held_loss: float | None = None
    held_accuracy: float | None = None


@dataclass
class Descent:
    """Parameters on their way down.

    Args:
        tunable: the network and where it starts.
        tuning: steps, rate, layers, augmentation.
        support: what to learn.
        seed: of the augmentation.
        chunks: rows at once.
        curve: filled as it goes.
    """

    tunable: Tunable
    tuning: Tuning
    support: Examples
    seed: int = 0
    chunks: Chunks = field(default_factory=Chunks)
    curve: list[Point] = field(default_factory=list)

    def run(self, steps: int, held_out: Examples | None = None) -> tuple[Params, int]:
        """Return parameters after the best step, and which that is.

        Args:
            steps: how many to take of the `tuning.steps` that the rates fall over.
            held_out: rows whose loss says which step is best; None takes the last.

        Raises:
            InvalidInputError: if the loss becomes NaN or infinite.
        """
        if self.support.x.device.type == "cpu":
            keep_freed_memory()
        params = {name: value.detach().clone() for name, value in self.tunable.params.items()}
        moving = [params[name].requires_grad_() for name in moved(self.tunable, self.tuning.layers)]
        optimizer = torch.optim.Adam(moving, self.tuning.rate)
        generator = torch.Generator().manual_seed(self.seed)
        looks = _GLANCES if held_out is None else _LOOKS
        every = max(1, self.tuning.steps // looks)
        best: tuple[float, int, Params] = (math.inf, 0, {})
        for step in range(steps + 1):
            if step % every == 0 or step == steps:
                point = self._look(params, step, held_out)
                self.curve.append(point)
                if point.held_loss is not None and point.held_loss < best[0]:
                    best = (point.held_loss, step, copied(params))
            if step < steps:
                self._step(params, optimizer, step, generator)
        chosen = best[2] if held_out is not None and best[2] else copied(params)
        at = best[1] if held_out is not None and best[2] else steps
        return self.measured(chosen), at

    def measured(self, params: Params) -> Params:
        """Return parameters with the support set's statistics for every normalisation."""
        network = self.tunable.network
        if not normalising(network) or any(name.endswith(FIXED) for name in params):
            return params
        support = self.support

        def moments() -> Params:
            parts = list(self.chunks.of(len(support.y)))
            seen = [network.statistics(params, support.x[p], support.mask[p]) for p in parts]
            weights = [len(support.y[p]) / len(support.y) for p in parts]
            return merged(seen, weights)

        with torch.no_grad():
            found: Params = self.chunks.run(moments)
        return params | found

    def _step(
        self,
        params: Params,
        optimizer: torch.optim.Optimizer,
        step: int,
        generator: torch.Generator,
    ) -> None:
        for group in optimizer.param_groups:
            group["lr"] = (
                self.tuning.rate * 0.5 * (1 + math.cos(math.pi * step / self.tuning.steps))
            )
        x = jittered(self.support.x, generator) if self._jitter else self.support.x
        examples = self.support._replace(x=x)

        def work() -> float:
            optimizer.zero_grad()
            total = 0.0
            for part in self.chunks.of(len(examples.y)):
                loss = self._loss(params, _rows(examples, part)) / len(examples.y)
                loss.backward()  # type: ignore[no-untyped-call]
                total += float(loss.detach())
            return total

        loss = self.chunks.run(work)
        if not math.isfinite(loss):
            raise InvalidInputError(
                f"fine-tuning diverged: the loss is {loss} at step {step} with rate "
                f"{self.tuning.rate}; take a smaller rate or fewer layers"
            )
        optimizer.step()

    @property
    def _jitter(self) -> bool:
        return self.tuning.augmentation == "jitter"

    def _loss(self, params: Params, part: Examples) -> Tensor:
        """Return the summed cross-entropy of some rows."""
        with autocast(part.x.device, training=True):
            scores = self.tunable(params, part.x, part.mask)
        return nnf.cross_entropy(scores.float(), part.y, reduction="sum")

    @torch.no_grad()
    def _look(self, params: Params, step: int, held_out: Examples | None) -> Point:
        def support_loss() -> float:
            parts = self.chunks.of(len(self.support.y))
            total = sum(float(self._loss(params, _rows(self.support, p))) for p in parts)
            return total / len(self.support.y)

        loss: float = self.chunks.run(support_loss)
        if held_out is None:
            return Point(step, loss)
        fixed = self.measured(params)
        scores = scored(self.tunable, fixed, held_out.x, self.chunks)
        held_loss = float(nnf.cross_entropy(scores, held_out.y))
        right = float((scores.argmax(1) == held_out.y).float().mean())
        return Point(step, loss, held_loss, right)


def moved(tunable: Tunable, layers: str) -> list[str]:
    """Return the names of the parameters that a choice of layers lets move.

    Layers are told by the first part of a parameter's name, in their order in the network.
    """
    names = [name for name in tunable.params if not name.endswith(FIXED)]
    head = [name for name in names if name.startswith(tunable.head)]
    body = [name for name in names if not name.startswith(tunable.head)]
    if layers == "head":
        return head or names
    if layers == "all" or not body:
        return names
    last = body[-1].split(".")[0]
    return [name for name in body if name.split(".")[0] == last] + head


@torch.no_grad()
def scored(tunable: Tunable, params: Params, x: Tensor, chunks: Chunks) -> Tensor:
    """Return log-odds `(n, n_classes)` of rows, some at a time, in float32."""

    def work() -> Tensor:
        found = []
        for part in chunks.of(len(x)):
            mask = torch.ones(len(x[part]), dtype=torch.bool, device=x.device)
            with autocast(x.device):
                found.append(tunable(params, x[part], mask).float())
        return torch.cat(found)

    scores: Tensor = chunks.run(work)
    return scores


def autocast(device: torch.device, *, training: bool = False) -> torch.autocast:
    """Return bfloat16 for matrix products and convolutions where that is fast, or nothing.

    On a GPU always. On a processor while training, where it has instructions for it: steps take
    half as long. What a model answers there does not depend on the processor.
    """
    on = device.type == "cuda" or (training and device.type == "cpu" and _quick_bfloat16())
    return torch.autocast(device.type, torch.bfloat16, enabled=on)


@cache
def _quick_bfloat16() -> bool:
    # Not every version of torch can say.
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(asked is not None and asked())


def copied(params: Params) -> Params:
    """Return the values of parameters, cut off from their gradients."""
    return {name: value.detach().clone() for name, value in params.items()}


def merged(seen: list[Params], weights: list[float]) -> Params:
    """Return means and variances of all rows from those of parts of them.

    >>> two = [{"a.mean": torch.tensor(0.0), "a.variance": torch.tensor(1.0)},
    ...        {"a.mean": torch.tensor(2.0), "a.variance": torch.tensor(1.0)}]
    >>> {name: value.item() for name, value in merged(two, [0.5, 0.5]).items()}
    {'a.mean': 1.0, 'a.variance': 2.0}
    """
    out: Params = {}
    for name in seen[0]:
        if not name.endswith(".mean"):
            continue
        other = name.removesuffix(".mean") + ".variance"
        mean = sum((w * one[name] for w, one in zip(weights, seen, strict=True)), torch.zeros(()))
        out[name] = mean
        out[other] = sum(
            (
                w * (one[other] + (one[name] - mean).square())
                for w, one in zip(weights, seen, strict=True)
            ),
            torch.zeros(()),
        )
    return out


def _rows(examples: Examples, part: slice) -> Examples:
    return Examples(*(values[part] for values in examples))
