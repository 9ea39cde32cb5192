"""Scores: means over real queries with their intervals, and which is better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from learners.episode import Episodes, Examples, examples, pad
from learners.errors import LearnerError
from learners.evaluation import Score, evaluate
from learners.losses import mean_squared_error
from learners.maml import maml
from learners.networks import MLP
from tests.learners.quick_training import LEARNER, SAMPLER


def test_score_prints_its_interval_and_knows_its_direction() -> None:
    accuracy = Score(0.9, 0.01, 100, True)
    assert str(accuracy) == "0.9000 ± 0.0100"
    assert accuracy.better_than(replace(accuracy, mean=0.8))
    assert not replace(accuracy, larger_is_better=False).better_than(replace(accuracy, mean=0.8))
    assert not replace(accuracy, mean=float("nan")).better_than(None)


@pytest.mark.parametrize("classification", [True, False])
def test_a_score_is_the_mean_over_real_queries_and_1_96_standard_errors(classification) -> None:
    """Query sets of 2, 5 and 9 rows weigh alike; what pads them does not count."""
    generator = torch.Generator().manual_seed(0)
    learner = maml(MLP((3, 4, 2)), regression=not classification)
    state = learner.init(0)

    def drawn(n: int) -> Examples:
        x = torch.randn(n, 3, generator=generator)
        y = torch.randint(2, (n,), generator=generator)
        return examples(x, y if classification else torch.randn(n, 2, generator=generator))

    sets = [(drawn(4), drawn(n)) for n in (2, 5, 9)]

    class Uneven:
        def sample(self, index: int, n_episodes: int) -> Episodes:
            support, query = (pad(part) for part in zip(*sets, strict=True))
            return Episodes(support, query, 2 * classification)

    found = evaluate(learner, state, Uneven(), 3)
    each = []
    for support, query in sets:
        predicted = learner.adapt(state, support, 2 * classification).predict(query.x)
        right = (
            (predicted.argmax(1) == query.y).double()
            if classification
            else (predicted - query.y).square().double()
        )
        each.append(float(right.mean()))
    assert found.mean == pytest.approx(np.mean(each), rel=1e-5)
    assert found.half_width == pytest.approx(1.96 * np.std(each, ddof=1) / 3**0.5, rel=1e-5)


def test_an_interval_needs_two_episodes() -> None:
    with pytest.raises(LearnerError, match="at least 2"):
        evaluate(LEARNER, LEARNER.init(0), SAMPLER, 1)


def test_the_squared_error_is_a_mean_over_targets_and_real_rows() -> None:
    apart = torch.tensor([[1.0, 3.0], [2.0, 0.0], [9.0, 9.0]])
    mask = torch.tensor([True, True, False])
    assert float(mean_squared_error(apart, torch.zeros(3, 2), mask)) == (5.0 + 2.0) / 2
