"""Starts for tables of any width, one a fold: trained on the other folds, judged on its own.

    python -m benchmarks.starts.tabular [--work build/starts] [--out FILE] [--repetitions N]

Every start is judged on tables whose near-duplicates it never saw, against classical models fitted
to the same few rows. The design (kernels, width, how long to train) was chosen on folds 1 and 2
alone: trained on their parts 1 and 2, compared on their parts 0 and 3.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import Report
from benchmarks.results import table as shown
from benchmarks.starts.few_rows import CLASSICAL, SHOTS, FewRows, classical, tasks
from benchmarks.starts.tables import N_FOLDS, fold_names, tables
from learners.episode import examples
from learners.learner import Learner, State
from learners.set_encoder import SetEncoder
from learners.training import Budget, Trained, Training, meta_train
from learners.wide_tables import WideTableSampler

ITERATIONS = 600
OURS = "set encoder"
LEARNER = SetEncoder()


def training_names(fold: int) -> tuple[str, ...]:
    """Return the tables that the start of a fold is trained on."""
    return tuple(n for other in range(N_FOLDS) if other != fold for n in fold_names(other))


def trained(fold: int, checkpoint: Path | None = None) -> Trained:
    """Return the start of a fold; what was cut goes on."""
    sampler = WideTableSampler([tables()[name] for name in training_names(fold)], seed=fold)
    settings = Training(
        8,
        3e-3,
        schedule="cosine",
        clip=1.0,
        seed=fold,
        validate_every=100,
        checkpoint_every=100,
        checkpoint=checkpoint,
        progress=False,
        about={"classes": {"train": list(training_names(fold))}, "method": "set_encoder"},
    )
    return meta_train(LEARNER, sampler, Budget(ITERATIONS), settings)


def accuracy(learner: Learner, state: State, task: FewRows) -> float:
    """Return the accuracy of a start on a task's query."""
    support = examples(*(torch.from_numpy(part) for part in task.support))
    scores = learner.adapt(state, support).predict(torch.from_numpy(task.query[0]))
    return float((scores.argmax(-1).numpy() == task.query[1]).mean())


def judged(states: Sequence[State], repetitions: int) -> dict[str, dict[str, list[float]]]:
    """Return accuracies by model and `"table|shots"`, one a repetition."""
    found: dict[str, dict[str, list[float]]] = {}
    for fold, state in enumerate(states):
        for name in fold_names(fold):
            for task in tasks(name, tables()[name], repetitions):
                each = {model: classical(model, task) for model in CLASSICAL}
                each[OURS] = accuracy(LEARNER, state, task)
                each["untrained set encoder"] = accuracy(LEARNER, LEARNER.init(fold), task)
                for model, value in each.items():
                    key = f"{name}|{task.shots}"
                    found.setdefault(model, {}).setdefault(key, []).append(value)
        print(f"fold {fold}: {len(fold_names(fold))} tables", flush=True)
    return found


def summary(found: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Return, by shots and model: accuracy, mean rank, and the difference to ours over tables."""
    rows = []
    for shots in SHOTS:
        keys = [key for key in found[OURS] if key.endswith(f"|{shots}")]
        means = {m: np.array([np.mean(found[m][key]) for key in keys]) for m in found}
        values = np.stack(list(means.values()))
        better = (values[None] > values[:, None]).sum(1)
        ranks = 1 + better + 0.5 * ((values[None] == values[:, None]).sum(1) - 1)
        for i, (model, each) in enumerate(means.items()):
            gap = means[OURS] - each
            half = 1.96 * gap.std(ddof=1) / math.sqrt(len(gap))
            rows.append(
                {
                    "shots": shots,
                    "model": model,
                    "accuracy": round(float(each.mean()), 4),
                    "mean_rank": round(float(ranks[i].mean()), 2),
                    "ours_ahead_by": round(float(gap.mean()), 4),
                    "half_width": round(float(half), 4),
                    "ours_better_equal_worse": [
                        int((gap > 0).sum()),
                        int((gap == 0).sum()),
                        int((gap < 0).sum()),
                    ],
                    "tables": len(keys),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/starts"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repetitions", type=int, default=2)
    options = parser.parse_args()
    states = [
        trained(fold, options.work / f"tables-fold-{fold}.json").state for fold in range(N_FOLDS)
    ]
    report = Report(
        "starts.tabular",
        small=options.repetitions < 2,
        settings={"iterations": ITERATIONS, "repetitions": options.repetitions},
    )
    rows = summary(judged(states, options.repetitions))
    print(shown(rows))
    report.results["models"] = rows
    for row in rows:
        if row["model"] in CLASSICAL:
            claim = (
                f"{OURS} ahead of {row['model']} at {row['shots']} rows a class: "
                f"{row['ours_ahead_by']:+.4f} ± {row['half_width']:.4f}"
            )
            report.verdict(claim, row["ours_ahead_by"] > row["half_width"])
    report.write(options.out)


if __name__ == "__main__":
    main()
