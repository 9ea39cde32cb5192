"""The MAML family and Reptile keep the contract, and move what they say they move."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.func import grad

from learners.anil import anil
from learners.episode import Examples
from learners.errors import LearnerError
from learners.fomaml import fomaml
from learners.inner_loop import GradientLearner, InnerLoop
from learners.maml import maml
from learners.maml_plus_plus import maml_plus_plus
from learners.meta_sgd import meta_sgd
from learners.reptile import Reptile
from learners.settled import Settled
from tests.learners.contract import LearnerContract
from tests.learners.gradient_learners import SMALL, WAVE, WAVE_LEARNERS

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
