"""Versions and machine are recorded; variables, paths and names of people never are."""

from __future__ import annotations

import getpass
import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest

import metastore
from metastore.environment import code_version, environment_json

SECRET = "hunter2-9f8e7d6c5b4a"


def test_no_variable_user_or_path_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "HEADSTART_TOKEN", "USER", "PYTHONPATH", "HOSTNAME"):
        monkeypatch.setenv(name, f"{SECRET}-{name}")
    home = tmp_path / f"home-{SECRET}"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    environment_json.__globals__["_environment"].cache_clear()
    store = metastore.open(tmp_path / "store")
    table = home / "runs.csv"
    table.write_text("dataset,config,metric,value\nd,{},accuracy,0.5\n")
    with store.run("iris", "svc", {"C": 1}) as run:
        run.log(loss=1.0)
        run.result(accuracy=0.5)
    with pytest.raises(ValueError, match="no"), store.run("iris", "svc", {"C": 2}):
        raise ValueError("no")
    X = np.random.default_rng(0).normal(size=(40, 3))
    store.add(metastore.RunRecord(store.dataset((X, X[:, 0] > 0)), "svc", {}))
    store.import_table(table)
    before = content(store.paths.folder)
    store.close()
    store.absorb()
    dump = store.query("SELECT * FROM runs").to_csv() + store.query(
        "SELECT * FROM environments").to_csv()  # fmt: skip
    for text in (before, content(store.paths.folder), dump.encode()):
        assert b"accuracy" in text or b"svc" in text
        assert SECRET.encode() not in text
        assert socket.gethostname().encode() not in text or len(socket.gethostname()) < 6
        assert str(Path.home()).encode() not in text
        assert str(tmp_path).encode() not in text
        user = getpass.getuser().encode()
        assert len(user) < 6 or user not in text


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_versions_and_machine_are_recorded(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store")
    store.add(metastore.RunRecord(metastore.DatasetRef("iris"), "svc", {}))
    [text] = store.query("SELECT environment FROM environments JOIN runs USING (environment_id)")[
        "environment"
    ]
    found = json.loads(text)
    assert found["packages"]["numpy"] == np.__version__
    assert found["cpus"] == os.cpu_count()


def test_code_is_a_commit_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert code_version() is None
