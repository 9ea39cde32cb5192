"""Meta-gradients against finite differences, against other libraries, and written out."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad

from learners.anil import anil
from learners.execution import Execution
from learners.fomaml import fomaml
from learners.inner_loop import GradientLearner, InnerLoop
from learners.maml import maml
from learners.maml_plus_plus import Annealing, maml_plus_plus
from learners.meta_sgd import meta_sgd
from learners.networks import Conv4
from tests.learners.contract import in_double
from tests.learners.gradient_learners import WAVE, as_module, random_state

SECOND_ORDER = [
    maml(WAVE, rate=0.05, steps=3, regression=True),
    anil(WAVE, rate=0.05, steps=2, regression=True),
    meta_sgd(WAVE, rate=0.05, steps=2, regression=True),
    GradientLearner(
        WAVE,
        InnerLoop(3, 0.05, learned_rates="layer_step", multi_step_until=10),
        regression=True,
    ),
]


@pytest.mark.parametrize("learner", SECOND_ORDER, ids=["maml", "anil", "meta_sgd", "multi_step"])
def test_meta_gradient_equals_finite_differences(learner, waves) -> None:
    """Central differences of the meta-loss in float64 along a random direction."""
    episodes, state, phase = in_double(waves), random_state(learner), learner.phase(2)
    gradient, _ = learner.meta_gradient(state, episodes, phase, Execution())

    def value(step: float) -> float:
        moved = {name: part + step * direction[name] for name, part in state.items()}
        return float(learner.meta_gradient(moved, episodes, phase, Execution())[1].mean())

    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        direction = {
            name: torch.randn(part.shape, generator=generator, dtype=torch.double)
            for name, part in state.items()
        }
        expected = (value(1e-5) - value(-1e-5)) / 2e-5
        found = float(sum((gradient[name] * direction[name]).sum() for name in state))
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_meta_gradient_through_convolutions_equals_finite_differences(glyph_episodes) -> None:
    learner = maml_plus_plus(
        Conv4(3, filters=3, strided=True), steps=2, rate=0.05, annealing=Annealing(10)
    )
    episodes, state, phase = in_double(glyph_episodes), random_state(learner), learner.phase(1)
    gradient, _ = learner.meta_gradient(state, episodes, phase, Execution(chunk=1))
    for name in ("net.block1.weight", "net.block0.scale", "rate.block2.weight", "net.head.weight"):
        index = (0,) * state[name].ndim

        def value(step: float, name: str = name, index: tuple[int, ...] = index) -> float:
            moved = {key: part.clone() for key, part in state.items()}
            moved[name][index] += step
            return float(
                learner.meta_gradient(moved, episodes, phase, Execution(chunk=1))[1].mean()
            )

        expected = (value(1e-6) - value(-1e-6)) / 2e-6
        assert float(gradient[name][index]) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_first_order_gradient_is_the_query_gradient_at_the_adapted_parameters(waves) -> None:
    """d L_q / d phi at phi_T, computed without the engine."""
    learner = fomaml(WAVE, rate=0.05, steps=3, regression=True)
    state = random_state(learner)
    episode = in_double(waves)[:1]
    found, _ = learner.meta_gradient(state, episode, learner.phase(0), Execution())
    (xs, ys), (xq, yq) = ((part.x[0], part.y[0]) for part in (episode.support, episode.query))

    def loss(params, x, y):
        return (WAVE(params, x, torch.ones(len(x), dtype=torch.bool)) - y).square().mean()

    phi = {name.removeprefix("net."): value for name, value in state.items()}
    for _ in range(3):
        slope = grad(loss)(phi, xs, ys)
        phi = {name: phi[name] - 0.05 * slope[name] for name in phi}
    for name, value in grad(loss)(phi, xq, yq).items():
        torch.testing.assert_close(found[f"net.{name}"], value)


def _same_as_module(gradient, module: torch.nn.Sequential) -> None:
    for layer, name in zip(module[::2], ("layer0", "layer1", "head"), strict=True):
        torch.testing.assert_close(gradient[f"net.{name}.weight"].T, layer.weight.grad)
        torch.testing.assert_close(gradient[f"net.{name}.bias"], layer.bias.grad)


@pytest.mark.parametrize("factory", [maml, fomaml], ids=["maml", "fomaml"])
def test_meta_gradient_equals_that_of_higher(factory, waves) -> None:
    higher = pytest.importorskip("higher", reason="the oracle `higher` is not installed")
    learner = factory(WAVE, rate=0.05, steps=3, regression=True)
    state, episodes = random_state(learner), in_double(waves)
    module = as_module(state)
    inner = torch.optim.SGD(module.parameters(), lr=0.05)
    track = factory is maml
    for i in range(len(episodes)):
        with higher.innerloop_ctx(module, inner, copy_initial_weights=False) as (fast, step):
            for _ in range(3):
                step.step(
                    torch.nn.functional.mse_loss(
                        fast(episodes.support.x[i]), episodes.support.y[i]
                    ),
                    grad_callback=None if track else lambda all_: [one.detach() for one in all_],
                )
            loss = torch.nn.functional.mse_loss(fast(episodes.query.x[i]), episodes.query.y[i])
            (loss / len(episodes)).backward()
    found, _ = learner.meta_gradient(state, episodes, learner.phase(0), Execution())
    _same_as_module(found, module)


def test_meta_gradient_equals_that_of_torchopt(waves) -> None:
    torchopt = pytest.importorskip("torchopt", reason="the oracle `torchopt` is not installed")
    learner = maml(WAVE, rate=0.05, steps=3, regression=True)
    state, episodes = random_state(learner), in_double(waves)
    module = as_module(state)
    inner = torchopt.MetaSGD(module, lr=0.05)
    start = torchopt.extract_state_dict(module, by="reference", detach_buffers=True)
    start_inner = torchopt.extract_state_dict(inner, by="reference")
    for i in range(len(episodes)):
        for _ in range(3):
            inner.step(
                torch.nn.functional.mse_loss(module(episodes.support.x[i]), episodes.support.y[i])
            )
        loss = torch.nn.functional.mse_loss(module(episodes.query.x[i]), episodes.query.y[i])
        (loss / len(episodes)).backward()
        torchopt.recover_state_dict(module, start)
        torchopt.recover_state_dict(inner, start_inner)
    found, _ = learner.meta_gradient(state, episodes, learner.phase(0), Execution())
    _same_as_module(found, module)
