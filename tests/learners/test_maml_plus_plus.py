"""MAML++: weights of steps, annealing, and its equations written out."""

from __future__ import annotations

import pytest
import torch

from learners.episode import Examples
from learners.execution import Execution
from learners.inner_loop import GradientLearner, InnerLoop
from learners.inner_settings import step_weights
from learners.maml_plus_plus import Annealing, maml_plus_plus
from tests.learners.contract import in_double
from tests.learners.gradient_learners import SMALL, WAVE


def test_multi_step_weights_start_equal_sum_to_one_and_end_on_the_last() -> None:
    loop = InnerLoop(steps=5, multi_step_until=100)
    for iteration in (0, 30, 99):
        assert float(step_weights(iteration, loop).sum()) == pytest.approx(1)
    assert step_weights(0, loop).tolist() == pytest.approx([0.2] * 5)
    assert step_weights(99, loop)[0] == pytest.approx(0.03 / 5)
    learner = GradientLearner(WAVE, loop, regression=True)
    assert learner.phase(100).step_weights is None


def test_derivative_order_anneals() -> None:
    learner = maml_plus_plus(SMALL, annealing=Annealing(0, first_order=10))
    assert learner.phase(9).first_order
    assert not learner.phase(10).first_order


def test_maml_plus_plus_has_rates_and_normalisation_for_every_step(glyph_episodes) -> None:
    learner = maml_plus_plus(SMALL, steps=3)
    state = learner.init(0)
    assert state["rate.block1.weight"].shape == (3,)
    assert state["net.block1.scale"].shape == (3, 4)
    assert "rate.block1.scale" not in state
    context = learner.adapt(state, glyph_episodes.support).context
    assert "fast.block1.weight" in context
    assert "fast.block1.scale" not in context
    # Only the last step's normalisation meets the query set; the first shapes the first step.
    for step in (0, 2):
        moved = {name: value.clone() for name, value in state.items()}
        moved["net.block3.shift"][step] += 1.0
        one, other = (
            learner.adapt(each, glyph_episodes.support).predict(glyph_episodes.query.x)
            for each in (state, moved)
        )
        assert not torch.allclose(one, other)


def test_maml_plus_plus_equals_its_equations_written_out(glyph_episodes) -> None:
    """Rates and normalisations of each step, the weighted loss after each, and their gradient."""
    learner = maml_plus_plus(SMALL, steps=3, annealing=Annealing(multi_step=10))
    episode = in_double(glyph_episodes[:1])
    support, query = (Examples(*(part[0] for part in e)) for e in (episode.support, episode.query))
    generator = torch.Generator().manual_seed(0)
    state = {
        name: value.double() + 0.05 * torch.rand(value.shape, generator=generator)
        for name, value in learner.init(0).items()
    }
    leaves = {name: value.requires_grad_() for name, value in state.items()}
    ones, none = torch.ones(len(support.y)).bool(), torch.zeros(len(query.y)).bool()

    def outputs(fast, step: int):
        norms = {f"block{i}.{of}" for i in range(4) for of in ("scale", "shift")}
        params = fast | {name: leaves[f"net.{name}"][step] for name in norms}
        x = torch.cat([support.x, query.x])
        found = SMALL(params, x, torch.cat([ones, none]))
        return found[: len(support.y)], found[len(support.y) :]

    entropy = torch.nn.functional.cross_entropy
    fast = {
        n[4:]: v for n, v in leaves.items() if n.startswith("net.") and f"rate.{n[4:]}" in leaves
    }
    expected = torch.zeros((), dtype=torch.float64)
    for step, weight in enumerate((0.2, 0.2, 0.6)):  # (1 - 4 / 10) / 3, and the rest
        loss = entropy(outputs(fast, step)[0], support.y)
        slope = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
        fast = {
            name: value - leaves[f"rate.{name}"][step] * each
            for (name, value), each in zip(fast.items(), slope, strict=True)
        }
        expected = expected + weight * entropy(outputs(fast, step)[1], query.y)
    predicted = learner.adapt(state, support).predict(query.x)
    torch.testing.assert_close(predicted, outputs(fast, 2)[1].detach())
    gradient, losses = learner.meta_gradient(
        {name: value.detach() for name, value in state.items()},
        episode,
        learner.phase(4),
        Execution(),
    )
    torch.testing.assert_close(losses, expected.detach()[None], rtol=1e-6, atol=1e-9)
    for name, each in zip(
        leaves, torch.autograd.grad(expected, list(leaves.values())), strict=True
    ):
        torch.testing.assert_close(gradient[name], each, rtol=1e-5, atol=1e-9)
