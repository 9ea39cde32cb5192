from __future__ import annotations

import pytest
import torch

from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.hypernetwork import Hypernetwork, layer_weights
from learners.networks import MLP, Conv4, Flatten
from tests.learners.contract import LearnerContract, in_double
from tests.learners.differences import check_gradient, random_state
from tests.learners.test_cnp import mlp

WAVES = Hypernetwork(Flatten(), MLP((2, 8, 6)), MLP((1, 5, 5, 1)), width=3, regression=True)
GLYPHS = Hypernetwork(Conv4(5, filters=4), MLP((5, 6)), MLP((5, 7, 1)), width=3)


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


def written(state, name: str, r: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Equation 2 of Ha et al., a row of the layer at a time."""
    rows = []
    for W, B in zip(state[f"{name}.W"], state[f"{name}.B"], strict=True):
        a = W @ r + B
        rows.append(state[f"{name}.W_out"].T @ a + state[f"{name}.B_out"])
    return torch.stack(rows), state[f"{name}.V"].T @ r + state[f"{name}.v"]


def test_regression_runs_the_network_that_the_support_set_writes(waves: Episodes) -> None:
    double, state = in_double(waves), random_state(WAVES)
    support = Examples(*(part[1] for part in double.support))
    x = double.query.x[1]
    r = mlp(state, "encoder", (2, 8, 6), torch.cat([support.x, support.y], 1)).mean(0)
    expected = x
    for i in range(3):
        K, bias = written(state, f"layer{i}", r)
        expected = expected @ K + bias
        expected = expected.relu() if i < 2 else expected
    found = WAVES.adapt(state, support).predict(x)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_each_class_writes_its_own_column(glyph_episodes: Episodes) -> None:
    double = in_double(glyph_episodes)
    state = GLYPHS.finish(random_state(GLYPHS), double)
    support = Examples(*(part[0] for part in double.support))
    x = double.query.x[0]
    params = {k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")}
    z, query_z = (GLYPHS.network(params, e, torch.ones(len(e)) > 0) for e in (support.x, x))
    encoded = mlp(state, "encoder", (5, 6), z)
    K, bias = written(state, "layer0", encoded.mean(0))
    hidden = (query_z @ K + bias).relu()
    columns = []
    for label in range(3):
        K, bias = written(state, "layer1", encoded[support.y == label].mean(0))
        columns.append(hidden @ K + bias)
    found = GLYPHS.adapt(state, support).predict(x)
    torch.testing.assert_close(found, torch.cat(columns, 1), rtol=1e-9, atol=1e-12)


def test_renaming_classes_renames_answers_and_absent_ones_are_never_given(
    glyph_episodes: Episodes,
) -> None:
    state = GLYPHS.finish(GLYPHS.init(0), glyph_episodes)
    x, y, mask = (part[0] for part in glyph_episodes.support)
    query = glyph_episodes.query.x[0]
    plain = GLYPHS.adapt(state, Examples(x, y, mask)).predict(query)
    renamed = GLYPHS.adapt(state, Examples(x, torch.tensor([2, 0, 4])[y], mask)).predict(query)
    torch.testing.assert_close(renamed[:, [2, 0, 4]], plain)
    assert torch.all(renamed[:, [1, 3]].isneginf())


@pytest.mark.parametrize("learner", [WAVES, GLYPHS])
def test_meta_gradient_equals_finite_differences(learner, waves, glyph_episodes) -> None:
    episodes = glyph_episodes if learner.classification else waves
    check_gradient(learner, random_state(learner), in_double(episodes))


def test_the_first_weights_are_of_the_size_of_a_fresh_layer() -> None:
    """Mean square between a third and three times that of uniform +-1/sqrt(fan_in)."""
    learner = Hypernetwork(Flatten(), MLP((2, 64, 64)), MLP((1, 40, 40, 1)), regression=True)
    r = torch.randn(64, generator=torch.Generator().manual_seed(0)).relu() / 8
    K, bias = layer_weights(learner.init(0), "layer1", r)
    assert 1 / 3 < float(K.square().mean()) * 40 * 3 < 3
    assert 1 / 3 < float(bias.square().mean()) * 40 * 3 < 3


@pytest.mark.parametrize("main", [(1, 5, 2), (2, 5, 1)])
def test_networks_that_do_not_fit_are_refused(main) -> None:
    with pytest.raises(LearnerError, match="the encoder takes"):
        Hypernetwork(Flatten(), MLP((1, 6)), MLP(main))
