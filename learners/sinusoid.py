"""The sinusoid regression benchmark of Finn et al. 2017, section 5.1.

y = a sin(x - b), amplitude a uniform in [0.1, 5], phase b uniform in [0, pi], x uniform in
[-5, 5]; ten examples to learn from, ten to be tested on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from learners.episode import Episodes, Examples


@dataclass(frozen=True)
class SinusoidSampler:
    """Draws waves; the same seed and index give the same waves.

    Args:
        k_shot: points to learn from.
        n_query: points to be tested on.
        seed: which stream of waves.
    """

    k_shot: int = 10
    n_query: int = 10
    seed: int = 0

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return waves, each at points of its own."""
        random = np.random.default_rng((self.seed, index))
        amplitude = random.uniform(0.1, 5.0, (n_episodes, 1, 1))
        phase = random.uniform(0.0, math.pi, (n_episodes, 1, 1))

        def part(n: int) -> Examples:
            x = random.uniform(-5.0, 5.0, (n_episodes, n, 1))
            y = amplitude * np.sin(x - phase)
            mask = torch.ones(n_episodes, n, dtype=torch.bool)
            return Examples(torch.from_numpy(x).float(), torch.from_numpy(y).float(), mask)

        return Episodes(part(self.k_shot), part(self.n_query), 0)
