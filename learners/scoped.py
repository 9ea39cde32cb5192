"""A context variable that has a value for the duration of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Value = TypeVar("Value")


@contextmanager
def scoped(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    """Give a context variable a value, and the one it had before when the block ends.

    >>> depth = ContextVar("depth", default=0)
    >>> with scoped(depth, 1):
    ...     print(depth.get())
    1
    >>> depth.get()
    0
    """
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
