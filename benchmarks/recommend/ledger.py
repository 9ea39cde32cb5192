"""What was measured so far, in a file that a run adds to and a later run goes on from.

One JSON line a method, table, task and seed: which configs of the pool were tried, in order. A
line counts only while the method's `version` is the same.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
Entry = tuple[str, str, str, str, int]
"""Method, version, table, task, seed."""


@dataclass
class Ledger:
    """Configs tried, by method, version, table, task and seed."""

    path: Path
    tried: dict[Entry, list[int]] = field(default_factory=dict)
    seconds: dict[Entry, float] = field(default_factory=dict)

    @classmethod
    def at(cls, folder: Path) -> Ledger:
        """Open the ledger of a folder; a last line that was torn by a kill is left out."""
        folder.mkdir(parents=True, exist_ok=True)
        ledger = cls(folder / "tried.jsonl")
        if not ledger.path.exists():
            return ledger
        whole = ledger.path.read_text(encoding="utf-8").rpartition("\n")[0]
        ledger.path.write_text(whole + "\n" * bool(whole), encoding="utf-8")
        for line in whole.splitlines():
            row = json.loads(line)
            entry = (row["method"], row["version"], row["table"], row["task"], row["seed"])
            ledger._put(entry, row["columns"], row["cpu"])
        return ledger

    def _put(self, entry: Entry, columns: list[int], cpu: float) -> None:
        self.tried[entry] = columns
        self.seconds[entry] = cpu

    def add(self, entry: Entry, columns: list[int], cpu: float) -> None:
        """Write down what was tried, and the processor seconds it took."""
        self._put(entry, columns, cpu)
        names = ("method", "version", "table", "task", "seed")
        row = dict(zip(names, entry, strict=True)) | {"cpu": round(cpu, 4), "columns": columns}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def code_version(module: str) -> str:
    """Return a hash of a module's source and of all of this project that it imports."""
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = ROOT / Path(*name.split(".")).with_suffix(".py")
        if name in seen or not path.exists():
            continue
        seen[name] = path.read_text(encoding="utf-8")
        nodes = ast.walk(ast.parse(seen[name]))
        waiting += [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
    text = "".join(seen[name] for name in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
