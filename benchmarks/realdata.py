"""The one way to the real data that tests and benchmarks read.

The folder is named by the environment variable `HEADSTART_DATA`, by default `../shared/data`
beside the repository. Nothing in it is part of the repository.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(os.environ.get("HEADSTART_DATA", Path(__file__).parents[2] / "shared" / "data"))


class RealDataMissing(FileNotFoundError):  # noqa: N818 - tests turn it into a skip
    """The real data is not on this machine."""


def realdata(name: str) -> Path:
    """Return the path of a file or folder of the real data.

    Raises:
        RealDataMissing: if it is not there; tests skip on it, benchmarks stop with it.
    """
    path = ROOT / name
    if not path.exists():
        raise RealDataMissing(
            f"real data {name!r} is not under {ROOT}; set HEADSTART_DATA to the folder that has it"
        )
    return path
