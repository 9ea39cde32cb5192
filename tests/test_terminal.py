"""The command on a real pseudo-terminal, where it says what it is working on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import metastore

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")

ROOT = Path(__file__).parents[1]


def on_a_terminal(folder: Path, *words: str) -> tuple[int, str]:
    """Run the command with a terminal for its stderr; return its status and what was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=theirs
    ) as ran:
        os.close(theirs)
        shown = b""
        while True:
            try:
                some = os.read(ours, 4096)
            except OSError:  # the other end was closed
                break
            if not some:
                break
            shown += some
    os.close(ours)
    return ran.returncode, shown.decode()


@pytest.mark.parametrize("name", ["[/red]", "[bold]iris", "a\x1b]0;title\x07b"])
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    store = metastore.open(tmp_path / "store")
    for dataset in (name, "wine"):
        with store.run(dataset, "svc", {"C": 1.0}) as run:
            run.result(accuracy=0.5)
    store.close()
    status, shown = on_a_terminal(
        tmp_path, "recommend", name, "--store", "store", "--as-new", "--recommender", "portfolio"
    )
    assert status == 0, shown
    assert "Traceback" not in shown
    assert "\x1b]0;" not in shown
    assert name.replace("\x1b", "\\x1b").replace("\x07", "\\x07") in shown
