"""Names of a package that are imported when they are first asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package that brings nothing along until it is asked for.

    Args:
        package: the package's `__name__`.
        places: by name, where it is: a module within the package, and the name there after a
            colon where it is another.

    >>> lazily("metastore", {"now": "records:utc_now"})("later")
    Traceback (most recent call last):
    AttributeError: module 'metastore' has no attribute 'later'
    """

    def found(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, there = places[name].partition(":")
        value = getattr(import_module(f"{package}.{module}"), there or name)
        setattr(sys.modules[package], name, value)
        return value

    return found
