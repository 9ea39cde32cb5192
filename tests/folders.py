"""Folders for tests: those that nobody can write to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _immutable(path: Path, *, on: bool) -> bool:
    return os.system(f"chattr -R {'+i' if on else '-i'} '{path}' 2>/dev/null") == 0


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """A folder that nobody can write to, not even root; skips where root can."""
    modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    if os.geteuid() == 0 and not _immutable(folder, on=True):
        pytest.skip("root can write everywhere here")
    try:
        for path in modes if os.geteuid() else ():
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield
    finally:
        _immutable(folder, on=False)
        for path, mode in modes.items():
            path.chmod(mode)
