"""The configs of a view as texts: a million of them in two arrays, each made text when read.

A list of a million Python strings takes longer to make than to read from the disk, and a
recommender looks at a few thousand of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

SAMPLED = 8
"""Bytes of a text by which others are ruled out when it is looked for."""

WASTE = 4
"""How many times the bytes in use may be kept."""


@dataclass(frozen=True, eq=False)
class ConfigTexts(Sequence[str]):
    """Texts side by side.

    Args:
        data: `(bytes,)` UTF-8 of many texts.
        starts: `(C,)` where each text starts.
        ends: `(C,)` where it ends.

    >>> texts = ConfigTexts.of(["{}", '{"C":1}', '{"C":2}'])
    >>> texts[1], texts.take(np.array([2, 0]))[:], texts.places({'{"C":2}'}).tolist()
    ('{"C":1}', ['{"C":2}', '{}'], [2])
    """

    data: NDArray[np.uint8]
    starts: IntArray
    ends: IntArray

    @classmethod
    def of(cls, texts: Sequence[str]) -> ConfigTexts:
        """Return texts as they stand in a list."""
        encoded = [text.encode() for text in texts]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends[:-1], ends[1:])

    @classmethod
    def of_arrow(cls, column: Any) -> ConfigTexts:
        """Return the texts of an Arrow column (`pyarrow.ChunkedArray` of `string`)."""
        data, starts, ends, size = [np.empty(0, np.uint8)], [], [], 0
        for chunk in column.chunks:
            _, offsets, content = chunk.buffers()
            wide = np.int64 if str(chunk.type) == "large_string" else np.int32
            at = np.frombuffer(offsets, wide)[chunk.offset :][: len(chunk) + 1].astype(np.int64)
            first, last = int(at[0]), int(at[-1])
            if last > first:
                data.append(np.frombuffer(content, np.uint8)[first:last])
            starts.append(at[:-1] - first + size)
            ends.append(at[1:] - first + size)
            size += last - first
        nothing = np.empty(0, np.int64)
        return cls(
            data[-1] if len(data) < 3 else np.concatenate(data),
            np.concatenate([nothing, *starts]),
            np.concatenate([nothing, *ends]),
        )

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[i] for i in range(len(self))[place]]
        return self.data[self.starts[place] : self.ends[place]].tobytes().decode()

    def take(self, places: NDArray[Any]) -> ConfigTexts:
        """Return some of the texts, by their numbers or by a mask."""
        starts, ends = self.starts[places], self.ends[places]
        lengths = ends - starts
        used = int(lengths.sum())
        if len(self.data) <= WASTE * used:
            return ConfigTexts(self.data, starts, ends)
        # Of a large store little may be left: let go of the rest.
        to = np.cumsum(lengths)
        moved = np.arange(used) + np.repeat(starts - to + lengths, lengths)
        return ConfigTexts(self.data[moved], to - lengths, to)

    def places(self, wanted: Collection[str]) -> IntArray:
        """Return the numbers of the texts that are among those wanted, in ascending order."""
        among = set(wanted)
        if not among:
            return np.empty(0, np.int64)
        # `numpy.isin` would sort the marks of all texts.
        asked = np.unique(ConfigTexts.of(list(among))._marks)
        near = np.minimum(np.searchsorted(asked, self._marks), len(asked) - 1)
        maybe = np.flatnonzero(asked[near] == self._marks)
        found = [i for i in maybe.tolist() if self[i] in among]
        return np.array(found, dtype=np.int64)

    @cached_property
    def _marks(self) -> NDArray[np.uint64]:
        """`(C,)` a few bytes of each text, evenly spaced, as one number: equal for equal texts."""
        marks = np.zeros((len(self), SAMPLED), dtype=np.uint8)
        lengths = self.ends - self.starts
        filled = np.flatnonzero(lengths)
        for i in range(SAMPLED if len(filled) else 0):
            at = self.starts[filled] + lengths[filled] * (2 * i + 1) // (2 * SAMPLED)
            marks[filled, i] = self.data[at]
        return marks.view(np.uint64)[:, 0]
