"""The search spaces that were recorded with runs, by algorithm."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metastore.bound import execute
from metastore.queries import query

if TYPE_CHECKING:
    import duckdb

    from metastore.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A space as JSON texts: its own or those of a search's trials, and what these drew."""

    spaces: tuple[str, ...]
    drawn: tuple[str, ...] = ()


class RecordedSpaces(Mapping[str, "SearchSpace"]):
    """The space recorded last for each algorithm that has one.

    Where the trials of a search had spaces of their own, those of that search are put together. A
    space becomes an object when it is first asked for: most who read runs never ask.

    >>> RecordedSpaces()
    RecordedSpaces(none)
    """

    def __init__(self, texts: Mapping[str, _Recorded] | None = None) -> None:
        self._texts = dict(texts or {})
        self._made: dict[str, SearchSpace] = {}

    def __repr__(self) -> str:
        return f"RecordedSpaces({', '.join(self._texts) or 'none'})"

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, algorithm: object) -> bool:
        return algorithm in self._texts

    def __getitem__(self, algorithm: str) -> SearchSpace:
        from metastore.search_space import SearchSpace  # noqa: PLC0415 - few reads need spaces
        from metastore.space_union import united  # noqa: PLC0415

        if algorithm not in self._made:
            recorded = self._texts[algorithm]
            spaces = [SearchSpace.from_json(text) for text in recorded.spaces]
            drawn = [json.loads(text) for text in recorded.drawn]
            self._made[algorithm] = spaces[0] if len(spaces) == 1 else united(spaces, drawn)
        return self._made[algorithm]

    @classmethod
    def read(cls, con: duckdb.DuckDBPyConnection, algorithms: Sequence[str]) -> RecordedSpaces:
        """Return the spaces that a store knows of these algorithms."""
        if not con.execute("SELECT 1 FROM store.search_spaces LIMIT 1").fetchone():
            return cls()
        asked = {"algorithms": list(algorithms)}
        spaces: dict[str, list[str]] = {}
        parents: dict[str, str | None] = {}
        for algorithm, text, parent in execute(con, query("last_spaces"), asked).fetchall():
            spaces.setdefault(algorithm, []).append(text)
            parents[algorithm] = parent
        texts: dict[str, _Recorded] = {}
        for algorithm, some in spaces.items():
            drawn: list[tuple[str]] = []
            if len(some) > 1:
                search = {"algorithm": algorithm, "parent": str(parents[algorithm])}
                drawn = execute(con, query("configs_of_search"), search).fetchall()
            texts[algorithm] = _Recorded(tuple(some), tuple(text for (text,) in drawn))
        return cls(texts)
