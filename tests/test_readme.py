"""The README's Python runs as printed: each block in turn, in an empty folder."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def blocks(document: Path = README) -> list[tuple[str, str]]:
    """Return the Python blocks of a document with what it says they print."""
    return [(code, printed) for code, printed in BLOCK.findall(document.read_text())]


def executed(code: list[tuple[str, str]]) -> list[str]:
    """Run blocks in one namespace and return what each printed."""
    namespace: dict[str, object] = {}
    printed = []
    for source, _ in code:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(source, "README.md", "exec"), namespace)
        printed.append(out.getvalue())
    return printed


@pytest.mark.slow
def test_blocks_print_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = blocks()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert executed(found) == [printed for _, printed in found]


@pytest.mark.slow
def test_the_first_block_about_learners_tells_new_digits_apart() -> None:
    (first, *_) = blocks(README.parent / "docs" / "learners.md")
    (printed,) = executed([first])
    shares = [[int(share) for share in re.findall(r"(\d+)%", text)] for text in (printed, first[1])]
    assert [len(some) for some in shares] == [3, 3]
    # To rounding the same on any processor; chance has 33.
    assert sum(shares[0]) / 3 == pytest.approx(sum(shares[1]) / 3, abs=10)


def test_first_block_has_eight_lines_beside_imports() -> None:
    lines = [line for line in blocks()[0][0].splitlines() if line.strip()]
    assert sum(not line.startswith(("import", "from")) for line in lines) == 8


def test_commands_exist_in_the_makefile() -> None:
    targets = re.findall(r"^(\w+):", (README.parent / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:^|`)make (\w+)", README.read_text(), re.MULTILINE)
    assert named and set(named) <= set(targets)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert [link for link in links if not (README.parent / link).exists()] == []
