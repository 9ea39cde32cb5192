"""What a run ran on: versions and machine, and never a variable, a path or a user's name."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from functools import lru_cache

from metastore.types import content_hex

_PACKAGES = (
    "catboost", "keras", "lightgbm", "numpy", "optuna", "pandas", "scipy", "sklearn",
    "tensorflow", "torch", "xgboost",
)  # fmt: skip


def environment_text() -> tuple[str, str]:
    """Return `environment_json()` and the hash that is its id."""
    return _identified(environment_json())


@lru_cache(maxsize=8)
def _identified(text: str) -> tuple[str, str]:
    return text, content_hex(text)


def environment_json() -> str:
    """Return Python, system, processors and the versions of packages imported so far.

    >>> sorted(json.loads(environment_json()))
    ['cpus', 'machine', 'packages', 'python', 'system']
    """
    packages = frozenset(name for name in _PACKAGES if name in sys.modules)
    return _environment(packages)


@lru_cache(maxsize=8)
def _environment(packages: frozenset[str]) -> str:
    versions = {
        name: str(getattr(sys.modules[name], "__version__", "unknown"))
        for name in sorted(packages)
        if name in sys.modules
    }
    return json.dumps(
        {
            "python": platform.python_version(),
            "system": platform.system(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "packages": versions,
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def code_version() -> str | None:
    """Return the git commit of the working folder, with `+dirty` where files differ from it.

    None where there is no repository or no git. Asked once a process and folder.
    """
    try:
        return _code_version(os.getcwd())  # noqa: PTH109 - asked at every run, a string is enough
    except FileNotFoundError:  # the working folder was deleted
        return None


@lru_cache(maxsize=8)
def _code_version(folder: str) -> str | None:
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+dirty", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() or None if asked.returncode == 0 else None
