from __future__ import annotations

import pytest
import torch
from torch import nn

from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.learner import Phase
from learners.networks import MLP, Conv4, without_net
from learners.relation import Relation
from tests.learners.contract import LearnerContract

SMALL = Relation(Conv4(0, filters=4, n_pooled=2))


class TestContract(LearnerContract):
    @pytest.fixture
    def learner(self):
        return SMALL

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


def reference(state, classes: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """The relation module of torch's own layers, on every pair in turn."""
    layers: list[nn.Module] = []
    for block, width in (("relation.block0", 8), ("relation.block1", 4)):
        conv, norm = nn.Conv2d(width, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        conv.weight = nn.Parameter(state[f"{block}.weight"])
        norm.running_mean = state[f"{block}.mean"]
        norm.running_var = state[f"{block}.variance"]
        layers += [conv, norm, nn.ReLU(), nn.MaxPool2d(2)]
    hidden, score = nn.Linear(4, 8), nn.Linear(8, 1)
    for layer, name in ((hidden, "hidden"), (score, "score")):
        layer.weight = nn.Parameter(state[f"relation.{name}.weight"].T)
        layer.bias = nn.Parameter(state[f"relation.{name}.bias"])
    module = nn.Sequential(*layers, nn.Flatten(), hidden, nn.ReLU(), score).eval()
    with torch.no_grad():
        return torch.stack(
            [
                torch.cat([module(torch.cat([one, query])[None])[0] for one in classes])
                for query in queries
            ]
        )


def test_scores_are_those_of_the_module_on_summed_maps(glyph_episodes: Episodes) -> None:
    state = SMALL.finish(SMALL.init(0), glyph_episodes)
    support = Examples(*(part[0] for part in glyph_episodes.support))
    queries = glyph_episodes.query.x[0]
    found = SMALL.adapt(state, support).predict(queries)
    embed = SMALL.network
    params = without_net(state)
    z = embed(params, support.x, support.mask).reshape(-1, 4, 7, 7)
    classes = torch.stack([sum(z[support.y == label]) for label in range(3)])
    query_maps = embed(params, queries, torch.ones(len(queries)) > 0).reshape(-1, 4, 7, 7)
    torch.testing.assert_close(found, reference(state, classes, query_maps), rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_mean_squared_error_of_the_pairs_that_exist(
    glyph_episodes: Episodes,
) -> None:
    state = SMALL.finish(SMALL.init(0), glyph_episodes)
    support, query = (
        Examples(*(part[0] for part in e)) for e in (glyph_episodes.support, glyph_episodes.query)
    )
    scores = SMALL.adapt(state, support, 4).predict(query.x).sigmoid()
    apart = [
        (float(scores[q, c]) - float(query.y[q] == c)) ** 2
        for q in range(len(query.y))
        for c in range(3)  # the fourth class is absent
    ]
    found = SMALL.loss(state, support, query, 4, Phase())
    assert float(found) == pytest.approx(sum(apart) / len(apart), rel=1e-4)


def test_finish_fixes_every_normalisation(glyph_episodes: Episodes) -> None:
    finished = SMALL.finish(SMALL.init(0), glyph_episodes)
    assert {name for name in finished if name.endswith(".mean")} == {
        *(f"net.block{i}.mean" for i in range(4)),
        "relation.block0.mean",
        "relation.block1.mean",
    }


@pytest.mark.parametrize("network", [MLP((1, 4)), Conv4(0), Conv4(0, strided=True), Conv4(5)])
def test_networks_without_maps_are_refused(network) -> None:
    with pytest.raises(LearnerError, match=r"Conv4"):
        Relation(network)
