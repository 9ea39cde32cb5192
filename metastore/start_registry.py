"""The registry of starts: rows of the table `initializations`, files of weights beside the store.

A start's id is a hash of everything it says, so adding or importing the same start twice is once;
of several starts of one name the one added last counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from metastore.errors import UnknownNameError
from metastore.queries import query
from metastore.start_checks import accuracies_of
from metastore.starts import Start, StartSpec, details_of, json_text
from metastore.types import content_id
from metastore.weights import SUFFIX, keep, unused

if TYPE_CHECKING:
    import duckdb


class Registry:
    """The starts of one store.

    Args:
        con: a connection that may write if `add` or `read_file` is called.
        folder: of the weights.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self._con = con
        self._folder = folder

    def all(self) -> list[Start]:
        """Return the newest start of every name, by name."""
        newest = {start.name: start for start in self._every()}
        return [newest[name] for name in sorted(newest)]

    def one(self, name: str) -> Start:
        """Return the start of a name, or of an id or the first digits of one.

        Raises:
            UnknownNameError: if there is none, or several ids begin so.
        """
        found = [start for start in self.all() if start.name == name]
        if not found and len(name) >= 4:
            asked = name.replace("-", "").lower()
            found = [start for start in self._every() if start.start_id.hex.startswith(asked)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownNameError(f"{len(found)} starts have ids that begin with {name!r}")
        known = ", ".join(start.name for start in self.all()) or "none yet"
        raise UnknownNameError(f"no start {name!r}; the store has: {known}")

    def add(self, spec: StartSpec, data: bytes) -> Start:
        """Keep weights and the row that names them; the same start again changes nothing."""
        digest = keep(self._folder, data)
        architecture, details = json_text(spec.learner), json_text(details_of(spec))
        trained_on = json_text(list(spec.trained_on))
        number = content_id(spec.name, spec.method, architecture, digest, trained_on, details)
        newest = [start.start_id for start in self.all() if start.name == spec.name]
        if newest != [number]:
            file = f"{self._folder.name}/{digest}{SUFFIX}"
            self._con.execute(
                query("insert_start"),
                [str(number), spec.method, architecture, file, digest, trained_on, details],
            )
        return next(start for start in self._every() if start.start_id == number)

    def unused(self, *, superseded: bool = False) -> list[Path]:
        """Return files of weights that no start names, or only starts that another one replaced.

        Args:
            superseded: whether a start's file is unused once another has its name.
        """
        named = self.all() if superseded else self._every()
        return unused(self._folder, (start.weights_sha256 for start in named))

    def _every(self) -> list[Start]:
        """Return all starts, those added last at the end."""
        rows = self._con.execute(query("list_starts")).fetchall()
        return [self._read(row) for row in rows]

    def _read(self, row: Sequence[Any]) -> Start:
        number, method, architecture, digest, trained_on, details, at = row
        said = json.loads(details)
        said["accuracies"] = accuracies_of(said["accuracies"])
        said["input_shape"] = tuple(said["input_shape"])
        return Start(
            **said,
            method=method,
            learner=json.loads(architecture),
            trained_on=tuple(json.loads(trained_on)),
            start_id=number if isinstance(number, UUID) else UUID(str(number)),
            weights_sha256=digest,
            weights_path=self._folder / f"{digest}{SUFFIX}",
            recorded_at=at,
        )
