"""What is drawn, and the slow way to hold out, for tests of advice on starts."""

from __future__ import annotations

import numpy as np
import torch

from learners.episode import Examples
from learners.learner import Learner, State
from learners.samplers import Shape
from recommenders.starts.cross_validation import plan
from recommenders.starts.support_sets import SupportSet, read_query, read_support
from recommenders.starts.tuning import Tuning

SHAPE = Shape(5, 1, 3)
SAID = {
    "kind": "images",
    "input_shape": (1, 28, 28),
    "normalisation": {"scale": "bytes divided by 255"},
}
STEPS = Tuning("gradient", 5)


def drawn(
    characters: np.ndarray, counts: list[int], seed: int = 0
) -> tuple[SupportSet, SupportSet]:
    """Return a support set of unseen characters with so many examples, and a query of five each."""
    rng = np.random.default_rng(seed)
    chosen = 40 + rng.permutation(20)[: len(counts)]
    orders = [rng.permutation(20) for _ in counts]
    names = [f"character {i}" for i in range(len(counts))]

    def part(first: list[int], n: list[int]) -> tuple[np.ndarray, np.ndarray]:
        pairs = list(zip(chosen, orders, first, n, strict=True))
        images = np.concatenate([characters[c][o[f : f + k]] for c, o, f, k in pairs])
        return images, np.repeat(names, n)

    support = read_support(part([0] * len(counts), counts), name="characters")
    return support, read_query(part(counts, [5] * len(counts)), support)


def looped(learner: Learner, state: State, support: Examples, n_way: int, seed: int) -> np.ndarray:
    """Return held-out answers by adapting to one fold after the other."""
    folds, found = plan(support.y.numpy(), 2, seed), []
    for train, held in zip(folds.train, folds.held, strict=True):
        inner = Examples(*(part[torch.from_numpy(train)] for part in support))
        predictor = learner.adapt(state, inner, n_way)
        found.append(predictor.predict(support.x[torch.from_numpy(held)])[:, :n_way])
    return torch.cat(found).double().numpy()
