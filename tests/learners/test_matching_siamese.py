from __future__ import annotations

import math

import pytest
import torch

from learners.episode import Examples
from learners.errors import LearnerError
from learners.execution import Execution
from learners.learner import Phase
from learners.matching import Matching, attend, read_support
from learners.networks import MLP, Conv4
from learners.recurrent import lstm
from learners.siamese import Siamese
from tests.learners.contract import LearnerContract

IDENTITY = {"net.head.weight": torch.eye(5), "net.head.bias": torch.zeros(5)}


class TestMatching(LearnerContract):
    @pytest.fixture
    def learner(self):
        return Matching(Conv4(0, filters=4))

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


class TestMatchingInContext(TestMatching):
    ordered = True

    @pytest.fixture
    def learner(self):
        return Matching(Conv4(0, filters=4), context_steps=2, n_features=4)


class TestSiamese(TestMatching):
    @pytest.fixture
    def learner(self):
        return Siamese(Conv4(0, filters=4), 4)


def support_and_queries():
    generator = torch.Generator().manual_seed(0)
    x, queries = torch.randn(6, 5, generator=generator), torch.randn(3, 5, generator=generator)
    return Examples(x, torch.tensor([0, 1, 2, 0, 1, 0]), torch.ones(6, dtype=torch.bool)), queries


@pytest.mark.parametrize("sharpness", [1.0, 10.0])
def test_matching_probability_is_the_attention_on_a_class(sharpness: float) -> None:
    """Brute force over queries, rows and classes."""
    support, queries = support_and_queries()
    learner = Matching(MLP((5, 5)), sharpness=sharpness)
    found = learner.adapt(IDENTITY, support).predict(queries)
    for q in range(3):
        cosine = [float(queries[q] @ row / (queries[q].norm() * row.norm())) for row in support.x]
        total = sum(math.exp(sharpness * value) for value in cosine)
        for c in range(3):
            share = sum(
                math.exp(sharpness * value) / total
                for value, label in zip(cosine, support.y, strict=True)
                if label == c
            )
            assert float(found[q, c]) == pytest.approx(math.log(share), abs=1e-5)


def test_the_lstm_step_is_that_of_torch() -> None:
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(3, 4)
    x, h, c = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)
    weight = torch.cat([cell.weight_ih, cell.weight_hh], 1).T
    state = {"cell.weight": weight, "cell.bias": cell.bias_ih + cell.bias_hh}
    found = lstm(state, "cell", torch.cat([x, h], 1), c)
    for mine, theirs in zip(found, cell(x, (h, c)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_full_context_reads_both_ways_and_attends_step_by_step() -> None:
    """Loops over rows and steps, written again from the appendix with torch's own LSTM."""
    learner = Matching(MLP((5, 4)), context_steps=3, n_features=4)
    state = learner.init(0)
    generator = torch.Generator().manual_seed(1)
    z, query = torch.randn(3, 4, generator=generator), torch.randn(2, 4, generator=generator)
    both = torch.nn.LSTM(4, 4, bidirectional=True)
    with torch.no_grad():
        for suffix, name in (("", "forward"), ("_reverse", "backward")):
            weight, bias = state[f"fce.{name}.weight"].T, state[f"fce.{name}.bias"]
            getattr(both, f"weight_ih_l0{suffix}").copy_(weight[:, :4])
            getattr(both, f"weight_hh_l0{suffix}").copy_(weight[:, 4:])
            getattr(both, f"bias_ih_l0{suffix}").copy_(bias)
            getattr(both, f"bias_hh_l0{suffix}").zero_()
        read = both(z)[0]
    g = read[:, :4] + read[:, 4:] + z
    mask = torch.ones(3, dtype=torch.bool)
    torch.testing.assert_close(read_support(state, z, mask), g)
    for q in range(2):
        h, c = query[q], torch.zeros(4)
        for _ in range(3):
            a = torch.softmax(torch.stack([h @ row for row in g]), 0)
            r = sum(a[i] * g[i] for i in range(3))
            new, c = lstm(state, "fce.attend", torch.cat([query[q], h, r]), c)
            h = new + query[q]
        torch.testing.assert_close(attend(state, query, g, mask, 3)[q], h)


def test_one_step_is_one_look_at_the_support_set() -> None:
    state = Matching(MLP((5, 4)), context_steps=1, n_features=4).init(0)
    query, mask = torch.randn(2, 4), torch.ones(3, dtype=torch.bool)
    one, other = (attend(state, query, torch.randn(3, 4), mask, 1) for _ in range(2))
    assert not torch.allclose(one, other)


def test_siamese_log_odds_are_weighted_distances_averaged_over_shots() -> None:
    support, queries = support_and_queries()
    alpha = torch.tensor([-1.0, -2.0, -0.5, 0.3, -1.5])
    state = IDENTITY | {"pair.weight": alpha, "pair.bias": torch.tensor(0.7)}
    found = Siamese(MLP((5, 5)), 5).adapt(state, support).predict(queries)
    for q in range(3):
        for c in range(3):
            odds = [
                float(((queries[q].sigmoid() - row.sigmoid()).abs() * alpha).sum() + 0.7)
                for row, label in zip(support.x, support.y, strict=True)
                if label == c
            ]
            assert float(found[q, c]) == pytest.approx(sum(odds) / len(odds), abs=1e-5)


def test_siamese_loss_weighs_same_and_different_pairs_equally() -> None:
    support, queries = support_and_queries()
    labels = torch.tensor([0, 1, 2])
    learner = Siamese(MLP((5, 5)), 5)
    state = learner.init(0) | IDENTITY
    query = Examples(queries, labels, torch.ones(3, dtype=torch.bool))
    found = learner.loss(state, support, query, 3, Phase())
    odds = learner.pairs(state, support.x, queries)
    same = [
        -torch.log(odds[q, i].sigmoid())
        for q in range(3)
        for i in range(6)
        if labels[q] == support.y[i]
    ]
    other = [
        -torch.log(1 - odds[q, i].sigmoid())
        for q in range(3)
        for i in range(6)
        if labels[q] != support.y[i]
    ]
    expected = (sum(same) / len(same) + sum(other) / len(other)) / 2
    torch.testing.assert_close(found, expected)


def test_autocast_changes_a_meta_gradient_by_rounding_alone(glyph_episodes) -> None:
    learner = Matching(Conv4(0, filters=8))
    state = learner.init(0)
    exact, _ = learner.meta_gradient(state, glyph_episodes, Phase(), Execution())
    rough, _ = learner.meta_gradient(state, glyph_episodes, Phase(), Execution(dtype="bfloat16"))
    a = torch.cat([value.flatten() for value in exact.values()])
    b = torch.cat([value.flatten() for value in rough.values()])
    assert float(torch.nn.functional.cosine_similarity(a, b, dim=0)) > 0.95
    assert not torch.equal(a, b)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Matching(MLP((1, 1)), context_steps=2),
        lambda: Matching(MLP((1, 1)), context_steps=-1),
        lambda: Siamese(MLP((1, 1)), 0),
    ],
)
def test_settings_that_make_no_sense_are_refused(make) -> None:
    with pytest.raises(LearnerError):
        make()
