"""Results that a benchmark keeps line by line as they come, so that a killed one can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def kept_lines(file: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a file, none where it is missing.

    A last line that was torn by a kill is left out, and out of the file, so that the next one is
    not written behind it.
    """
    if not file.exists():
        return []
    whole = file.read_text(encoding="utf-8").rpartition("\n")[0]
    file.write_text(whole + "\n" * bool(whole), encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]
