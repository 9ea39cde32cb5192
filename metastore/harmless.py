"""What was recorded, shown so that it cannot command a terminal."""

from __future__ import annotations

import re

# Control characters but for tabs and line ends, other separators of lines, and what turns the
# direction of writing round, by which a name could be read as another.
_COMMANDS = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\r(?!\n)"
)


def harmless(text: str) -> str:
    r"""Return a text with what would command a terminal spelled out; tabs and line ends stay.

    >>> print(harmless("iris\x1b[31m\nred"))
    iris\x1b[31m
    red
    """
    return _COMMANDS.sub(lambda found: repr(found.group())[1:-1], text)
