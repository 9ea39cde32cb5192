"""Seeded samplers: which episodes meta-training and evaluation see.

A sampler is a pure function of its seed and an index: batch 7 is the same batch whether or
not batches 0 to 6 were drawn, so an interrupted run goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from learners.episode import Episodes, Examples, examples, pad, tensor_of
from learners.errors import LearnerError
from learners.learner import Learner


class Sampler(Protocol):
    """Draws batches of episodes."""

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return batch number `index`; the same index gives the same batch."""


@dataclass(frozen=True)
class Shape:
    """Ways, shots and queries of a classification episode.

    Args:
        n_way: classes.
        k_shot: support examples a class.
        n_query: query examples a class.
    """

    n_way: int
    k_shot: int
    n_query: int


@dataclass(frozen=True, eq=False)
class ClassSampler:
    """Classification episodes from one array of images by class.

    Args:
        images: `(n_classes, n_each, *shape)`, a tensor or a NumPy array; bytes are divided by 255.
        shape: ways, shots and queries.
        seed: which stream of episodes.
    """

    images: Tensor
    shape: Shape
    seed: int = 0

    def __post_init__(self) -> None:
        _check_not_empty(self.shape)
        object.__setattr__(self, "images", tensor_of(self.images))
        if self.images.ndim < 3:
            raise LearnerError(
                "examples by class are (n_classes, n_each, *shape), got "
                f"{tuple(self.images.shape)}; UnevenClassSampler takes a list of classes"
            )
        n_classes, n_each = self.images.shape[:2]
        needed = self.shape.k_shot + self.shape.n_query
        if self.shape.n_way > n_classes or needed > n_each:
            raise LearnerError(
                f"episodes of {self.shape.n_way} classes with {needed} examples each cannot be "
                f"drawn from {n_classes} classes with {n_each} each; lower the ways, the shots "
                "or the queries"
            )

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return episodes whose support and query are sorted by class."""
        way, k, q = self.shape.n_way, self.shape.k_shot, self.shape.n_query
        n_classes, n_each = self.images.shape[:2]
        generator = _generator(self.seed, index)
        rows = torch.rand(n_episodes, n_classes, generator=generator).topk(way).indices
        columns = torch.rand(n_episodes, way, n_each, generator=generator).topk(k + q).indices
        return _by_class(self.images[rows[:, :, None], columns], k)


@dataclass(frozen=True, eq=False)
class UnevenClassSampler:
    """Classification episodes from classes of different size.

    Args:
        classes: the examples of each class `(n_of_it, *shape)`, tensors or NumPy arrays; bytes
            are divided by 255.
        shape: ways, shots and queries.
        seed: which stream of episodes.
    """

    classes: Sequence[Tensor] = field(repr=False)
    shape: Shape
    seed: int = 0

    def __post_init__(self) -> None:
        _check_not_empty(self.shape)
        object.__setattr__(self, "classes", [tensor_of(one) for one in self.classes])
        needed = self.shape.k_shot + self.shape.n_query
        smallest = min((len(one) for one in self.classes), default=0)
        _check_alike("class", [one.shape[1:] for one in self.classes])
        if self.shape.n_way > len(self.classes) or needed > smallest:
            raise LearnerError(
                f"episodes of {self.shape.n_way} classes with {needed} examples each cannot be "
                f"drawn from {len(self.classes)} classes of {smallest} or more; lower the ways, "
                "the shots or the queries, or leave small classes out"
            )

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return episodes whose support and query are sorted by class."""
        way, k, q = self.shape.n_way, self.shape.k_shot, self.shape.n_query
        generator = _generator(self.seed, index)
        counts = torch.tensor([len(one) for one in self.classes])
        rows = torch.rand(n_episodes, len(counts), generator=generator).topk(way).indices
        keys = torch.rand(n_episodes, way, int(counts.max()), generator=generator)
        absent = torch.arange(keys.shape[2]) >= counts[rows][:, :, None]
        columns = keys.masked_fill(absent, -1.0).topk(k + q).indices
        drawn = torch.stack(
            [
                torch.stack([self.classes[c][i] for c, i in zip(row, column, strict=True)])
                for row, column in zip(rows.tolist(), columns, strict=True)
            ]
        )
        return _by_class(drawn, k)


@dataclass(frozen=True, eq=False)
class TableSampler:
    """Regression episodes from tables, one table a task, with support sets of varying size.

    Args:
        tables: pairs of inputs `(n, d)` and targets `(n,)` or `(n, n_out)`, tensors or NumPy
            arrays.
        support_sizes: smallest and largest support set, both drawn.
        n_query: query rows; a table with fewer rows left gives what it has.
        seed: which stream of episodes.
    """

    tables: Sequence[tuple[Tensor, Tensor]] = field(repr=False)
    support_sizes: tuple[int, int]
    n_query: int
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", [(tensor_of(x), tensor_of(y)) for x, y in self.tables])
        for i, (x, y) in enumerate(self.tables):
            if len(x) != len(y):
                raise LearnerError(f"table {i} has {len(x)} rows of inputs and {len(y)} targets")
        _check_alike("table", [(*x.shape[1:], *y.shape[1:]) for x, y in self.tables])
        low, high = self.support_sizes
        shortest = min((len(x) for x, _ in self.tables), default=0)
        if not 1 <= low <= high < shortest or self.n_query < 1:
            raise LearnerError(
                "support sizes must run from 1 to less than the shortest table's rows, and a "
                f"query needs a row: got {self.support_sizes} and {self.n_query} for tables of "
                f"{shortest} rows or more"
            )

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return padded episodes; each comes from one table, drawn uniformly."""
        generator = _generator(self.seed, index)
        low, high = self.support_sizes
        support, query = [], []
        for _ in range(n_episodes):
            x, y = self.tables[int(torch.randint(len(self.tables), (), generator=generator))]
            size = int(torch.randint(low, high + 1, (), generator=generator))
            order = torch.randperm(len(x), generator=generator)
            rest = order[size : size + self.n_query]
            # Whole numbers as inputs say nothing of the targets, which are never cut to such.
            kind = x.dtype if x.is_floating_point() else torch.float32
            support.append(examples(x[order[:size]], y[order[:size]].to(kind)))
            query.append(examples(x[rest], y[rest].to(kind)))
        return Episodes(pad(support, high), pad(query, self.n_query), 0)


@dataclass(frozen=True)
class Shuffled:
    """The episodes of another sampler, support sets in random order.

    Args:
        sampler: whose episodes.
        seed: which stream of orders.
    """

    sampler: Sampler
    seed: int = 0

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return batch `index` of the sampler, rows of each support set shuffled on their own."""
        episodes = self.sampler.sample(index, n_episodes)
        drawn = torch.rand(episodes.support.mask.shape, generator=_generator(self.seed, index))
        rows, order = torch.arange(len(episodes))[:, None], drawn.argsort(1)
        support = Examples(*(part[rows, order] for part in episodes.support))
        return Episodes(support, episodes.query, episodes.n_way)


@dataclass(frozen=True)
class Stages:
    """Samplers one after the other: easy episodes first, where hard ones alone teach nothing.

    Args:
        stages: each sampler with the batch number it ends before; the last one goes on.
    """

    stages: tuple[tuple[int, Sampler], ...]

    def __post_init__(self) -> None:
        ends = [end for end, _ in self.stages]
        if not ends or ends != sorted(ends):
            raise LearnerError(f"stages end one after the other, got {ends}")

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return batch `index` of the stage that it falls into."""
        for end, sampler in self.stages:
            if index < end:
                return sampler.sample(index, n_episodes)
        return self.stages[-1][1].sample(index, n_episodes)


def in_order_for(learner: Learner, sampler: Sampler) -> Sampler:
    """Return what a learner trains or is tested on: shuffled where it reads a sequence."""
    return Shuffled(sampler) if learner.ordered else sampler


def class_images(path: Path, key: str = "images") -> np.ndarray:
    """Return the array `(n_classes, n_each, height, width)` of an npz file; never unpickles.

    Raises:
        LearnerError: if the file lacks the array or it has another number of axes.
    """
    with np.load(path, allow_pickle=False) as file:
        if key not in file:
            raise LearnerError(f"{path.name} has no array {key!r}, only {sorted(file)}")
        images: np.ndarray = file[key]
    if images.ndim != 4:
        raise LearnerError(
            f"{path.name}: {key!r} must be (n_classes, n_each, height, width), got {images.shape}"
        )
    return images


def split_classes(n_classes: int, sizes: Sequence[int], seed: int) -> list[Tensor]:
    """Return disjoint sets of class numbers, drawn by seed; a class is never in two of them.

    Raises:
        LearnerError: if there are fewer classes than asked for.

    >>> [len(part) for part in split_classes(10, (6, 4), seed=0)]
    [6, 4]
    """
    if sum(sizes) > n_classes:
        raise LearnerError(f"cannot split {n_classes} classes into {tuple(sizes)}")
    order = torch.randperm(n_classes, generator=torch.Generator().manual_seed(seed))
    return list(torch.split(order[: sum(sizes)], list(sizes)))


def quarter_turns(images: Tensor) -> Tensor:
    """Return `(4 n_classes, ...)`: every class turned by 0, 90, 180 and 270 degrees is a class."""
    return torch.cat([torch.rot90(images, turns, (-2, -1)) for turns in range(4)])


def _by_class(drawn: Tensor, k_shot: int) -> Episodes:
    """Return episodes from examples `(B, n_way, k_shot + n_query, *shape)`."""
    n_episodes, way = drawn.shape[:2]
    if drawn.dtype == torch.uint8:
        drawn = drawn.float() / 255

    def part(x: Tensor) -> Examples:
        y = torch.arange(way)[:, None].expand(n_episodes, -1, x.shape[2]).flatten(1)
        return Examples(x.flatten(1, 2), y, torch.ones_like(y, dtype=torch.bool))

    return Episodes(part(drawn[:, :, :k_shot]), part(drawn[:, :, k_shot:]), way)


def _generator(seed: int, index: int) -> torch.Generator:
    mixed = np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) >> 1)


def _check_not_empty(shape: Shape) -> None:
    if min(shape.n_way, shape.k_shot, shape.n_query) < 1:
        raise LearnerError(f"an episode has a class, a shot and a query or more; got {shape}")


def _check_alike(what: str, shapes: Sequence[Sequence[int]]) -> None:
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise LearnerError(
                f"rows of {what} {i} are of shape {tuple(shape)}, and those of {what} 0 of "
                f"{tuple(shapes[0])}; episodes need one shape"
            )
