"""Imports point down only, and light commands stay light."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT, python

FORBIDDEN = {
    "metastore": {"recommenders", "learners", "cli", "tests", "benchmarks"},
    "learners": {"recommenders", "metastore", "cli", "tests", "benchmarks"},
    "recommenders": {"cli", "tests", "benchmarks"},
    "cli.py": {"tests", "benchmarks"},
}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and top package of every import in a file, also within functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.lineno, (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_down(package: str) -> None:
    place = ROOT / package
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imported(path)
        if name in FORBIDDEN[package]
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["metastore"])
def test_the_store_names_no_torch(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / package).rglob("*.py")
        for line, name in imported(path)
        if name == "torch"
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["metastore", "recommenders", "learners"])
def test_only_commands_know_typer(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / package).rglob("*.py")
        for line, name in imported(path)
        if name == "typer" and path.parent != ROOT / package / "commands"
    ]
    assert not wrong


HEAVY = ("torch", "sklearn", "pandas", "optuna", "pymfe", "scipy", "openml")
REPORT = f"\nimport sys; print([m for m in {HEAVY} if m in sys.modules])"


def heavy(code: str, *arguments: object) -> list[str]:
    done = python(code + REPORT, *arguments)
    assert done.returncode == 0, done.stderr
    return list(ast.literal_eval(done.stdout.splitlines()[-1]))


def test_importing_the_store_is_light() -> None:
    assert heavy("import metastore") == []


def test_the_store_brings_no_typer_along(tmp_path: Path) -> None:
    code = (
        "import sys, metastore\n"
        "store = metastore.open(sys.argv[1])\n"
        "with store.run('iris', 'svc', {'C': 1}) as run: run.result(accuracy=0.5)\n"
        "store.view('accuracy')\n"
        "assert not {'typer', 'metastore.commands'} & set(sys.modules)"
    )
    done = python(code, tmp_path / "store")
    assert done.returncode == 0, done.stderr


def test_recording_by_name_is_light(tmp_path: Path) -> None:
    code = (
        "import metastore, sys\n"
        "store = metastore.open(sys.argv[1])\n"
        "with store.run('iris', 'svc', {'C': 1}) as run: run.result(accuracy=0.5)\n"
        "store.view('accuracy')\n"
    )
    assert heavy(code, tmp_path / "store") == []


def test_help_is_light() -> None:
    code = (
        "import sys\nsys.argv = ['headstart', '--help']\nimport cli\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
    )
    if "def main" not in (ROOT / "cli.py").read_text():
        pytest.skip("there is no command line yet")
    assert heavy(code) == []
