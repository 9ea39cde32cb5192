"""A disk without room: training goes on, readers read, and it is said once and clearly.

Files may not grow beyond a limit here, which DuckDB and the journal hear of as they would of a
full disk.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import metastore
from tests.processes import ROOT, python

TRAINS = """
import resource, sys, warnings
import metastore

limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    store = metastore.open(sys.argv[1])
    with store.run("d", "a", {"lr": 0.1}) as run:
        run.result(accuracy=0.5)
    rows = store.rows("SELECT count(*) AS runs FROM runs") if sys.argv[3:] else None
print("trained", rows, sorted({one.category.__name__ for one in said}))
"""


def under(limit: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with files that may not grow beyond so many bytes."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def runs_in(store: Path) -> int:
    (found,) = metastore.open(store).rows("SELECT count(*) AS runs FROM runs")
    return int(found["runs"])


@pytest.mark.parametrize("limit", [0, 2048, 100_000, 300_000])
def test_training_goes_on_where_a_store_cannot_be_made(limit: int, tmp_path: Path) -> None:
    done = python(TRAINS, tmp_path / "store", limit)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("trained None")
    assert runs_in(tmp_path / "store") == (limit > 0)


def test_what_is_there_is_read_and_what_waits_is_kept(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with metastore.open(store).run("d", "a", {"lr": 0.2}) as run:
        run.result(accuracy=0.4)
    assert runs_in(store) == 1
    done = python(TRAINS, store, 100_000, "read")
    assert done.returncode == 0, done.stderr
    # The transaction may be in DuckDB's own log before there is no room for the checkpoint.
    assert re.fullmatch(r"trained \[{'runs': [12]}\] \['StaleReadWarning'\]\n", done.stdout)
    assert runs_in(store) == 2


def test_the_command_says_what_is_the_matter(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    asked = ("--store", store, "--dataset", "d", "--algorithm", "a", "--", "echo", "accuracy=1")
    wrapped = under(100_000, "run", *asked)
    assert (wrapped.returncode, wrapped.stdout) == (0, "accuracy=1\n"), wrapped.stderr
    assert runs_in(Path(store)) == 1
    table = tmp_path / "runs.csv"
    lines = [f"d{i},svc,{i / 7},loss,{i / 9}" for i in range(20_000)]
    table.write_text("\n".join(["dataset,algorithm,config.C,metric,value", *lines]))
    refused = under(1_000_000, "import", "table", str(table), "--store", store)
    assert refused.returncode == 2, refused.stderr
    assert "make room and try again" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "fault of Headstart" not in refused.stderr
    assert runs_in(Path(store)) == 1
