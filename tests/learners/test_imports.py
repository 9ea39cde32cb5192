"""`learners` runs on a bare GPU machine: torch, numpy, safetensors and tqdm are all it imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import learners

ALLOWED = {"torch", "numpy", "safetensors", "tqdm", "learners"} | set(sys.stdlib_module_names)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}: write imports in full"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


def test_nothing_else_is_imported() -> None:
    files = sorted(Path(learners.__file__).parent.glob("**/*.py"))
    assert len(files) > 10
    outside = {path.name: imported(path) - ALLOWED for path in files if imported(path) - ALLOWED}
    assert not outside


def test_the_catalogue_needs_no_torch() -> None:
    code = "import sys, learners.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
