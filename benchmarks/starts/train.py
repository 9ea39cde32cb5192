"""Train the starts that the proof chooses among, and put them into a store.

    python -m benchmarks.starts.train --store S [--work build/starts] [--minutes M] [--only NAME]

What was cut goes on from its checkpoint, what is trained and registered is passed over. M bounds
the wall-clock minutes of each start; without it every start has the iterations of its plan.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.starts.images import PLANS, Plan, about, measured, trained


def train(plan: Plan, work: Path, minutes: float | None, n_episodes: int) -> Path:
    """Return the checkpoint of a trained plan; its accuracies are in a file beside it."""
    work.mkdir(parents=True, exist_ok=True)
    checkpoint, scores = work / f"{plan.name}.json", work / f"{plan.name}-accuracies.json"
    if scores.exists():
        return checkpoint
    cpu = time.process_time()
    training = replace(
        plan.training,
        checkpoint=checkpoint,
        checkpoint_every=100,
        validate_every=100,
        progress=False,
        about=about(plan),
    )
    found = trained(plan, training, None if minutes is None else 60 * minutes)
    seconds = time.process_time() - cpu
    accuracies = measured(plan, found.state, n_episodes)
    text = {
        "accuracies": {name: asdict(score) for name, score in accuracies.items()},
        "cpu_seconds": round(seconds, 1),
    }
    scores.write_text(json.dumps(text, indent=1) + "\n")
    told = ", ".join(f"{name} {score}" for name, score in accuracies.items())
    print(f"{plan.name}: {found.iterations} iterations, {seconds:.0f} s of CPU: {told}", flush=True)
    return checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/starts"))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--only")
    options = parser.parse_args()
    for plan in PLANS:
        if options.only in (None, plan.name):
            train(plan, options.work, options.minutes, options.episodes)


if __name__ == "__main__":
    main()
