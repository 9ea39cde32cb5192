from __future__ import annotations

import pytest
import torch

from learners.cnp import ConditionalNeuralProcess
from learners.deep_kernel import predict_distribution
from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.learner import Phase, State
from learners.networks import MLP, Conv4, Flatten
from tests.learners.contract import LearnerContract, in_double
from tests.learners.differences import check_gradient, random_state

WAVES = ConditionalNeuralProcess(Flatten(), MLP((2, 8, 8, 6)), MLP((7, 8, 2)))
GLYPHS = ConditionalNeuralProcess(Conv4(5, filters=4), MLP((5, 6)), MLP((23, 8, 3)), n_way=3)


class TestRegression(LearnerContract):
    @pytest.fixture
    def learner(self):
        return WAVES

    @pytest.fixture
    def episodes(self, waves):
        return waves


class TestClassification(LearnerContract):
    @pytest.fixture
    def learner(self):
        return GLYPHS

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


def mlp(state: State, name: str, sizes: tuple[int, ...], x: torch.Tensor) -> torch.Tensor:
    names = [f"layer{i}" for i in range(len(sizes) - 2)] + ["head"]
    for layer in names:
        x = x @ state[f"{name}.{layer}.weight"] + state[f"{name}.{layer}.bias"]
        x = x.relu() if layer != "head" else x
    return x


def test_predictions_and_likelihood_are_those_of_a_gaussian_of_the_mean(waves: Episodes) -> None:
    """Point by point, with torch's own normal distribution."""
    double = in_double(waves)
    state = random_state(WAVES)
    support = Examples(*(part[0] for part in double.support))
    query = Examples(*(part[0] for part in double.query))
    encoded = [
        mlp(state, "encoder", WAVES.encoder.sizes, torch.cat([x, y]))
        for x, y in zip(support.x, support.y, strict=True)
    ]
    r = sum(encoded) / len(encoded)
    total = 0.0
    means, deviations = predict_distribution(WAVES.adapt(state, support), query.x)
    for i, (x, y) in enumerate(zip(query.x, query.y, strict=True)):
        mean, raw = mlp(state, "decoder", WAVES.decoder.sizes, torch.cat([x, r]))
        deviation = 0.1 + 0.9 * torch.log1p(raw.exp())
        assert float(means[i, 0]) == pytest.approx(float(mean), rel=1e-9)
        assert float(deviations[i, 0]) == pytest.approx(float(deviation), rel=1e-9)
        total -= float(torch.distributions.Normal(mean, deviation).log_prob(y[0]))
    found = WAVES.loss(state, support, query, 0, Phase())
    assert float(found) == pytest.approx(total / len(query.x), rel=1e-9)


def test_classes_are_means_side_by_side(glyph_episodes: Episodes) -> None:
    double = in_double(glyph_episodes)
    state = GLYPHS.finish(random_state(GLYPHS), double)
    support = Examples(*(part[0] for part in double.support))
    x = double.query.x[0]
    params = {k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")}
    z, query_z = (GLYPHS.network(params, e, torch.ones(len(e)) > 0) for e in (support.x, x))
    encoded = mlp(state, "encoder", GLYPHS.encoder.sizes, z)
    r = torch.cat([encoded[support.y == label].mean(0) for label in range(3)])
    rows = torch.stack([torch.cat([one, r]) for one in query_z])
    expected = mlp(state, "decoder", GLYPHS.decoder.sizes, rows)
    found = GLYPHS.adapt(state, support).predict(x)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("learner", [WAVES, GLYPHS])
def test_meta_gradient_equals_finite_differences(learner, waves, glyph_episodes) -> None:
    episodes = glyph_episodes if learner.classification else waves
    check_gradient(learner, random_state(learner), in_double(episodes))


def test_a_classifier_has_no_deviation(glyph_episodes: Episodes) -> None:
    predictor = GLYPHS.adapt(GLYPHS.init(0), glyph_episodes.support)
    with pytest.raises(LearnerError, match="only regression"):
        predict_distribution(predictor, glyph_episodes.query.x)


@pytest.mark.parametrize(
    ("encoder", "decoder", "n_way"),
    [((2, 4), (6, 2), 0), ((2, 4), (5, 1), 0), ((5, 6), (23, 4), 3), ((6, 6), (23, 3), 3)],
)
def test_networks_that_do_not_fit_are_refused(encoder, decoder, n_way) -> None:
    with pytest.raises(LearnerError, match="the decoder takes"):
        ConditionalNeuralProcess(Flatten(), MLP(encoder), MLP(decoder), n_way)
