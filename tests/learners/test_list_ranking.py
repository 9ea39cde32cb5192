"""ListNet: its loss against the formula written out, padding, decay, and that it learns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from learners.description import build, describe
from learners.episode import Episodes, Examples, examples, pad
from learners.errors import LearnerError
from learners.execution import Execution
from learners.learner import Phase
from learners.list_ranking import ListNet, list_net
from learners.networks import MLP, Conv4
from learners.training import Budget, Training, meta_train
from tests.learners.contract import LearnerContract


class TestContract(LearnerContract):
    @pytest.fixture
    def learner(self) -> ListNet:
        return ListNet(MLP((1, 16, 1), "tanh"), decay=0.01)

    @pytest.fixture
    def episodes(self, waves: Episodes) -> Episodes:
        return waves


def written_out(scores: list[float], judgments: list[float]) -> float:
    """Cross-entropy of top one probabilities, term by term in float64."""

    def first(values: list[float], j: int) -> float:
        return math.exp(values[j]) / sum(math.exp(value) for value in values)

    return -sum(first(judgments, j) * math.log(first(scores, j)) for j in range(len(scores)))


def drawn(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=n)), torch.tensor(3 * rng.normal(size=n))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_loss_is_the_papers(n: int) -> None:
    z, y = drawn(n, seed=n)
    found = list_net(z, y, torch.ones(n, dtype=torch.bool))
    assert float(found) == pytest.approx(written_out(z.tolist(), y.tolist()), rel=1e-12)


def test_padding_is_in_no_list() -> None:
    (z, y), (other, judged) = drawn(5, seed=0), drawn(3, seed=1)
    filler = torch.full((2,), 50.0)
    scores = torch.stack([z, torch.cat([other, filler])])
    targets = torch.stack([y, torch.cat([judged, filler])])
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    expected = [written_out(z.tolist(), y.tolist()), written_out(other.tolist(), judged.tolist())]
    assert list_net(scores, targets, mask).tolist() == pytest.approx(expected, rel=1e-12)


def test_its_gradient_is_the_difference_of_the_probabilities() -> None:
    z, y = drawn(6, seed=2)
    z.requires_grad_()
    mask = torch.tensor([True] * 5 + [False])
    list_net(z, y, mask).backward()
    expected = torch.cat([z[:5].detach().softmax(0) - y[:5].softmax(0), torch.zeros(1)])
    torch.testing.assert_close(z.grad, expected)


def lists() -> Episodes:
    rng = np.random.default_rng(3)
    sets = [examples(rng.normal(size=(n, 2)), rng.normal(size=n)) for n in (3, 2, 4, 1)]
    return Episodes(pad(sets[:2]), pad(sets[2:]), 0)


def test_a_list_is_support_and_query_and_decay_pulls_to_zero() -> None:
    learner = ListNet(MLP((2, 5, 1)), decay=0.3)
    state, episodes = learner.init(0), lists()
    losses = learner.meta_gradient(state, episodes, Phase(), Execution())[1]
    squares = sum(float(w.square().sum()) for w in state.values())
    for i in range(2):
        x, y = [], []
        for part in (episodes.support, episodes.query):
            x.append(part.x[i][part.mask[i]])
            y.append(part.y[i][part.mask[i], 0])
        whole = Examples(torch.cat(x), torch.cat(y), torch.ones(0))
        mask = torch.ones(len(whole.x), dtype=torch.bool)
        z = learner.network({k[4:]: v for k, v in state.items()}, whole.x, mask)[:, 0]
        expected = written_out(z.tolist(), whole.y.tolist()) + 0.15 * squares
        assert float(losses[i]) == pytest.approx(expected, rel=1e-5)


def test_lists_together_and_one_by_one_agree() -> None:
    learner = ListNet(MLP((2, 5, 1)), decay=0.1)
    state, episodes = learner.init(0), lists()
    together = learner.meta_gradient(state, episodes, Phase(), Execution())[0]
    apart = [
        learner.meta_gradient(state, episodes[i : i + 1], Phase(), Execution()) for i in (0, 1)
    ]
    for name, gradient in together.items():
        mean = (apart[0][0][name] + apart[1][0][name]) / 2
        torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-6)


@dataclass(frozen=True)
class Lines:
    """Lists of points on a line, the rightmost first."""

    def sample(self, index: int, n_episodes: int) -> Episodes:
        generator = torch.Generator().manual_seed(index)
        x = torch.rand(n_episodes, 8, 1, generator=generator)
        parts = [
            Examples(x[:, s], 5 * x[:, s], torch.ones(n_episodes, 4, dtype=torch.bool))
            for s in (slice(0, 4), slice(4, 8))
        ]
        return Episodes(parts[0], parts[1], 0)


def test_it_learns_an_order_and_asks_nothing_of_a_support_set() -> None:
    learner = ListNet(MLP((1, 8, 1)))
    trained = meta_train(learner, Lines(), Budget(100), Training(rate=0.01, progress=False))
    points = torch.linspace(0, 1, 9)[:, None]
    found = [
        trained.adapt(examples(torch.zeros(1, 1), torch.tensor([y]))).predict(points)[:, 0]
        for y in (0.0, 9.0)
    ]
    assert torch.equal(found[0], found[1])
    assert (found[0].diff() > 0).all()


def test_a_description_builds_it_again() -> None:
    learner = ListNet(MLP((2, 5, 1)), decay=0.1)
    assert build(describe(learner)) == learner


def test_a_network_that_sees_other_rows_and_a_negative_decay_are_refused() -> None:
    with pytest.raises(LearnerError, match="each row on its own"):
        ListNet(Conv4(1))
    with pytest.raises(LearnerError, match="decay"):
        ListNet(MLP((2, 1)), decay=-0.1)
