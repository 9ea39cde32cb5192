"""Every table of the demo asked about in turn as if it were new: one table proves little.

    python -m examples.every [FOLDER]

The past is recorded once. Each table is then asked about with its whole source left out, as in
`examples.demo`, and one line says how the advice did against random search.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import metastore
from examples.demo import fresh, race, record
from examples.race import Race
from examples.tables import tables
from examples.training import processes

AFTER = (1, 3, 8)
"""Numbers of runs after which advice and random search are compared."""


def main(out: Path) -> None:
    """Race on every table and print a line for each."""
    folder, found, outcomes = fresh(out), tables(), {}
    with processes(2) as pool:
        record(pool, found, 0, folder)
        store = metastore.open(folder)
        views = {name: store.view("accuracy", exclude=[name]) for name in found}
        for name, view in views.items():
            outcomes[name] = race(pool, name, view, 0, folder)
    print("\n| table | " + " | ".join(f"advice, random after {k}" for k in AFTER) + " |")
    print("|---" * (len(AFTER) + 1) + "|")
    for name, outcome in outcomes.items():
        print(f"| {name} | " + " | ".join(_cell(outcome, k - 1) for k in AFTER) + " |")
    print(f"\n{_summary(outcomes)}")


def _cell(outcome: Race, step: int) -> str:
    """Return both best accuracies, and how many of the random searches are behind the advice."""
    random = outcome.random[:, step].mean()
    behind = f"{outcome.beaten[step]:g}/{len(outcome.random)}"
    return f"{outcome.recommended[step]:.3f}, {random:.3f} ({behind})"


def _summary(outcomes: dict[str, Race]) -> str:
    """Return on how many tables the advice is ahead of, and behind, most random searches."""
    said = []
    for k in AFTER:
        shares = np.array([race.beaten[k - 1] / len(race.random) for race in outcomes.values()])
        said.append(
            f"after {k}: ahead of most random searches on {(shares > 0.5).sum()} of "
            f"{len(shares)} tables, behind on {(shares < 0.5).sum()}; of all random searches "
            f"{shares.mean():.0%} are behind the advice"
        )
    return "\n".join(said)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default="demo-out", help="for results")
    main(parser.parse_args().folder)
