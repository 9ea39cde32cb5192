from __future__ import annotations

import pytest
import torch

from learners.episode import Episodes, Examples
from learners.execution import Execution
from learners.learner import Phase
from learners.networks import MLP, Conv4, without_net
from learners.protonet import ProtoNet
from tests.learners.contract import LearnerContract


class TestContract(LearnerContract):
    @pytest.fixture
    def learner(self):
        return ProtoNet(Conv4(0, filters=4))

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


def test_log_odds_are_minus_squared_distances_to_class_means() -> None:
    """Brute force over classes and queries, on an embedding that is the identity."""
    network = MLP((5, 5))
    learner = ProtoNet(network)
    state = {"net.head.weight": torch.eye(5), "net.head.bias": torch.zeros(5)}
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(9, 5, generator=generator), torch.tensor([0, 1, 2] * 3)
    queries = torch.randn(4, 5, generator=generator)
    support = Examples(x, y, torch.ones(9, dtype=torch.bool))
    found = learner.adapt(state, support).predict(queries)
    for q in range(4):
        for c in range(3):
            centre = sum(x[i] for i in range(9) if y[i] == c) / 3
            expected = -float(((queries[q] - centre) ** 2).sum())
            assert float(found[q, c]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_class_without_support_is_never_predicted() -> None:
    learner = ProtoNet(MLP((2, 3)))
    support = Examples(torch.zeros(2, 2), torch.tensor([0, 2]), torch.ones(2, dtype=torch.bool))
    scores = learner.adapt(learner.init(0), support, n_way=4).predict(torch.ones(1, 2))
    assert scores[0].isneginf().tolist() == [False, True, False, True]


def test_finish_measures_the_moments_of_all_images(glyph_episodes: Episodes) -> None:
    """The first normalisation against mean and variance over everything at once."""
    learner = ProtoNet(Conv4(0, filters=4))
    state = learner.init(0)
    finished = without_net(learner.finish(state, glyph_episodes))
    x = torch.cat([glyph_episodes.support.x, glyph_episodes.query.x], 1).flatten(0, 1)
    activations = torch.nn.functional.conv2d(x, state["net.block0.weight"], padding=1)
    torch.testing.assert_close(finished["block0.mean"], activations.mean((0, 2, 3)))
    torch.testing.assert_close(
        finished["block0.variance"], activations.var((0, 2, 3), unbiased=False)
    )
    again = learner.finish(learner.finish(state, glyph_episodes), glyph_episodes)
    torch.testing.assert_close(again["net.block2.mean"], finished["block2.mean"])


def test_meta_gradient_equals_finite_differences(glyph_episodes: Episodes) -> None:
    learner = ProtoNet(Conv4(0, filters=3))
    state = {name: value.double() for name, value in learner.init(0).items()}
    support, query = (
        Examples(part.x.double(), part.y, part.mask)
        for part in (glyph_episodes.support, glyph_episodes.query)
    )
    episodes = Episodes(support, query, 3)
    gradient, _ = learner.meta_gradient(state, episodes, Phase(), Execution())
    moved = {name: value.clone() for name, value in state.items()}
    values = []
    for step in (1e-6, -2e-6):
        moved["net.block1.weight"][0, 0, 0, 0] += step
        values.append(learner.meta_gradient(moved, episodes, Phase(), Execution())[1].mean())
    expected = float(values[0] - values[1]) / 2e-6
    assert float(gradient["net.block1.weight"][0, 0, 0, 0]) == pytest.approx(expected, rel=1e-4)
