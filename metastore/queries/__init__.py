"""Reads and writes with a join or a window, one named .sql file each."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def query(name: str) -> str:
    """Return the text of the query `name`.

    >>> "run_states" in query("cells")
    True
    """
    return files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
