"""Train the starts that the proof chooses among, and put them into a store.

    python -m benchmarks.starts.train [--store S] [--work build/starts] [--minutes M] [--only NAME]
        [--no-tables]

What was cut goes on from its checkpoint, what is trained is not trained again, and the same start
put into a store twice is there once. M bounds the wall-clock minutes of each start; without it
every start has the iterations of its plan. Starts for tables are one a fold (`starts.tabular`),
measured on the tables of their own fold, which they were not trained on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import metastore
from benchmarks.starts.images import (
    HEADS,
    PLANS,
    WAYS,
    Plan,
    about,
    episodes_of,
    measured,
    trained,
)
from benchmarks.starts.tables import N_FOLDS, fold_names, tables
from benchmarks.starts.tabular import trained as trained_on_tables
from benchmarks.starts.tabular import training_names
from learners.training import Trained
from metastore.starts import Accuracy
from metastore.store import MetaStore
from recommenders.starts.evidence import task_embeddings
from recommenders.starts.loading import register
from recommenders.starts.training import TASKS
from recommenders.starts.zoo_tables import table_accuracies, table_embeddings


def train(plan: Plan, work: Path, minutes: float | None) -> Trained:
    """Return what a plan's training gives; what was cut goes on."""
    training = replace(
        plan.training,
        checkpoint=work / f"{plan.name}.json",
        checkpoint_every=100,
        validate_every=100,
        progress=False,
        about=about(plan),
    )
    return trained(plan, training, None if minutes is None else 60 * minutes)


def scores(plan: Plan, found: Trained, work: Path, n_episodes: int) -> dict[str, Any]:
    """Return the accuracies of a trained plan, from the file beside its checkpoint if it is there.

    They are kept with the iterations that they are of, and measured again after more.
    """
    file = work / f"{plan.name}-accuracies.json"
    if file.exists():
        known: dict[str, Any] = json.loads(file.read_text())
        if known.get("iterations") == found.iterations:
            return known
    accuracies = measured(plan, found.state, n_episodes)
    told = ", ".join(f"{name} {score}" for name, score in accuracies.items())
    print(f"{plan.name}: {found.iterations} iterations: {told}", flush=True)
    each = {name: asdict(score) for name, score in accuracies.items()}
    kept = {"accuracies": each, "iterations": found.iterations}
    file.write_text(json.dumps(kept, indent=1) + "\n")
    return kept


def keep_images(store: MetaStore, plan: Plan, found: Trained, measured_: dict[str, Any]) -> None:
    """Put a trained plan into a store."""
    register(
        store,
        found.learner,
        found.state,
        name=plan.name,
        method=plan.method,
        kind="images",
        input_shape=(1, 28, 28),
        normalisation={"scale": "bytes divided by 255"},
        accuracies=[_accuracy(name, score) for name, score in measured_["accuracies"].items()],
        n_way=WAYS if plan.method in HEADS else None,
        seconds=found.history[-1].seconds,
        trained_on=[f"omniglot:{name}" for name in about(plan)["classes"]["train"]],
        licence="MIT (Omniglot)",
        source=f"benchmarks.starts.train: Omniglot background, alphabets {plan.part}",
        tasks=task_embeddings(found.learner, found.state, episodes_of(plan), TASKS),
    )


def keep_tables(store: MetaStore, fold: int, work: Path) -> None:
    """Train the start of a fold of tables where it is missing, and put it into a store."""
    found = trained_on_tables(fold, work / f"tables-fold-{fold}.json")
    its_own = {name: tables()[name] for name in fold_names(fold)}
    names = training_names(fold)
    register(
        store,
        found.learner,
        found.state,
        name=f"tables-fold-{fold}",
        method="set_encoder",
        kind="tables",
        n_way=None,
        accuracies=table_accuracies(found.learner, found.state, its_own),
        seconds=found.history[-1].seconds,
        trained_on=[f"pmlb:{name}" for name in names],
        licence="of PMLB's tables, each its own",
        source=f"benchmarks.starts.train: PMLB without the groups of fold {fold}",
        tasks=table_embeddings(found.learner, found.state, [tables()[name] for name in names]),
    )
    print(f"tables-fold-{fold}: in the store", flush=True)


def _accuracy(name: str, score: dict[str, Any]) -> Accuracy:
    way, shot = name.removesuffix("s").split("w")
    return Accuracy(int(way), int(shot), score["mean"], score["half_width"], score["n_episodes"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/starts"))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--only")
    parser.add_argument("--no-tables", action="store_true")
    options = parser.parse_args()
    store = None if options.store is None else metastore.open(options.store)
    for plan in PLANS:
        if options.only in (None, plan.name):
            found = train(plan, options.work, options.minutes)
            told = scores(plan, found, options.work, options.episodes)
            if store is not None:
                keep_images(store, plan, found, told)
    for fold in range(0 if store is None or options.no_tables else N_FOLDS):
        if store is not None and options.only in (None, f"tables-fold-{fold}"):
            keep_tables(store, fold, options.work)


if __name__ == "__main__":
    main()
