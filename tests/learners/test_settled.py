"""Moments that no step changes, and features told from the head."""

from __future__ import annotations

import pytest
import torch

from learners.anil import anil
from learners.episode import Episodes, Examples
from learners.fomaml import fomaml
from learners.inner_loop import GradientLearner
from learners.networks import MLP, Conv4, ModuleNetwork, under_net, without_net
from learners.protonet import ProtoNet
from learners.reptile import Reptile
from learners.samplers import ClassSampler, Shape
from learners.settled import Settled, body_and_head
from learners.training import Budget, Training, meta_train
from tests.learners.contract import in_double

NET = Conv4(3, filters=4, strided=True)


@pytest.fixture(scope="module")
def trained(glyph_episodes: Episodes) -> dict[str, torch.Tensor]:
    """A finished embedding: its parameters and their moments."""
    first = ProtoNet(Conv4(0, filters=4, strided=True))
    params = without_net(first.finish(first.init(0), glyph_episodes))
    return under_net(Settled(NET).centred(params, glyph_episodes.support.x.flatten(0, 1)))


@pytest.mark.parametrize(
    "learner",
    [fomaml(Settled(NET)), anil(Settled(NET)), Reptile(Settled(NET), rate=0.01, batch=0)],
    ids=["fomaml", "anil", "reptile"],
)
def test_no_step_changes_the_moments_and_steps_change_the_rest(
    learner, trained, glyphs: torch.Tensor
) -> None:
    adam = not isinstance(learner, Reptile)
    settings = Training(2, 0.1, "adam" if adam else "sgd", progress=False, start=trained)
    state = meta_train(learner, ClassSampler(glyphs, Shape(3, 2, 2)), Budget(3), settings).state
    moments = [name for name in trained if name.endswith((".mean", ".variance"))]
    assert len(moments) == 10
    for name in moments:
        assert torch.equal(state[name], trained[name])
    assert not torch.equal(state["net.block3.weight"], trained["net.block3.weight"])
    sampled = ClassSampler(glyphs, Shape(3, 2, 2)).sample(0, 1)
    context = learner.adapt(state, Examples(*(part[0] for part in sampled.support))).context
    for name in moments:
        fast = context.get(name.replace("net.", "fast."))
        assert fast is None or torch.equal(fast[0], trained[name])


def test_it_is_the_network_by_the_moments_of_training(trained, glyph_episodes) -> None:
    """The features of a finished embedding, whatever the other rows are, moved and scaled."""
    x, _, mask = (part.flatten(0, 1) for part in in_double(glyph_episodes).support)
    params = {name: value.double() for name, value in without_net(trained).items()}
    embedding = Conv4(0, filters=4, strided=True)
    found = Settled(embedding)(params, x, mask)
    plain = embedding(params, x, mask)
    factor = params["features.variance"].rsqrt()
    torch.testing.assert_close(torch.pdist(found), torch.pdist(plain) * factor)
    torch.testing.assert_close(found.mean(0), torch.zeros(4).double(), atol=1e-5, rtol=0)
    assert float(found.var(0, unbiased=False).mean()) == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(Settled(embedding)(params, x[:1], mask[:1]), found[:1])


@pytest.mark.parametrize("network", [NET, Conv4(3, filters=4), Settled(NET)])
def test_the_head_over_the_body_is_the_network(network, glyph_episodes) -> None:
    x, _, mask = glyph_episodes.support
    params = network.init(torch.Generator().manual_seed(0))
    parts = body_and_head(network)
    assert parts is not None
    body, head = parts
    found = head(params, body(params, x[0], mask[0]), mask[0])
    torch.testing.assert_close(found, network(params, x[0], mask[0]))


def test_networks_without_a_body_to_tell_apart_have_none() -> None:
    for network in (
        Conv4(0),
        Settled(Conv4(0)),
        MLP((3, 4, 2)),
        ModuleNetwork(torch.nn.Linear(2, 2)),
    ):
        assert body_and_head(network) is None


@pytest.mark.parametrize("transductive", [False, True])
def test_adapting_over_features_is_adapting(
    transductive: bool, glyph_episodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = anil(NET, steps=3, rate=0.2, query_statistics=transductive)
    episodes = in_double(glyph_episodes)
    state = {name: value.double() for name, value in learner.init(0).items()}
    found = learner.adapt(state, episodes.support, 3).predict(episodes.query.x)
    monkeypatch.setattr(GradientLearner, "_moves_head_alone", False)
    expected = learner.adapt(state, episodes.support, 3).predict(episodes.query.x)
    torch.testing.assert_close(found, expected)


def test_a_settled_start_has_its_names(trained) -> None:
    fresh = under_net(Settled(NET).init(torch.Generator().manual_seed(0)))
    assert {name: value.shape for name, value in trained.items()}.items() <= {
        name: value.shape for name, value in fresh.items()
    }.items()
