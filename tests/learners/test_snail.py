from __future__ import annotations

import math

import pytest
import torch

from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.learner import State
from learners.networks import MLP, Conv4
from learners.snail import Snail
from tests.learners.contract import LearnerContract, in_double
from tests.learners.differences import check_gradient, random_state

SMALL = Snail(MLP((3, 4)), n_features=4, n_way=3, length=7, scale=0.04)


class TestContract(LearnerContract):
    ordered = True

    @pytest.fixture
    def learner(self):
        return Snail(Conv4(6, filters=4), n_features=6, n_way=4, length=7, scale=0.04)

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


def by_blocks(learner: Snail, state: State, x: torch.Tensor) -> torch.Tensor:
    """The whole sequence `(T, c)` through figure 2 of the paper, with torch's own operators."""
    length = x.shape[0]
    for layer in learner.layers():
        if layer.dilation:
            weight = state[f"{layer.name}.both.weight"]
            # conv1d wants (out, in, taps), the earlier tap first.
            taps = torch.stack([weight[: layer.n_in].T, weight[layer.n_in :].T], -1)
            padded = torch.nn.functional.pad(x.T[None], (layer.dilation, 0))
            both = torch.nn.functional.conv1d(
                padded, taps, state[f"{layer.name}.both.bias"], dilation=layer.dilation
            )[0].T
            assert both.shape[0] == length
            added = torch.tanh(both[:, : layer.n_added]) * torch.sigmoid(both[:, layer.n_added :])
        else:
            q, k, v = (
                x @ state[f"{layer.name}.{part}.weight"] + state[f"{layer.name}.{part}.bias"]
                for part in ("query", "key", "value")
            )
            added = torch.zeros(length, layer.n_added, dtype=x.dtype)
            for t in range(length):
                logits = torch.stack([q[t] @ k[s] / math.sqrt(layer.n_key) for s in range(t + 1)])
                added[t] = sum(p * v[s] for s, p in enumerate(logits.softmax(0)))
        x = torch.cat([x, added], 1)
    return x @ state["out.weight"] + state["out.bias"]


@pytest.mark.parametrize("n", [1, 2, 6, 9])
def test_each_query_is_the_last_row_of_the_papers_network(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    state = random_state(SMALL)
    x, query = (torch.randn(rows, 3, generator=generator).double() for rows in (n, 4))
    y = torch.randint(3, (n,), generator=generator)
    support = Examples(x, y, torch.ones(n, dtype=torch.bool))
    found = SMALL.adapt(state, support, 3).predict(query)
    embed = {name: state[f"net.head.{name}"] for name in ("weight", "bias")}
    one_hot = torch.nn.functional.one_hot(y, 3).double()
    for row, answer in zip(query, found, strict=True):
        rows = torch.cat([x, row[None]]) @ embed["weight"] + embed["bias"]
        labels = torch.cat([one_hot, torch.zeros(1, 3).double()])
        expected = by_blocks(SMALL, state, torch.cat([rows, labels], 1))[-1]
        torch.testing.assert_close(answer, expected, rtol=1e-9, atol=1e-12)


def test_no_row_sees_a_later_one() -> None:
    """Changing row t leaves all activations before it as they were, and changes some after."""
    state = random_state(SMALL)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()
    y, mask = torch.tensor([0, 1, 2, 0, 1, 2]), torch.ones(6, dtype=torch.bool)
    before = SMALL.fit(state, Examples(x, y, mask), 3)
    x[3] += 1.0
    after = SMALL.fit(state, Examples(x, y, mask), 3)
    for name in before.keys() - {"mask"}:
        assert torch.equal(before[name][:3], after[name][:3])
        assert not torch.equal(before[name][3:], after[name][3:])


def test_padding_between_real_rows_is_passed_over() -> None:
    state = random_state(SMALL)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    y, mask = torch.tensor([0, 1, 2, 0]), torch.ones(4, dtype=torch.bool)
    rows = [0, 0, 1, 3, 2, 3]
    real = torch.tensor([True, False, True, False, True, True])
    plain = SMALL.adapt(state, Examples(x, y, mask), 3).predict(x)
    gaps = SMALL.adapt(state, Examples(x[rows], y[rows], real), 3).predict(x)
    torch.testing.assert_close(gaps, plain, rtol=1e-9, atol=1e-12)


def test_published_widths() -> None:
    """5-way 1-shot: 64 + 5 inputs, dense blocks of 128, attention values 32, 128 and 256."""
    layers = list(Snail(Conv4(64)).layers())
    assert [layer.dilation for layer in layers] == [0, 2, 4, 8, 0, 2, 4, 8, 0]
    assert layers[-1].n_in + layers[-1].n_added == 69 + 32 + 3 * 128 + 128 + 3 * 128 + 256


def test_meta_gradient_equals_finite_differences(glyph_episodes: Episodes) -> None:
    learner = Snail(Conv4(4, filters=3), n_features=4, n_way=3, length=7, scale=0.04)
    check_gradient(learner, random_state(learner), in_double(glyph_episodes))


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(LearnerError, match="length of 2 or more"):
        Snail(Conv4(64), length=1)
