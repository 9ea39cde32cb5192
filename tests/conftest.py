"""Shared fixtures. A test that asks for real data skips where it is absent."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import metastore
from benchmarks.realdata import RealDataMissing
from benchmarks.realdata import realdata as find
from metastore import MetaStore
from tests.commands import headstart, small_store, small_store_made  # noqa: F401 - fixtures

# Jobs that a shell runs in the background ignore interrupts, and so would what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def realdata() -> Callable[[str], Path]:
    def get(name: str) -> Path:
        try:
            return find(name)
        except RealDataMissing as missing:
            pytest.skip(str(missing))

    return get


@pytest.fixture
def store(tmp_path: Path) -> MetaStore:
    """A new store that gives up on other processes soon."""
    return metastore.open(tmp_path / "store", wait_seconds=2.0)
