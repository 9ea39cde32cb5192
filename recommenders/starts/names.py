"""Names of starts: what may be one, and one made of a file's name. Checked before training."""

from __future__ import annotations

import re
from collections.abc import Collection

from metastore.start_checks import CHOICES, spec_of

_OTHERS = re.compile(r"[^\w.+-]+")
_LONGEST = 80


def checked_name(name: str) -> str:
    """Return a start's name.

    Raises:
        InvalidInputError: if the registry takes no such name, or it is a word for a choice.
    """
    return spec_of(name, {}).name


def slug(text: str, taken: Collection[str] = ()) -> str:
    """Return a name for a start that is named after a file or a folder.

    Args:
        text: the file's or the folder's name.
        taken: names that belong to others.

    >>> slug("my start"), slug("auto"), slug("digits", {"digits"}), slug("...")
    ('my-start', 'my-auto', 'my-digits', 'mine')
    """
    name = _OTHERS.sub("-", text).strip("-.+")[:_LONGEST] or "mine"
    return f"my-{name}" if name in (*CHOICES, *taken) else name
