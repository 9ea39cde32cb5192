"""What commands print, and what they show of their progress; nothing commands the terminal.

What is printed on stdout is for people or for programs; stderr has words and progress.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from metastore.commands.options import chosen_form
from metastore.harmless import harmless

UNREAD = 141
"""The exit status that says that nobody read the output to its end."""


def text_width() -> int:
    """Return how many characters a line of prose has: the terminal's, at most 100."""
    from metastore.rendering import terminal_width  # noqa: PLC0415

    return min(100, terminal_width() or 100)


def print_rows(rows: list[dict[str, Any]], json: bool, csv: bool, table: bool) -> None:
    """Print rows in the form that was asked for."""
    from metastore.rendering import render  # noqa: PLC0415

    print_data(render(rows, chosen_form(json, csv, table)))


def print_data(text: str) -> None:
    """Print what programs may read: to the letter, unless it goes to a terminal."""
    if sys.stdout.isatty():
        print_out(text)
    else:
        _write(text)


def print_out(text: str) -> None:
    """Print what people read; what was recorded cannot command the terminal by it."""
    _write(harmless(text))


def _write(text: str) -> None:
    """Print; where nobody reads to the end, stop quietly with exit status 141."""
    try:
        print(text, end="\n" if text else "", flush=True)
    except BrokenPipeError:
        # Python flushes stdout once more when it ends, and would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(UNREAD) from None


def print_err(text: str) -> None:
    """Say something on stderr; what was recorded cannot command the terminal by it."""
    print(harmless(text), file=sys.stderr, flush=True)


def print_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Say what a library warns of, once."""
    words = str(message)
    if words not in _said:
        _said.add(words)
        print_err(f"headstart: {words}")


_said: set[str] = set()


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal's stderr that something is going on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    with Console(stderr=True).status(Text(harmless(what))):  # a name is no markup
        yield


@contextmanager
def bar(what: str) -> Iterator[Any]:
    """Show a progress bar on stderr; yields a function of (done, of all)."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    if not sys.stderr.isatty():
        yield None
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
