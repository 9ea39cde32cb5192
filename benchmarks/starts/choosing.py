"""What the choice of a start is worth on the evaluation alphabets and on digits.

    python -m benchmarks.starts.choosing --store S [--tasks alphabets|digits] [--n 20]
        [--without-starts] [--out choosing.json]

The starts come from `benchmarks.starts.train`. Every candidate is fine-tuned on each task and
scored on its query; ways to choose are charged with what they chose. No setting was chosen on
these tasks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import metastore
from benchmarks.realdata import realdata
from benchmarks.starts.alphabets import FILE
from metastore.rendering import Form, render
from recommenders.starts import Asked
from recommenders.starts_backtest import Outcome, Task, backtest, summary
from recommenders.support_sets import read_query, read_support

SHAPES = ((5, 1), (5, 2), (5, 5), (10, 3))
"""Classes and examples a class of the tasks of every alphabet."""
SHOTS = (1, 2, 5, 10, 20)
"""Examples of each digit."""


def alphabets(n: int, seed: int = 0) -> Iterator[Task]:
    """Yield tasks of the first `n` evaluation alphabets; an alphabet is a group."""
    with np.load(realdata(FILE), allow_pickle=False) as file:
        images, alphabet = file["images"], file["alphabet"]
        names, held_out = file["alphabet_names"], file["alphabet_split"] != "background"
    rng = np.random.default_rng(seed)
    for number in np.flatnonzero(held_out)[:n]:
        for n_way, k_shot in SHAPES:
            chosen = rng.permutation(np.flatnonzero(alphabet == number))[:n_way]
            orders = np.stack([rng.permutation(images.shape[1]) for _ in chosen])
            drawn = images[chosen[:, None], orders]
            name = f"{names[number]}, {n_way} classes, {k_shot} each"
            yield _task(name, str(names[number]), drawn[:, :k_shot], drawn[:, k_shot:])


def digits(n: int, seed: int = 0) -> Iterator[Task]:
    """Yield `n` tasks for each number of examples of scikit-learn's digits; each is a group."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - for these tasks alone

    x, y = load_digits(return_X_y=True)
    images = (x.reshape(-1, 8, 8) * 15.9).astype(np.uint8)
    rng = np.random.default_rng(seed)
    for draw in range(n):
        orders = [rng.permutation(np.flatnonzero(y == digit)) for digit in range(10)]
        for k_shot in SHOTS:
            support = np.stack([images[order[:k_shot]] for order in orders])
            query = np.stack([images[order[-50:]] for order in orders])
            yield _task(f"digits {draw}, {k_shot} each", f"digits {draw}", support, query)


def _task(name: str, group: str, support: np.ndarray, query: np.ndarray) -> Task:
    """Return a task of images by class `(n_classes, n_each, side, side)`."""
    read = read_support(_labelled(support), name=name)
    return Task(name, group, read, read_query(_labelled(query), read))


def _labelled(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    names = np.array([f"class {i:02d}" for i in range(len(images))])
    return images.reshape(-1, *images.shape[2:]), np.repeat(names, images.shape[1])


def _say(one: Outcome) -> None:
    best = max(one.accuracy, key=lambda name: one.accuracy[name])
    chosen = one.chosen["combined"]
    print(
        f"{one.task}: {chosen} {one.of('combined'):.3f}, best {best} {one.accuracy[best]:.3f}, "
        f"{one.seconds:.1f} s",
        flush=True,
    )


def main() -> None:
    """Run the backtest, print its summary, and keep all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True)
    parser.add_argument("--tasks", choices=("alphabets", "digits"), default="alphabets")
    parser.add_argument("--n", type=int, default=20, help="alphabets, or draws of digits")
    parser.add_argument(
        "--without-starts", action="store_true", help="candidates that need no start take part"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for every outcome")
    told = parser.parse_args()
    torch.set_num_threads(1)
    tasks = {"alphabets": alphabets, "digits": digits}[told.tasks](told.n)
    asked = Asked(without_starts=told.without_starts)
    outcomes = backtest(metastore.open(told.store), tasks, asked, _say)
    rows = summary(outcomes)
    print(render(rows, Form.TABLE))
    if told.out is not None:
        kept = {"summary": rows, "outcomes": [asdict(one) for one in outcomes]}
        told.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
