"""Minutes that `headstart zoo build` takes, from the command to starts in the store.

    python -m benchmarks.starts.zoo [--minutes M] [--small] [--out FILE]

The command in a process of its own, into a new store: the starts of data bundled with
scikit-learn. The store has no runs, so there is no surrogate of them. Beside the clock's seconds,
which other work on the machine stretches, stand the processor's; what is between a start's
training and the whole is importing, drawing data, validation and measuring.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import metastore
from benchmarks.results import Report, table
from benchmarks.starts.seconds import timed

ASKED = 20.0
"""Minutes that it may take on two processors."""


def trained(folder: Path) -> list[dict[str, Any]]:
    """Return what each start in a store took to train, and how it did."""
    cuts = {path.stem: json.loads(path.read_text()) for path in (folder / "zoo").glob("*.json")}
    rows = []
    for start in metastore.open(folder, create=False).starts():
        (cut,) = [one for name, one in cuts.items() if name.startswith(f"{start.name}-")]
        said = [f"{one.n_way}-way {one.k_shot}-shot {one.value:.3f}" for one in start.accuracies]
        rows.append(
            {
                "start": start.name,
                "iterations": cut["iteration"],
                "clock_s": round(cut["seconds"], 1),
                "processor_s": round(cut["cpu_seconds"], 1),
                "validation": "; ".join(said),
            }
        )
    return rows


def main() -> None:
    """Build the zoo once, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=ASKED)
    parser.add_argument("--small", action="store_true", help="a twentieth of the time")
    parser.add_argument("--out", type=Path, help="the result file")
    told = parser.parse_args()
    minutes = told.minutes / 20 if told.small else told.minutes
    report = Report("starts.zoo", told.small, {"minutes": minutes, "device": "cpu"})
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        options = ["--minutes", str(minutes), "--device", "cpu", "--store", str(store)]
        clock, spent = timed(["zoo", "build", *options])
        rows = trained(store)
    print(table(rows))
    report.results["starts"] = rows
    report.results["the whole"] = {"clock_s": round(clock, 1), "processor_s": round(spent, 1)}
    whole = [row for row in rows if row["iterations"] in (200, 600, 1000)]
    report.verdict(
        f"the zoo is built in less than {ASKED:.0f} minutes: {clock / 60:.1f} by the clock, "
        f"{spent / 60:.1f} of the processor, {len(whole)} of {len(rows)} starts trained to the end",
        clock < 60 * ASKED and len(whole) == len(rows),
    )
    report.write(told.out)


if __name__ == "__main__":
    main()
