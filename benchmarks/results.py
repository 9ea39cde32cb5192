"""What every benchmark writes down: command, versions, machine, repetitions, verdict.

The machines these run on are shared, so one number says little: whatever is compared runs in
turn (A B A B ...), every repetition is kept, and a comparison is a ratio with its spread.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("duckdb", "numpy", "pyarrow", "scikit-learn", "pymfe", "optuna", "mlflow", "torch")


@dataclass(frozen=True)
class Spread:
    """All repetitions of one measurement, and their smallest, median and largest."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        return cls(tuple(float(value) for value in values))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def to_dict(self) -> dict[str, Any]:
        return {
            "repetitions": [_short(value) for value in self.values],
            "min": _short(min(self.values)),
            "median": _short(self.median),
            "max": _short(max(self.values)),
        }

    def __str__(self) -> str:
        return f"{_text(self.median)} ({_text(min(self.values))} to {_text(max(self.values))})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return `ours / theirs` pair by pair: the two of a pair ran one after the other."""
    return Spread.of(a / b for a, b in zip(ours, theirs, strict=True))


def with_error(values: Sequence[float]) -> list[float]:
    """Return the mean of independent values and its standard error, NaN of one alone."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return [round(statistics.fmean(values), 3), round(error, 3)]


@dataclass
class Report:
    """The result file of one benchmark.

    Args:
        name: the benchmark's module, such as `record.rate`.
        small: whether this was a trial at a small size; then nothing is written unless asked.
        settings: sizes, seeds and whatever else was chosen.
    """

    name: str
    small: bool
    settings: Mapping[str, Any]
    results: dict[str, Any] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)

    def verdict(self, claim: str, holds: bool) -> None:
        """Say in one sentence whether an asked bound was met."""
        self.verdicts.append(f"{'met' if holds else 'MISSED'}: {claim}")
        print(self.verdicts[-1], flush=True)

    def write(self, out: Path | None) -> None:
        """Write the result file: beside the benchmark, or where `out` says."""
        folder, _, stem = self.name.partition(".")
        path = out or Path(__file__).parent / folder / "results" / f"{stem}.json"
        if self.small and out is None:
            print("a trial at a small size: no result file was written")
            return
        content = {
            "command": " ".join(["python", "-m", f"benchmarks.{self.name}", *_options()]),
            "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
            "versions": versions(),
            "machine": machine(),
            "settings": dict(self.settings),
            "verdict": self.verdicts,
            "results": self.results,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, default=_plain) + "\n", encoding="utf-8")
        print(f"written: {path.name}")


def _options() -> list[str]:
    """Return the options of this command, less those that name a place on this machine."""
    places = ("--work", "--out", "--scratch", "--store", "--data")
    given = iter(sys.argv[1:])
    kept = []
    for option in given:
        if option in places:
            next(given, None)
        elif not option.startswith(tuple(f"{place}=" for place in places)):
            kept.append(option)
    return kept


def versions() -> dict[str, str]:
    """Return the versions of Python, of this project and of everything measured."""
    found = {"python": platform.python_version()}
    for package in ("headstart", *PACKAGES):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Return what matters of the machine; nothing that names it."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "disk": _disk(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "note": "other work ran on the same cores: read ratios, not absolute times",
    }


def _disk() -> str:
    """Return how the current folder's disk presents itself, as far as Linux says."""
    device = Path.cwd().stat().st_dev
    node = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    for folder in (node, node.parent):
        flag = folder / "queue" / "rotational"
        if flag.exists():
            kind = "rotational" if flag.read_text().strip() == "1" else "solid state"
            virtual = " (virtual disk)" if node.resolve().name.startswith("vd") else ""
            return kind + virtual
    return "unknown"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as aligned text, columns in the order of the first row."""
    names = list(rows[0])
    cells = [names, *([_text(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _plain(value: Any) -> Any:
    if isinstance(value, Spread):
        return value.to_dict()
    raise TypeError(type(value).__name__)
