"""The MAML family and Reptile keep the contract; their meta-gradients are exact."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.func import grad

from learners import inner_loop
from learners.anil import anil
from learners.episode import Episodes, Examples, pad
from learners.errors import LearnerError
from learners.execution import Execution
from learners.fomaml import fomaml
from learners.inner_loop import GradientLearner, InnerLoop
from learners.inner_settings import step_weights
from learners.maml import maml
from learners.maml_plus_plus import Annealing, maml_plus_plus
from learners.meta_sgd import meta_sgd
from learners.networks import MLP, Conv4
from learners.reptile import Reptile
from learners.settled import Settled
from tests.learners.contract import LearnerContract, in_double

SMALL = Conv4(3, filters=4, strided=True)
WAVE = MLP((1, 8, 8, 1), "tanh")

IMAGE_LEARNERS = {
    "maml": maml(SMALL, steps=2, rate=0.1),
    "fomaml": fomaml(SMALL, steps=2, rate=0.1),
    "anil": anil(SMALL, steps=2),
    "meta_sgd": meta_sgd(SMALL),
    "maml++": maml_plus_plus(SMALL, steps=2),
    "reptile": Reptile(SMALL, steps=2, batch=0, prediction_steps=3),
    "first-order anil": GradientLearner(
        SMALL, InnerLoop(steps=2, adapts=("head",), first_order=True)
    ),
    "settled fomaml": fomaml(Settled(SMALL), steps=2, rate=0.1),
    "settled anil": anil(Settled(SMALL), steps=2),
    "settled reptile": Reptile(Settled(SMALL), steps=2, batch=0, prediction_steps=3),
}
WAVE_LEARNERS = {
    "maml": maml(WAVE, rate=0.01, steps=2, regression=True),
    "fomaml": fomaml(WAVE, rate=0.01, regression=True),
    "anil": anil(WAVE, rate=0.01, regression=True),
    "meta_sgd": meta_sgd(WAVE, rate=0.01, regression=True),
    "reptile": Reptile(WAVE, batch=0, adam=False, rate=0.02, regression=True, prediction_steps=4),
}


class TestImages(LearnerContract):
    @pytest.fixture(params=IMAGE_LEARNERS)
    def learner(self, request):
        return IMAGE_LEARNERS[request.param]

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


class TestTransductive(LearnerContract):
    transductive = True

    @pytest.fixture
    def learner(self):
        return maml(SMALL, query_statistics=True)

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


class TestWaves(LearnerContract):
    @pytest.fixture(params=WAVE_LEARNERS)
    def learner(self, request):
        return WAVE_LEARNERS[request.param]

    @pytest.fixture
    def episodes(self, waves):
        return waves


class TestMinibatches(LearnerContract):
    ordered = True

    @pytest.fixture
    def learner(self):
        return Reptile(WAVE, batch=4, rate=0.02, regression=True, steps=4, prediction_steps=5)

    @pytest.fixture
    def episodes(self, waves):
        return waves


def test_reptile_trains_on_support_sets_of_different_size(waves) -> None:
    """A minibatch of padding alone has no loss, and a longer neighbour none of its business."""
    learner = Reptile(WAVE, batch=4, rate=0.02, regression=True, steps=4)
    sets = [Examples(*(part[i, :n] for part in waves.support)) for i, n in enumerate((3, 6, 10))]
    uneven = Episodes(pad(sets), waves.query, 0)
    state = learner.init(0)
    found, losses = learner.meta_gradient(state, uneven, learner.phase(0), Execution())
    total = {name: torch.zeros_like(value) for name, value in state.items()}
    for i, one in enumerate(sets):
        alone = Episodes(pad([one]), waves[i : i + 1].query, 0)
        gradient, loss = learner.meta_gradient(state, alone, learner.phase(0), Execution())
        torch.testing.assert_close(losses[i : i + 1], loss)
        total = {name: value + gradient[name] / 3 for name, value in total.items()}
    for name, value in found.items():
        torch.testing.assert_close(value, total[name], rtol=1e-4, atol=1e-6)


def random_state(learner, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value.double() + 0.05 * torch.randn(value.shape, generator=generator).double()
        for name, value in learner.init(seed).items()
    }


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


def _module(state) -> torch.nn.Sequential:
    """Return WAVE as an ordinary module in float64 with the parameters of a state."""
    module = torch.nn.Sequential(
        torch.nn.Linear(1, 8),
        torch.nn.Tanh(),
        torch.nn.Linear(8, 8),
        torch.nn.Tanh(),
        torch.nn.Linear(8, 1),
    ).double()
    with torch.no_grad():
        for layer, name in zip(module[::2], ("layer0", "layer1", "head"), strict=True):
            layer.weight.copy_(state[f"net.{name}.weight"].T)
            layer.bias.copy_(state[f"net.{name}.bias"])
    return module


def _same_as_module(gradient, module: torch.nn.Sequential) -> None:
    for layer, name in zip(module[::2], ("layer0", "layer1", "head"), strict=True):
        torch.testing.assert_close(gradient[f"net.{name}.weight"].T, layer.weight.grad)
        torch.testing.assert_close(gradient[f"net.{name}.bias"], layer.bias.grad)


@pytest.mark.parametrize("factory", [maml, fomaml], ids=["maml", "fomaml"])
def test_meta_gradient_equals_that_of_higher(factory, waves) -> None:
    higher = pytest.importorskip("higher", reason="the oracle `higher` is not installed")
    learner = factory(WAVE, rate=0.05, steps=3, regression=True)
    state, episodes = random_state(learner), in_double(waves)
    module = _module(state)
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
    module = _module(state)
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


def test_anil_moves_the_head_alone(waves) -> None:
    learner = anil(WAVE, regression=True)
    context = learner.adapt(learner.init(0), waves.support).context
    assert set(context) == {"fast.head.weight", "fast.head.bias"}


def test_the_support_statistics_are_those_of_the_support_set(glyph_episodes) -> None:
    """Querying the support set itself gives the same outputs either way."""
    own = replace(glyph_episodes, query=glyph_episodes.support)
    published, ours = maml(SMALL, query_statistics=True), maml(SMALL)
    state = ours.init(0)
    torch.testing.assert_close(
        ours.adapt(state, own.support).predict(own.query.x),
        published.adapt(state, own.support).predict(own.query.x),
        rtol=1e-4,
        atol=1e-5,
    )


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


def test_reptile_gradient_is_the_way_back_from_plain_descent(waves) -> None:
    """theta - mean phi, with phi from SGD on the whole support set."""
    learner = Reptile(WAVE, steps=2, rate=0.05, batch=0, adam=False, regression=True)
    state = learner.init(0)
    found, _ = learner.meta_gradient(state, waves, learner.phase(0), Execution())
    total = {name: torch.zeros_like(value) for name, value in state.items()}
    for i in range(len(waves)):
        module = _module({name: value.double() for name, value in state.items()}).float()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
        for _ in range(2):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(module(waves.support.x[i]), waves.support.y[i]).backward()
            optimizer.step()
        for layer, name in zip(module[::2], ("layer0", "layer1", "head"), strict=True):
            total[f"net.{name}.weight"] += state[f"net.{name}.weight"] - layer.weight.T.detach()
            total[f"net.{name}.bias"] += state[f"net.{name}.bias"] - layer.bias.detach()
    for name, value in found.items():
        torch.testing.assert_close(value, total[name] / len(waves), rtol=1e-4, atol=1e-6)


def test_reptiles_inner_adam_is_adam_without_momentum(waves) -> None:
    learner = Reptile(WAVE, rate=0.01, batch=4, regression=True, prediction_steps=5)
    state = learner.init(0)
    support = Examples(*(part[0] for part in waves.support))
    fast = learner.adapt(state, support).context
    module = _module({name: value.double() for name, value in state.items()}).float()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01, betas=(0.0, 0.999))
    for step in range(5):
        part = learner._minibatch(support, step)
        assert len(part.x) == 4
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(part.x), part.y).backward()
        optimizer.step()
    torch.testing.assert_close(fast["fast.head.bias"][0], module[4].bias.detach())
    torch.testing.assert_close(fast["fast.layer0.weight"][0], module[0].weight.T.detach())


def test_a_prefix_that_matches_nothing_is_refused() -> None:
    with pytest.raises(LearnerError, match="no parameter's name starts"):
        GradientLearner(WAVE, InnerLoop(adapts=("tail",))).init(0)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rate": 0.0}, {"learned_rates": "all"}])
def test_settings_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(LearnerError):
        InnerLoop(**wrong)


def test_meta_sgd_steps_by_one_learned_rate_a_weight(waves) -> None:
    """phi = theta - alpha * gradient, elementwise, written out for one episode."""
    learner = meta_sgd(WAVE, rate=0.02, regression=True)
    state = learner.init(0)
    generator = torch.Generator().manual_seed(3)
    for name in list(state):
        if name.startswith("rate."):
            assert state[name].shape == state[name.replace("rate.", "net.")].shape
            state[name] = 0.1 * torch.randn(state[name].shape, generator=generator)
    support = Examples(*(part[0] for part in waves.support))
    theta = {name[4:]: value for name, value in state.items() if name.startswith("net.")}

    def loss(params):
        return (WAVE(params, support.x, support.mask) - support.y).square().mean()

    slope = grad(loss)(theta)
    context = learner.adapt(state, support).context
    for name, value in theta.items():
        expected = value - state[f"rate.{name}"] * slope[name]
        torch.testing.assert_close(context[f"fast.{name}"][0], expected)


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


CONVOLUTIONAL = {
    "maml": maml(SMALL, steps=2, rate=0.1),
    "transductive maml": maml(SMALL, steps=2, rate=0.1, query_statistics=True),
    "fomaml": fomaml(SMALL, steps=2, rate=0.1),
    "meta_sgd": meta_sgd(SMALL),
    "maml++": maml_plus_plus(SMALL, steps=2, annealing=Annealing(10)),
    "pooled maml": maml(Conv4(3, filters=4), steps=2, rate=0.1),
}


@pytest.mark.parametrize("pixels", [0, 2**13], ids=["queries one by one", "queries at once"])
@pytest.mark.parametrize("learner", CONVOLUTIONAL.values(), ids=CONVOLUTIONAL)
def test_several_episodes_at_once_equal_vmap(learner, pixels, glyph_episodes, monkeypatch) -> None:
    """Functions with derivatives of their own against `torch.func`, in float64."""
    monkeypatch.setattr(inner_loop, "_PIXELS", pixels)
    episodes, state, phase = in_double(glyph_episodes), random_state(learner), learner.phase(2)
    found = learner.meta_gradient(state, episodes, phase, Execution(chunk=0))
    monkeypatch.setattr(GradientLearner, "several", lambda *_: False)
    expected = learner.meta_gradient(state, episodes, phase, Execution(chunk=0))
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)


def test_workers_change_no_bit(glyph_episodes) -> None:
    learner = CONVOLUTIONAL["maml"]
    state, phase = learner.init(0), learner.phase(0)
    one, other = (
        learner.meta_gradient(state, glyph_episodes, phase, Execution(chunk=1, workers=workers))
        for workers in (1, 3)
    )
    assert torch.equal(one[1], other[1])
    assert all(torch.equal(one[0][name], other[0][name]) for name in state)


def test_workers_are_the_threads_that_torch_had(glyph_episodes) -> None:
    convolutional, plain = CONVOLUTIONAL["maml"], WAVE_LEARNERS["maml"]
    before, execution = torch.get_num_threads(), Execution()
    torch.set_num_threads(2)
    try:
        with execution.prepared():
            assert torch.get_num_threads() == 1
            assert convolutional.workers(execution) == 2
            assert convolutional.workers(Execution(workers=1)) == 1
            assert convolutional.workers(Execution(workers=3, compiled=True)) == 1
            assert plain.workers(execution) == 1
        assert convolutional.workers(execution) == 1
    finally:
        torch.set_num_threads(before)


def test_no_workers_at_all_are_refused() -> None:
    with pytest.raises(LearnerError, match="workers is 1 or more"):
        Execution(workers=0)


def test_what_fails_in_a_worker_is_raised(glyph_episodes) -> None:
    learner = CONVOLUTIONAL["maml"]
    state = {name: v for name, v in learner.init(0).items() if name != "net.head.bias"}
    with pytest.raises(KeyError, match=r"head\.bias"):
        learner.meta_gradient(
            state, glyph_episodes, learner.phase(0), Execution(chunk=1, workers=2)
        )
